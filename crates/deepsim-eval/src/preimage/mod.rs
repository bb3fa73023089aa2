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
//! | [`ending`] | the end of a descent, and the rule by which learning rates back off |
//! | [`experiment`] | errors of preimages of a data set, and their pictures |

pub mod blur;
pub mod descent;
pub mod ending;
pub mod experiment;
mod goal;
pub mod priors;
pub mod settings;

pub use descent::{Preimages, invert, invert_from};
pub use ending::Ending;

pub use experiment::{Experiment, GAP, Inversion, Job, LeftOut};
pub use settings::{Prior, Settings, Stage};
