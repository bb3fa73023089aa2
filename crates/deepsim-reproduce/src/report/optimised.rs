//! Inversions by `deepsim optimise`, in the form of runs.

use std::path::Path;

use deepsim_eval::measure::Measurement;
use deepsim_eval::optimisation_baseline::{Inversion, Prior};
use deepsim_run::folder::RunFolder;
use deepsim_run::identity::Method;

use super::run::Run;
use crate::ReproduceError;
use crate::catalogue::{Experiment, optimised_label};

/// Reads every inversion in a folder, by layer.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub(super) fn open(folder: &Path) -> Result<Vec<Run>, ReproduceError> {
    let reading = || ReproduceError::io("reading", folder);
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|path| run(path)).collect()
}

fn run(path: &Path) -> Result<Run, ReproduceError> {
    let bytes = std::fs::read(path).map_err(ReproduceError::io("reading", path))?;
    let Inversion { job, rows, .. } = serde_json::from_slice(&bytes)
        .map_err(|error| ReproduceError::content(path, "an inversion by optimisation", error))?;
    let label = match job.prior {
        Prior::MahendranVedaldi => optimised_label(&job.tap),
        prior => format!("{} optimised, {prior}", job.tap),
    };
    let measurement =
        Measurement { measure: "error".into(), rows, dataset: job.dataset, seconds: 0.0 };
    Ok(Run {
        label,
        run: RunFolder {
            path: path.parent().unwrap_or(path).to_path_buf(),
            ..RunFolder::default()
        },
        id: format!("{}-{}", job.prior, job.tap),
        method: Method::Optimised,
        layer: Some(job.tap),
        experiment: Some(Experiment::Inversion),
        measurements: [("error".to_owned(), measurement)].into(),
        row_of_pictures: Some(path.with_extension("png")),
    })
}
