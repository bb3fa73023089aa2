//! Learners of recipes and of checkpoints.

use std::path::Path;

use candle_core::Device;
use deepsim_data::Batch;
use deepsim_run::recipe::{ComparatorRecipe, Learned};

use super::surrogate::SurrogateLearner;
use super::videonet::VideoLearner;
use super::{Learner, checkpoint};
use crate::TrainError;
use crate::run::precision;
use crate::step::report::StepReport;

/// Makes one step on `batch` from a checkpoint.
pub(crate) fn replay(
    file: &Path,
    batch: &Batch,
    device: &Device,
) -> Result<StepReport, TrainError> {
    let plan = checkpoint::read_state(file)?.plan;
    let mut learner = learner(&plan.recipe, device)?;
    checkpoint::load(file, &mut *learner)?;
    learner.step(batch, &mut |_, _, _| Ok(()))
}

/// Opens the learner of a recipe, with initial weights.
pub(super) fn learner(
    recipe: &ComparatorRecipe,
    device: &Device,
) -> Result<Box<dyn Learner>, TrainError> {
    precision::set(recipe.precision, device)?;
    let (seed, sgd) = (recipe.seed, &recipe.sgd);
    Ok(match &recipe.comparator {
        Learned::ExemplarCnn(task) => {
            Box::new(SurrogateLearner::exemplar_cnn(task.classes.number, seed, sgd, device)?)
        }
        Learned::Instances(task) => Box::new(SurrogateLearner::instances(task, seed, sgd, device)?),
        Learned::VideoNet(task) => {
            Box::new(VideoLearner::new(task.mining, task.pairs.crop, seed, sgd, device)?)
        }
    })
}
