//! The paper's tables and figures: one [`catalogue`] of runs, targets and claims; a planner that trains and measures
//! what is missing; the status of what is under way; and the [`report`].
//!
//! Data flows one way: [`Options`] choose rows of the catalogue; [`plan`] looks at what is there and counts what the
//! rest costs; [`reproduce`] starts `deepsim train` and `deepsim eval` for each run and hands the run folders to the
//! report. The program around it is a [`Host`].
//!
//! ```
//! use deepsim_reproduce::catalogue;
//!
//! # fn main() -> Result<(), deepsim_reproduce::ReproduceError> {
//! let targets = catalogue::select(&["table3".to_owned()])?;
//! let encoder = catalogue::Encoder { name: "caffenet".into(), calibrated: true };
//! let work = catalogue::Work::of(&targets, &catalogue::Layer::ALL, &encoder);
//! assert_eq!(work.runs[0].0.id, "autoencoder-se");
//! # Ok(())
//! # }
//! ```

pub mod catalogue;
mod comparators;
pub mod error;
mod evaluate;
mod failures;
mod host;
mod inputs;
mod job;
mod jobs;
mod labels;
mod lane;
mod machine;
pub mod options;
mod plan;
pub mod preset;
pub mod record;
mod released;
pub mod report;
mod reproduce;
mod shipped;
pub mod status;
mod train;

pub use error::ReproduceError;
pub use host::{Fetch, Host};
pub use options::Options;
pub use reproduce::{plan, reproduce};
