//! Processes that train one generator together, each on its share of every batch.
//!
//! Every process holds all networks and makes the same steps. The loader gives each rank its share of the
//! batch. Gradients and losses are averaged over all ranks before they are used, so that weights, moments
//! and balance are the same bits everywhere. Random numbers of an image depend on its place in the whole
//! batch. A run is therefore the same for any world size, except for rounding, and a checkpoint does not
//! depend on it.

mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
#[cfg(any(feature = "mpi", feature = "nccl"))]
mod patience;
#[cfg(any(feature = "nccl", test))]
mod rendezvous;
#[cfg(any(feature = "nccl", test))]
mod watchdog;

use std::fmt::Debug;

use candle_core::Tensor;

use crate::TrainError;
pub use launcher::{LaunchError, join, local_gpu};

/// The processes of a run, as one of them sees it.
///
/// Every process must call [`ProcessGroup::sum`] and [`ProcessGroup::sum_tensors`] in the same order with as many
/// values, from one thread.
pub trait ProcessGroup: Debug {
    /// Number of this process, from 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces values by their sums over all processes: the same bits in all of them.
    ///
    /// # Errors
    /// If another process is lost.
    fn sum(&self, values: &mut [f64]) -> Result<(), TrainError>;

    /// Replaces tensors of `f32` by their sums over all processes: the same bits in all of them.
    ///
    /// # Errors
    /// If another process is lost, or a tensor cannot be read or made.
    fn sum_tensors(&self, tensors: &mut [Tensor]) -> Result<(), TrainError>;

    /// True if [`ProcessGroup::sum_tensors`] leaves the sums on the GPUs and waits for nothing.
    fn sums_on_gpus(&self) -> bool {
        false
    }

    /// Ends all processes at once, where that is possible; for errors that the others do not know of.
    fn abort(&self, _exit_code: u8) {}
}

impl dyn ProcessGroup + '_ {
    /// True in the process that writes and talks.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// True if the host has to wait for the others to know a sum: not if there are none, nor if GPUs sum.
    pub(crate) fn sums_on_host(&self) -> bool {
        self.size() > 1 && !self.sums_on_gpus()
    }

    /// Waits until every process is here.
    ///
    /// # Errors
    /// As [`ProcessGroup::sum`].
    pub fn meet(&self) -> Result<(), TrainError> {
        self.sum(&mut [0.0])
    }

    /// Fails if the ranks do not all have the same value of `what`.
    ///
    /// # Errors
    /// [`TrainError::Group`] with every value, or as [`ProcessGroup::sum`].
    pub(crate) fn agree(&self, what: &str, value: f64) -> Result<(), TrainError> {
        // Each rank fills its own place, so that the sum holds the values of all ranks.
        let mut all = vec![0.0; self.size()];
        all[self.rank()] = value;
        self.sum(&mut all)?;
        if all.iter().all(|other| *other == all[0]) {
            return Ok(());
        }
        Err(TrainError::Group(format!("expected the same {what} in every process, found {all:?}")))
    }
}

/// A single process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl ProcessGroup for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f64]) -> Result<(), TrainError> {
        Ok(())
    }

    fn sum_tensors(&self, _: &mut [Tensor]) -> Result<(), TrainError> {
        Ok(())
    }
}
