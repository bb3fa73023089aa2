//! What `deepsim optimise` found, as if it were runs.

use std::path::Path;

use super::run::{Method, Run};
use crate::EvalError;
use crate::measure::Measurement;
use crate::preimage::Inversion;

/// Pixels between the pictures of a row.
pub(super) use crate::preimage::GAP;

/// All inversions in a folder, by layer.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub(super) fn open(folder: &Path) -> Result<Vec<Run>, EvalError> {
    let reading = EvalError::io("reading", folder);
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(reading)? {
        let path = entry.map_err(EvalError::io("reading", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|path| run(path)).collect()
}

fn run(path: &Path) -> Result<Run, EvalError> {
    let bytes = std::fs::read(path).map_err(EvalError::io("reading", path))?;
    let Inversion { job, rows, .. } = serde_json::from_slice(&bytes).map_err(|e| {
        EvalError::content(path, None, "an inversion by optimisation", e.to_string())
    })?;
    let method = match job.prior {
        crate::preimage::Prior::MahendranVedaldi => "Mahendran & Vedaldi".to_owned(),
        prior => format!("optimised, {prior}"),
    };
    let measurement =
        Measurement { measure: "error".into(), rows, dataset: job.dataset, seconds: 0.0 };
    Ok(Run {
        label: format!("{} {method}", job.tap),
        folder: path.parent().unwrap_or(path).to_path_buf(),
        row_of_pictures: Some(path.with_extension("png")),
        plan: None,
        log: Vec::new(),
        measurements: [("error".to_owned(), measurement)].into(),
        seconds: None,
        inversion: Some((job.tap, Method::Optimised)),
    })
}
