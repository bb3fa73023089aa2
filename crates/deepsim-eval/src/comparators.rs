//! Comparators with the weights of a folder, or with random ones.

use std::path::{Path, PathBuf};

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
    known(operation, kind, weights, random)?;
    open(kind, weights, device)
}

/// Opens a comparator as deep as the deepest of some taps; random weights are used only if `random` says so.
///
/// # Errors
/// If there is no such tap, or weights are missing or do not fit.
pub fn open_to_taps(
    operation: &'static str,
    kind: &ComparatorKind,
    taps: &[String],
    weights: Option<&Path>,
    random: bool,
    device: &Device,
) -> Result<Box<dyn Comparator>, EvalError> {
    let file = known(operation, kind, weights, random)?;
    Ok(kind.open_to(deepest(kind, taps), file.as_deref(), RANDOM_SEED, device)?)
}

/// Returns the deepest of some taps; one that the network does not have before all others, so that it is refused.
pub(crate) fn deepest<'a>(kind: &ComparatorKind, taps: &'a [String]) -> &'a str {
    let spec = kind.spec();
    let depth = |tap: &&String| {
        let row =
            spec.taps.iter().find(|(name, _)| name == *tap).map_or(&***tap, |(_, row)| &**row);
        spec.layers.iter().rposition(|layer| layer.name == row).unwrap_or(usize::MAX)
    };
    taps.iter().max_by_key(depth).map_or("", String::as_str)
}

/// File with a comparator's weights, which is missing only if `random` allows it.
fn known(
    operation: &'static str,
    kind: &ComparatorKind,
    weights: Option<&Path>,
    random: bool,
) -> Result<Option<PathBuf>, EvalError> {
    let file = kind.find_weights(weights);
    if file.is_none() && !random {
        let folder = weights.map_or("--weights".into(), |folder| folder.display().to_string());
        let wanted = format!("weights of {} in {folder}", kind.name());
        let all = ComparatorKind::all();
        let shipped: Vec<&str> =
            all.iter().filter(|kind| kind.spec().shipped).map(ComparatorKind::name).collect();
        let got = format!("none; these come with the project: {}", shipped.join(", "));
        return Err(EvalError::input(operation, wanted, got));
    }
    Ok(file)
}

/// Returns true if a comparator has random weights.
pub(crate) fn is_random(comparator: &dyn Comparator) -> bool {
    matches!(comparator.origin(), WeightsOrigin::Random(_))
}
