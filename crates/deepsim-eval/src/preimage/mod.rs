//! Inversion of features by optimisation: the images whose features come nearest to given ones, under
//! a prior of what images look like. The baseline that the paper's generators are compared with (v2
//! Table 2: Mahendran & Vedaldi).
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | priors and schedules as plain data, and where each number comes from |
//! | [`priors`] | total variation and powers of pixels, with their gradients |
//! | [`blur`] | Gaussian blur and circular shifts |
//! | [`descent`] | gradient descent on a batch of pictures |
//! | [`experiment`] | errors of preimages of a data set, and their pictures |

pub mod blur;
pub mod descent;
pub mod experiment;
pub mod priors;
pub mod settings;

pub use descent::{Preimages, invert, invert_from};
pub(crate) use experiment::GAP;
pub use experiment::{Experiment, Inversion, Job};
pub use settings::{Prior, Settings, Stage};
