//! Training of comparators from pictures without labels.
//!
//! | module | holds |
//! |---|---|
//! | [`ComparatorRecipe`] | what to train, as TOML |
//! | [`surrogate`] | Exemplar-CNN and others: classification of surrogate classes |
//! | [`videonet`], [`mining`] | VideoNet: ranking of tracked pictures, and against which others |
//! | [`checkpoint`] | weights and velocities on disk |
//! | [`run()`] | the run |

pub mod checkpoint;
mod learners;
pub mod mining;
mod run;
mod samples;
pub mod surrogate;
mod update;
pub mod videonet;

use deepsim_data::Batch;
use deepsim_nets::Params;

use crate::TrainError;
use crate::step::gradients::GradientHook;
use crate::trainer::StepReport;

pub use deepsim_run::recipe::{ComparatorRecipe, Learned};
pub(crate) use learners::replay;
pub(crate) use run::prepare;
pub use run::run;
pub use update::Solver;

/// A comparator in training.
pub trait Learner {
    /// One update on a batch; every gradient is passed to `hook`.
    ///
    /// # Errors
    /// If a loss or a gradient is not finite, or an operation fails; then nothing has been changed.
    fn step(
        &mut self,
        batch: &Batch,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError>;

    /// Returns all weights.
    fn params(&self) -> &Params;

    /// Returns true if a weight belongs to the comparator, and not only to its training.
    fn belongs(&self, name: &str) -> bool;

    /// The optimiser.
    fn solver(&self) -> &Solver;

    /// The optimiser, to put back the number of updates made.
    fn solver_mut(&mut self) -> &mut Solver;
}
