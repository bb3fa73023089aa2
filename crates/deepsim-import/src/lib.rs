//! Reads weights of Caffe, ONNX, PyTorch and safetensors files, and writes them for `deepsim-nets`.
//!
//! | module | reads |
//! |---|---|
//! | [`caffe`] | `.caffemodel`, new and old layer format |
//! | [`onnx`] | the initialisers and constants of `.onnx` |
//! | [`torch`] | `.pth`, zip and legacy form, without running any of its code |
//! | [`safetensors`] | safetensors with any names |
//! | [`net`] | the networks that are known |
//! | [`mod@import`] | a file to a file, with a report of everything in it |
//!
//! The form is told from the content, never from the name. Sizes are checked before anything is
//! allocated. A file that is not what it should be ends in an error that says where, and nothing is
//! written.
//!
//! ```
//! use deepsim_import::{ImportOptions, Net, import};
//! # use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("alex.safetensors");
//! # let zeros = vec![0u8; 4 * 384];
//! # let heads = [64, 192, 384, 256, 256].iter().enumerate().map(|(i, &channels)| {
//! #     let view = TensorView::new(Dtype::F32, vec![1, channels, 1, 1], &zeros[..4 * channels]);
//! #     (format!("lin{i}.model.1.weight"), view.expect("zeros"))
//! # });
//! # serialize_to_file(heads, None, &file)?;
//! let options = ImportOptions { net: Some(Net::LpipsAlex), ..Default::default() };
//! let report = import(&file, folder.path(), &options)?;
//! assert_eq!((&report.net, report.used().count()), (&Net::LpipsAlex, 5));
//! assert!(report.output.ends_with("lpips-alex.safetensors"));
//! # Ok(())
//! # }
//! ```

mod assign;
pub mod caffe;
mod contents;
mod error;
mod file;
mod foreign;
mod heads;
pub mod import;
mod names;
mod nearest;
pub mod net;
pub mod onnx;
mod other_layers;
mod plan;
mod report;
pub mod safetensors;
pub mod torch;
mod wire;

pub use contents::{Blob, Contents, Format, Skipped};
pub use error::ImportError;
pub use file::{MAX_FILE, parse, read};
pub use import::{ImportOptions, import};
pub use net::Net;
pub use report::{Fate, Line, Report};
