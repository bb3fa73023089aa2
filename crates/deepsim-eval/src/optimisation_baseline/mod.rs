//! The optimisation baseline (Mahendran & Vedaldi), which the paper compares its generators with (v2 Table 2):
//! gradient descent to the images whose features come nearest to given ones, under a prior of natural images.
//!
//! `deepsim optimise` runs it.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | priors and schedules as plain data, and where each number comes from |
//! | [`priors`] | total variation and powers of pixels, with their gradients |
//! | [`blur`] | Gaussian blur and circular shifts |
//! | [`descent`] | gradient descent on a batch of pictures |
//! | [`ending`] | the end of a descent, and the rule by which learning rates back off |
//! | [`experiment`] | errors on the pictures of a data set, and sheets of images |

pub mod blur;
pub mod descent;
pub mod ending;
pub mod experiment;
mod goal;
pub mod priors;
pub mod settings;

pub use descent::{BaselineImages, invert, invert_from};
pub use ending::Ending;

pub use experiment::{Experiment, GAP, Inversion, Job, LeftOut};
pub use settings::{Prior, Settings, Stage};
