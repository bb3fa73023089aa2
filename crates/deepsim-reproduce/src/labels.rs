//! Measures and targets that need labels, which pictures of one's own may not have.

use std::collections::BTreeMap;

use deepsim_data::dataset::{DataOptions, Format};
use deepsim_eval::svm::check_labels;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Target};
use crate::options::Options;

/// The measure that needs labels.
pub(crate) const MEASURE: &str = "svm";

/// Leaves out the targets that show nothing but the measure, where data have no labels. Returns the experiments on
/// such data, with the reason.
///
/// # Errors
/// If no target is left, or the data cannot be opened.
pub(crate) fn leave_out(
    options: &Options,
    targets: &mut Vec<&'static Target>,
) -> Result<BTreeMap<Experiment, String>, ReproduceError> {
    let mut unlabelled = BTreeMap::new();
    for experiment in Experiment::ALL {
        let measured = experiment.measures().contains(&MEASURE)
            && targets.iter().any(|target| target.experiment == experiment);
        if measured && let Some(reason) = missing(options, experiment)? {
            targets.retain(|target| target.experiment != experiment || target.shown != [MEASURE]);
            if targets.is_empty() {
                return Err(ReproduceError::usage(reason));
            }
            unlabelled.insert(experiment, reason);
        }
    }
    Ok(unlabelled)
}

/// Returns why the data of an experiment cannot be classified, if they cannot.
fn missing(options: &Options, experiment: Experiment) -> Result<Option<String>, ReproduceError> {
    let data = options.data_options(experiment);
    // Scenes, or what --fetch will bring.
    if data.data == options.stl10() || matches!(data.format()?, Format::Stl10 | Format::Photos) {
        return Ok(None);
    }
    // Neither of these changes labels.
    let data = DataOptions { cache: None, without_duplicates: false, ..data };
    let dataset = data.open(options.seed)?;
    Ok(check_labels(MEASURE, &dataset).err().map(|error| error.to_string()))
}
