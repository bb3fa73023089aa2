//! A training run: batches in; checkpoints, log and pictures out.
//!
//! | module | holds |
//! |---|---|
//! | [`run()`], `generator` | run of a generator |
//! | `training_loop`, `session` | the loop, and its interface to the networks that it trains |
//! | `recorder`, `log`, [`tensorboard`] | what the loop writes |
//! | [`monitor`] | warnings about a lost balance |
//! | [`plan`], `data` | recipe and data to a checked plan |
//! | [`failure`] | reproducers of steps that failed |
//! | [`estimate`] | cost of a run |
//! | [`compare`] | differences of two runs |

pub mod compare;
pub(crate) mod control;
pub(crate) mod data;
pub mod estimate;
pub mod failure;
mod generator;
mod log;
pub mod monitor;
pub(crate) mod options;
pub mod plan;
pub mod precision;
mod prefetch;
mod recorder;
pub(crate) mod session;
pub mod tensorboard;
pub(crate) mod training_loop;

pub use control::{Outcome, Requests};
pub use generator::run;
pub use options::RunOptions;
