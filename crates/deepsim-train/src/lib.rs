//! Training of DeePSiM generators, as the authors' code does it, and of [`comparator`]s.
//!
//! Data flows one way: a [recipe](deepsim_run::recipe::Recipe) (TOML) becomes a checked [plan](deepsim_run::plan::Plan) with every
//! default filled in; [`run::run`] feeds batches to a [`trainer::Trainer`], whose
//! [`step`](trainer::Trainer::step) is one iteration of the paper's algorithm, and writes logs
//! ([log](deepsim_run::log), [`tensorboard`](run::tensorboard)), sample grids and
//! [checkpoints](store::checkpoint).
//!
//! | module | holds |
//! |---|---|
//! | [`run`] | training loop: batches in; checkpoints, log and pictures out |
//! | [`step`] | one iteration of the paper's algorithm |
//! | [`trainer`] | networks in training, one step at a time, without files |
//! | [`comparator`] | training of comparators |
//! | [`optim`] | Adam, SGD, and the moving average of weights |
//! | [`dist`] | process groups: MPI and NCCL |
//! | [`store`] | checkpoints on disk |
//!
//! One iteration by itself, without files:
//!
//! ```
//! use candle_core::Device;
//! use deepsim_nets::{Images, PixelFormat};
//! use deepsim_run::recipe::Recipe;
//! use deepsim_train::{step::frozen::FrozenNetworks, trainer::Trainer};
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
//! let mut trainer = Trainer::new(&recipe, FrozenNetworks::default(), &Device::Cpu)?;
//! let pixels = [100; 2 * 3 * 32 * 32];
//! let batch = Images::from_u8(&pixels, 2, 32, 32, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
//! let before = trainer.step(&batch)?.total();
//! let after = trainer.step(&batch)?.total();
//! assert!(after < before);
//! # Ok(())
//! # }
//! ```

pub mod comparator;
pub mod dist;
pub mod error;
#[cfg(test)]
#[path = "../../deepsim-data/tests/support/hear.rs"]
mod hear;
pub mod optim;
pub mod run;
pub mod step;
pub mod store;
pub mod trainer;

pub use deepsim_run::recipe;
pub use error::TrainError;
