//! Interface between the loop of a run and the networks that it trains.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_data::{Batch, Cursor, LoaderConfig, Source};
use deepsim_nets::Params;
use deepsim_run::recipe::OutputConfig;

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::step::gradients::GradientHook;
use crate::step::report::StepReport;
use crate::store::Put;

/// Networks in training, as the loop sees them.
pub(crate) trait Session {
    /// Steps made.
    fn steps(&self) -> u64;

    /// Makes one step; `hook`, if there is one, is called with every gradient.
    fn step(
        &mut self,
        batch: &Batch,
        hook: Option<&mut GradientHook<'_>>,
    ) -> Result<StepReport, TrainError>;

    /// Steps at the beginning that take longer than later ones.
    fn first_steps(&self) -> usize {
        0
    }

    /// Returns true if [`Session::prefetch`] takes each batch one step early.
    fn prefetches(&self) -> bool {
        false
    }

    /// Begins to bring the batch of the step after the coming one to where it is computed with.
    fn prefetch(&mut self, _batch: &Batch) {}

    /// Returns a warning about the step, once.
    fn notice(&mut self) -> Option<String> {
        None
    }

    /// Measures the loss on held-out images, if there are any.
    fn validate(&self) -> Result<Option<f64>, TrainError> {
        Ok(None)
    }

    /// Draws the grid of images that shows the progress.
    fn draw(&self) -> Result<Picture, TrainError>;

    /// The networks that are trained, by name.
    fn networks(&self) -> Vec<(&'static str, &Params)>;

    /// Hands over the files of a checkpoint: all that a run needs to continue from here, and the newest
    /// result.
    fn save(&self, cursor: Cursor, put: &mut Put<'_>) -> Result<(), TrainError>;

    /// Newest result, as a file of the run folder: its name and bytes.
    fn product(&self) -> Result<(&'static str, Vec<u8>), TrainError>;
}

/// Data, length and outputs of a run.
pub(crate) struct LoopSetup<'a> {
    /// The run folder, which exists.
    pub(crate) out: &'a Path,
    /// Name of the run.
    pub(crate) name: &'a str,
    /// Description in a few lines of what is trained on what.
    pub(crate) heading: Vec<String>,
    /// Steps of the whole run.
    pub(crate) steps: u64,
    /// Training data, one after the other.
    pub(crate) phases: Vec<Phase>,
    /// Configuration of batches.
    pub(crate) loader: LoaderConfig,
    /// Outputs, and how often they are written.
    pub(crate) output: &'a OutputConfig,
    /// The processes of the run, of which the first writes.
    pub(crate) group: Rc<dyn ProcessGroup>,
}

/// Adds the kernels in use to the description of a run on the CPU.
pub(crate) fn with_kernels(
    mut heading: Vec<String>,
    device: &Device,
) -> Result<Vec<String>, TrainError> {
    if device.is_cpu() {
        heading.push(format!("kernels for {}", deepsim_ops::kernels()?));
    }
    Ok(heading)
}

impl LoopSetup<'_> {
    /// Returns true if a checkpoint is due after a step, whatever signals ask for.
    pub(crate) fn kept(&self, step: u64) -> bool {
        step.is_multiple_of(self.output.checkpoint_every) || step == self.steps
    }

    /// Returns true if a grid is drawn after a step.
    pub(crate) fn pictured(&self, step: u64) -> bool {
        step.is_multiple_of(self.output.grid_every) || step == self.steps
    }
}

/// A part of a run with its own data.
pub(crate) struct Phase {
    /// Steps of the run after which it ends.
    pub(crate) until: u64,
    /// The data.
    pub(crate) source: Arc<dyn Source>,
}
