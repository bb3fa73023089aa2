//! Checkpoints of comparators: one safetensors file of a folder that the
//! [`store`](crate::store) keeps.
//!
//! Tensors are named `weights/..` and `velocity/..`; the metadata holds [`LearnerState`]. Nothing in the
//! file depends on the clock, so equal runs write equal bytes.

use std::path::Path;

use deepsim_data::Cursor;
use deepsim_nets::Params;
use deepsim_nets::params::SPEC_KEY;
use deepsim_run::plan::ComparatorPlan;
use serde::{Deserialize, Serialize};

use super::Learner;
use crate::TrainError;
use crate::store::checkpoint::description;

/// LearnerState of a run, except tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnerState {
    /// Updates made.
    pub step: u64,
    /// Position in the data.
    pub cursor: Cursor,
    /// The plan of the run.
    pub plan: ComparatorPlan,
}

/// The bytes of a checkpoint.
///
/// # Errors
/// If a tensor cannot be copied from its device.
pub fn to_bytes(
    learner: &dyn Learner,
    cursor: Cursor,
    plan: &ComparatorPlan,
) -> Result<Vec<u8>, TrainError> {
    let state = LearnerState { step: learner.solver().steps, cursor, plan: plan.clone() };
    Ok(tensors(learner).to_safetensors(&serde_json::json!(state).to_string())?)
}

/// Reads the state of a checkpoint: only the header of the file, however large its tensors are.
///
/// # Errors
/// If the file is not a checkpoint of a comparator.
pub fn read_state(path: &Path) -> Result<LearnerState, TrainError> {
    description(path, SPEC_KEY, "a checkpoint of a comparator")
}

/// Puts weights, velocities and the number of updates of a checkpoint into a learner.
///
/// # Errors
/// If the file is not a checkpoint of such a run; then nothing has been changed.
pub fn load(path: &Path, learner: &mut dyn Learner) -> Result<LearnerState, TrainError> {
    let state = read_state(path)?;
    tensors(learner).load(path, "the run's comparator")?;
    learner.solver_mut().steps = state.step;
    Ok(state)
}

fn tensors(learner: &dyn Learner) -> Params {
    let named = |kind: &'static str, params: &Params| {
        let all: Vec<_> =
            params.iter().map(|(name, var)| (format!("{kind}/{name}"), var.clone())).collect();
        all
    };
    let weights = named("weights", learner.params());
    weights.into_iter().chain(named("velocity", learner.solver().sgd.velocities())).collect()
}
