//! Images for training and evaluation, without any tensor library.
//!
//! Bytes on disk become samples ([`Source`]), samples become ordered batches of `u8` pixels
//! ([`Loader`]). The order of samples is a function of (seed, epoch, position), so a training run
//! is continued from two integers ([`Cursor`]), and the number of worker threads changes nothing
//! but speed.
//!
//! | module | holds |
//! |---|---|
//! | [`stl10`] | STL-10 in its official binary format, memory-mapped |
//! | [`scenes`] | procedural pictures with natural-image statistics, for when there is no data |
//! | [`dataset`] | a training set, labelled splits and folds together |
//! | [`loader`] | shuffled, cropped batches from worker threads |
//! | [`picture`] | PNG files and grids |
//! | [`atomic`] | files that appear whole or not at all |
//!
//! ```
//! use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
//! # fn main() -> Result<(), deepsim_data::DataError> {
//! let dataset = Dataset::open(None, 0)?; // or Some(Path::new("data/stl10_binary"))
//! let config = LoaderConfig { batch: 8, crop: Crop::Random(64), seed: 0, ..Default::default() };
//! let mut loader = Loader::new(dataset.unlabeled.clone(), config, Cursor::default())?;
//! let batch = loader.next().expect("batches never end")?;
//! assert_eq!(batch.pixels.len(), 8 * 3 * 64 * 64);
//! // Later, or in another process: the same batches again from here on.
//! let again = Loader::new(dataset.unlabeled, config, batch.next)?;
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod atomic;
pub mod cache;
pub mod dataset;
pub mod decode;
mod draw;
pub mod duplicates;
pub mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod files;
pub mod folder;
pub mod format;
#[cfg(feature = "hub")]
pub mod hub;
pub mod ilsvrc;
pub mod loader;
pub mod mean;
pub mod order;
pub mod picture;
mod positioned;
pub mod prepared;
pub mod random;
pub mod scenes;
pub mod shards;
pub mod source;
pub mod stl10;
pub mod tar_index;
#[cfg(feature = "candle")]
pub mod tensor;
pub mod transform;

pub use dataset::{Dataset, Dropped, Labelled, SceneSizes};
pub use error::DataError;
pub use files::PictureFiles;
pub use format::{ChannelOrder, Format, Mean};
pub use loader::{Batch, Broken, Cursor, Loader, LoaderConfig, Sample, Skipped, read_range};
pub use mean::MeanImage;
pub use prepared::Prepared;
pub use scenes::Scenes;
pub use source::{Crop, Rectangle, Source};
pub use stl10::{Split, Stl10};
pub use transform::Transform;
