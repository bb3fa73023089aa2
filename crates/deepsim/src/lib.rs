//! DeePSiM: training and evaluation of image generators with perceptual similarity metrics.
//!
//! This library re-exports the crates of the project under short names, so that one dependency is enough. The
//! program `deepsim` is built by the feature `cli`, which is on by default; a library does without it:
//!
//! ```toml
//! deepsim = { path = "crates/deepsim", default-features = false }
//! ```
//!
//! # Perceptual distance of two batches
//!
//! ```
//! use candle_core::Device;
//! use deepsim::loss::{PerceptualDistance, TapDistance};
//! use deepsim::nets::{ComparatorKind, Images, PixelFormat};
//!
//! # fn main() -> Result<(), deepsim::loss::LossError> {
//! let device = Device::Cpu;
//! let (n, height, width) = (2, 64, 64);
//! let [a, b] = [90, 130].map(|grey| vec![grey; n * 3 * height * width]); // u8 planes: red, green, blue
//! let a = Images::from_u8(&a, n, height, width, PixelFormat::RGB_U8, &device)?;
//! let b = Images::from_u8(&b, n, height, width, PixelFormat::RGB_U8, &device)?;
//!
//! // `Some(path)` of alexnet.safetensors instead of `None`, which draws random weights.
//! let alexnet = ComparatorKind::alexnet().open(None, 0, &device)?;
//! let distance = PerceptualDistance::new(alexnet, vec![TapDistance::deepsim("CONV3", 1.0)])?;
//! let distances = distance.between(&a, &distance.targets(&b)?)?;
//! assert_eq!(distances.per_sample()?.dims(), [2]);
//! # Ok(())
//! # }
//! ```
//!
//! # Batches of pictures
//!
//! ```
//! use deepsim::data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `Some(Path::new("data/stl10_binary"))` instead of `None`, which draws scenes.
//! let dataset = Dataset::open(None, 0)?;
//! let config = LoaderConfig { batch: 8, crop: Crop::Random(64), seed: 0, ..Default::default() };
//! let mut loader = Loader::new(dataset.unlabeled, config, Cursor::default())?;
//! let batch = loader.next().expect("batches never end")?;
//! assert_eq!(batch.pixels.len(), 8 * 3 * 64 * 64); // u8
//! let saved = loader.state(); // for `Loader::resume`
//! # drop(saved);
//! # Ok(())
//! # }
//! ```
//!
//! # One training step
//!
//! ```
//! use candle_core::Device;
//! use deepsim::nets::{Images, PixelFormat};
//! use deepsim::run::recipe::Recipe;
//! use deepsim::train::{step::frozen::FrozenNetworks, trainer::Trainer};
//!
//! # fn main() -> Result<(), deepsim::train::TrainError> {
//! let recipe = r#"
//!     name = "tiny"
//!     steps = 1
//!     batch = 2
//!     crop = 32
//!     image = { distance = "squared-error", weight = 1.0 }
//! "#;
//! let mut trainer = Trainer::new(&Recipe::parse(recipe, &[])?, FrozenNetworks::default(), &Device::Cpu)?;
//! let pixels = [100; 2 * 3 * 32 * 32];
//! let batch = Images::from_u8(&pixels, 2, 32, 32, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
//! println!("loss {}", trainer.step(&batch)?.total());
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`ops`] | convolution, pooling, normalisation and optimisers for training on candle |
//! | [`data`] | data sets as ordered, resumable batches |
//! | [`nets`] | comparators, generators, discriminators, weight files |
//! | [`loss`] | loss terms and perceptual distances |
//! | [`run`] | recipes and run folders |
//! | [`mod@train`] | the training loop, checkpoints |
//! | [`mod@eval`] | metrics, and measures of trained generators |
//! | [`import`] | weights from Caffe, ONNX and PyTorch files |
//! | `fetch` | verified downloads; feature `fetch` |
//! | `reproduce` | the paper's tables and figures; feature `reproduce` |
//!
//! Features `cuda`, `mpi`, `nccl` and `hub` are those of the crates.

pub use deepsim_data as data;
pub use deepsim_eval as eval;
#[cfg(feature = "fetch")]
pub use deepsim_fetch as fetch;
pub use deepsim_import as import;
pub use deepsim_loss as loss;
pub use deepsim_nets as nets;
pub use deepsim_ops as ops;
#[cfg(feature = "reproduce")]
pub use deepsim_reproduce as reproduce;
pub use deepsim_run as run;
pub use deepsim_train as train;
