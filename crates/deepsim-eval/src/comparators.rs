//! Comparators with the weights of a folder, or with random ones.

use std::path::Path;

use candle_core::Device;
use deepsim_nets::{Comparator, ComparatorKind, WeightsOrigin};

use crate::EvalError;

/// Seed of the weights of comparators for which no file is found: the same for every run, and the
/// one that recipes use, so that "random AlexNet" is one network everywhere.
pub const RANDOM_SEED: u64 = 0;

/// Opens a comparator with the weights in a folder, or with random ones if there is no file.
pub(crate) fn open(
    kind: &ComparatorKind,
    weights: Option<&Path>,
    device: &Device,
) -> Result<Box<dyn Comparator>, EvalError> {
    let file = kind.find_weights(weights);
    Ok(kind.open(file.as_deref(), RANDOM_SEED, device)?)
}

/// Opens a comparator with the weights in a folder; random ones are used only if `random` says so.
pub(crate) fn open_known(
    operation: &'static str,
    kind: &ComparatorKind,
    weights: Option<&Path>,
    random: bool,
    device: &Device,
) -> Result<Box<dyn Comparator>, EvalError> {
    if !random && kind.find_weights(weights).is_none() {
        let folder = weights.unwrap_or(Path::new("."));
        let wanted = format!("weights of {} in {}", kind.name(), folder.display());
        return Err(EvalError::input(operation, wanted, "none"));
    }
    open(kind, weights, device)
}

/// Returns true if a comparator has random weights.
pub(crate) fn is_random(comparator: &dyn Comparator) -> bool {
    matches!(comparator.origin(), WeightsOrigin::Random(_))
}
