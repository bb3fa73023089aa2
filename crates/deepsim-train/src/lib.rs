//! Training of DeePSiM generators, as the authors' code does it, and of [`comparator`]s.
//!
//! Data flows one way: a [recipe](deepsim_run::recipe::Recipe) (TOML) becomes a checked [plan](deepsim_run::plan::Plan) with every
//! default filled in; [`run::run`] feeds batches to a [`trainer::Trainer`], whose
//! [`step`](trainer::Trainer::step) is one iteration of the paper's algorithm, and writes logs
//! ([log](deepsim_run::log), [`tensorboard`]), sample grids and [`checkpoint`]s.
//!
//! One iteration by itself, without files:
//!
//! ```
//! use candle_core::Device;
//! use deepsim_nets::{Images, PixelFormat};
//! use deepsim_run::recipe::Recipe;
//! use deepsim_train::{fixed::Fixed, trainer::Trainer};
//!
//! # fn main() -> Result<(), deepsim_train::TrainError> {
//! let recipe = Recipe::parse(
//!     r#"
//!     name = "tiny"
//!     steps = 1
//!     batch = 2
//!     crop = 32
//!     image = { distance = "squared-error", weight = 1.0 }
//!     "#,
//!     &[],
//! )?;
//! let mut trainer = Trainer::new(&recipe, Fixed::default(), &Device::Cpu)?;
//! let pixels = [100; 2 * 3 * 32 * 32];
//! let batch = Images::from_u8(&pixels, 2, 32, 32, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
//! let before = trainer.step(&batch)?.total();
//! let after = trainer.step(&batch)?.total();
//! assert!(after < before);
//! # Ok(())
//! # }
//! ```

mod adversary;
pub mod average;
pub mod checkpoint;
pub mod comparator;
pub mod compare;
mod compute;
mod data;
mod drive;
pub mod error;
pub mod estimate;
mod events;
pub mod failure;
pub mod fixed;
pub mod gradients;
mod log;
pub mod optim;
mod options;
mod part;
pub mod plan;
pub mod precision;
#[cfg(feature = "cuda")]
mod prefetch;
mod recorder;
#[cfg(feature = "cuda")]
mod replay;
pub mod run;
mod session;
pub mod solver;
mod step_report;
pub mod store;
pub mod tensorboard;
pub mod trainer;
pub mod watch;
pub mod world;

pub use deepsim_run::recipe;
pub use error::TrainError;
