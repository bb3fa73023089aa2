//! What is measured on a trained generator: one contract, one measure per file.
//!
//! | name | measures | paper |
//! |---|---|---|
//! | [`error`] | normalised Euclidean error, in image space and in feature spaces | v1 Table 3 |
//! | [`svm`] | accuracy of linear SVMs on the code | v1 Table 4 |
//! | [`lpips`] | learned perceptual image patch similarity | - |
//! | [`sharpness`] | power of high frequencies against the originals' | - |
//! | [`grid`] | pictures of reconstructions | v1 Figures 3, 5 |
//! | [`reencode`] | reconstructions of reconstructions | v1 Figure 8 |
//! | [`interpolate`] | pictures between two images | v1 Figure 9 |
//! | [`neighbours`] | the nearest training images | supplement |
//! | [`presamples`] | whether noise makes images of one feature vector differ | v1 section 4.3 |
//! | [`samples`] | pictures from a variational autoencoder's prior, and how far they are from images | v1 Figure 4 |
//! | [`latent`] | what its codes hold, and whether they lie where the prior is | - |
//! | [`recognise`] | whether an independent network sees the same classes | - |
//!
//! A new measure is a type that implements [`Measure`] and a line in [`all`].

pub mod context;
pub mod error;
pub mod grid;
pub mod interpolate;
pub mod latent;
pub mod lpips;
pub mod model;
pub mod neighbours;
pub mod presamples;
pub mod recognise;
pub mod reencode;
pub mod row;
pub mod samples;
pub mod sharpness;
pub mod space;
pub mod svm;

use std::path::PathBuf;
use std::time::Instant;

use deepsim_data::atomic::write_atomic;
use serde::{Deserialize, Serialize};

pub use context::{Context, Settings};
pub use model::Model;
pub use row::Row;
pub use space::Space;

use crate::EvalError;

/// The file `RUN/eval/<measure>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name of the measure.
    pub measure: String,
    /// What was measured.
    pub rows: Vec<Row>,
    /// Description of the data set.
    pub dataset: String,
    /// How long it took.
    pub seconds: f64,
}

/// Something to measure on a generator.
pub trait Measure: Sync {
    /// Name on the command line and of the file of results.
    fn name(&self) -> &'static str;

    /// One line on what it measures, for the help of programs.
    fn about(&self) -> &'static str;

    /// Measures.
    ///
    /// # Errors
    /// If data cannot be read, a network does not fit, or results cannot be written.
    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError>;
}

/// All measures.
pub fn all() -> [&'static dyn Measure; 12] {
    [
        &error::Error,
        &svm::Svm,
        &sharpness::Sharpness,
        &grid::Grid,
        &lpips::LpipsError,
        &reencode::Reencode,
        &interpolate::Interpolate,
        &recognise::Recognise,
        &neighbours::Neighbours,
        &presamples::Presamples,
        &samples::Samples,
        &latent::Latent,
    ]
}

/// The measure of this name.
///
/// # Errors
/// If there is none; lists those that exist.
pub fn by_name(name: &str) -> Result<&'static dyn Measure, EvalError> {
    all().into_iter().find(|measure| measure.name() == name).ok_or_else(|| EvalError::Unknown {
        what: "measure",
        known: all().map(|measure| measure.name()).join(", "),
        got: name.into(),
    })
}

/// Measures and writes `RUN/eval/<measure>.json`, whole or not at all. Returns its path, too.
///
/// # Errors
/// As [`Measure::rows`], or if there is no test image, or no row has a value.
pub fn evaluate(
    measure: &dyn Measure,
    context: &Context<'_>,
) -> Result<(Measurement, PathBuf), EvalError> {
    let (start, name) = (Instant::now(), measure.name());
    if context.test_len() == 0 {
        return Err(EvalError::input(name, "one test image or more", "none"));
    }
    let folder = context.folder()?;
    let rows = measure.rows(context)?;
    if let Some(first) = rows.first().filter(|_| rows.iter().all(|row| row.value.is_none())) {
        let reason = format!("{}: {}", first.name, first.note);
        return Err(EvalError::Undefined { measure: name.into(), reason });
    }
    let measurement = Measurement {
        measure: name.into(),
        rows,
        dataset: context.dataset.description.clone(),
        seconds: start.elapsed().as_secs_f64(),
    };
    let path = folder.join(format!("{name}.json"));
    write_atomic(&path, &json(&measurement, "a measurement")?)?;
    Ok((measurement, path))
}

/// Writes rows as JSON, whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write_rows(path: &std::path::Path, rows: &[Row]) -> Result<(), EvalError> {
    Ok(write_atomic(path, &json(&rows, "rows")?)?)
}

/// A value as indented JSON with a last newline.
pub(crate) fn json(value: &impl Serialize, what: &'static str) -> Result<Vec<u8>, EvalError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| EvalError::input("writing JSON", what, e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_have_distinct_names_and_unknown_ones_are_refused_with_the_list() {
        for measure in all() {
            assert_eq!(by_name(measure.name()).map(Measure::name).ok(), Some(measure.name()));
        }
        let message = by_name("fid").err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(
            message,
            "unknown measure `fid`; known are error, svm, sharpness, grid, lpips, reencode, interpolate, recognise, neighbours, presamples, samples, latent"
        );
    }
}
