//! Measures of a run: one per file, registered in one list, [`all`].
//!
//! A measure is a struct that implements [`Measure`]; its fields are its options. What all measures share is
//! in the [`Context`]: the model, the data, and the [`Sampling`] of images. To add one, write its file and,
//! here, its `mod` line and its entry in `MEASURES`, beside its like: names, help, options of the command line and their
//! tests follow. Test its numbers in its file, and a run in `tests/measures.rs`. Its formula is a metric
//! ([`crate::metrics`]).

pub mod colour;
pub mod context;
pub(crate) mod distances;
pub mod error;
pub mod grid;
pub mod interpolate;
pub mod kind;
pub mod latent;
pub mod lpips;
pub mod model;
pub mod neighbours;
pub mod options;
pub mod preimages;
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

pub use context::{Context, Sampling};
pub use kind::{AnyMeasure, Kind, Measure};
pub use model::Model;
pub use options::Opt;
pub use row::Row;
pub use space::Space;

use crate::EvalError;

/// The file `RUN/eval/<measure>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name of the measure.
    pub measure: String,
    /// Numbers that were measured.
    pub rows: Vec<Row>,
    /// Description of the data set.
    pub dataset: String,
    /// Duration of the measurement.
    pub seconds: f64,
}

/// Rows of the measures, in the order of the help.
static MEASURES: &[Kind] = &[
    Kind::of::<error::Error>(),
    Kind::of::<svm::Svm>(),
    Kind::of::<sharpness::Sharpness>(),
    Kind::of::<colour::Colour>(),
    Kind::of::<grid::Grid>(),
    Kind::of::<lpips::LpipsError>(),
    Kind::of::<reencode::Reencode>(),
    Kind::of::<interpolate::Interpolate>(),
    Kind::of::<recognise::Recognise>(),
    Kind::of::<neighbours::Neighbours>(),
    Kind::of::<presamples::Presamples>(),
    Kind::of::<preimages::Preimages>(),
    Kind::of::<samples::Samples>(),
    Kind::of::<latent::Latent>(),
];

/// Returns all measures, in the order of the help.
pub fn all() -> &'static [Kind] {
    MEASURES
}

/// Returns the measure of this name.
///
/// # Errors
/// If there is none; lists those that exist.
pub fn by_name(name: &str) -> Result<&'static Kind, EvalError> {
    all().iter().find(|kind| kind.name() == name).ok_or_else(|| EvalError::Unknown {
        what: "measure",
        known: all().iter().map(Kind::name).collect::<Vec<_>>().join(", "),
        got: name.into(),
    })
}

/// Measures and writes `RUN/eval/<measure>.json`, whole or not at all. Returns its path, too.
///
/// # Errors
/// As [`Measure::rows`], or if there is no test image, or no row has a value.
pub fn evaluate(
    measure: &dyn AnyMeasure,
    context: &Context<'_>,
) -> Result<(Measurement, PathBuf), EvalError> {
    let (start, name) = (Instant::now(), measure.name());
    if context.test_len() == 0 {
        return Err(EvalError::input(name, "one test image or more", "none"));
    }
    let folder = context.folder()?;
    let rows = measure.take(context)?;
    if rows.iter().all(|row| row.value.is_none()) {
        let first = rows.first().map(|first| format!("{}: {}", first.name, first.note));
        let reason = first.unwrap_or_else(|| "nothing was asked for".into());
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
        for kind in all() {
            assert!(by_name(kind.name()).is_ok_and(|found| std::ptr::eq(found, kind)));
        }
        let message = by_name("fid").err().map(|e| e.to_string()).unwrap_or_default();
        let names: Vec<&str> = all().iter().map(Kind::name).collect();
        assert_eq!(message, format!("unknown measure `fid`; known are {}", names.join(", ")));
    }

    #[test]
    fn every_field_of_a_measure_is_an_option_with_help_that_takes_its_own_default()
    -> Result<(), EvalError> {
        for kind in all() {
            let defaults = kind.defaults()?;
            let mut fields: Vec<&str> = defaults.keys().map(String::as_str).collect();
            fields.sort_unstable();
            let mut keys: Vec<&str> = kind.options().iter().map(|opt| opt.key).collect();
            keys.sort_unstable();
            assert_eq!(fields, keys, "{}", kind.name());
            assert!(kind.options().iter().all(|opt| !opt.value.is_empty() && opt.about.len() > 10));
            let texts: Vec<_> = defaults.iter().map(|(k, v)| (&**k, options::written(v))).collect();
            let texts: Vec<_> = texts.iter().map(|(key, text)| (*key, &**text)).collect();
            assert_eq!(kind.with(&texts)?.options()?, defaults, "{}", kind.name());
            let message = kind.with(&[("no-such-key", "1")]).err().map(|e| e.to_string());
            let begins = format!("{}.no-such-key: expected ", kind.name());
            assert!(message.is_some_and(|message| message.starts_with(&begins)));
        }
        Ok(())
    }

    #[test]
    fn options_are_read_from_text_and_what_is_wrong_is_named() -> Result<(), EvalError> {
        let options = |measure: &str, pairs: &[(&str, &str)]| -> Result<String, EvalError> {
            let options = by_name(measure)?.with(pairs)?.options()?;
            Ok(serde_json::Value::Object(options).to_string())
        };
        assert_eq!(options("error", &[])?, r#"{"spaces":[]}"#);
        let two = [("spaces", "alexnet:CONV3"), ("spaces", "squeezenet:POOL4,squeezenet:FIRE9")];
        let all = r#"{"spaces":["alexnet:CONV3","squeezenet:POOL4","squeezenet:FIRE9"]}"#;
        assert_eq!(options("error", &two)?, all);
        assert_eq!(
            options("svm", &[("draws", "3"), ("draws", "4")])?.get(..10),
            Some("{\"draws\":4")
        );
        for (measure, key, value, words) in [
            ("svm", "draws", "-3", "svm.draws: expected a whole number of at least 0, found -3"),
            (
                "svm",
                "draws",
                "many",
                "svm.draws: expected a whole number of at least 0, found many",
            ),
            (
                "svm",
                "inputs",
                "code,codes",
                "svm.inputs: expected one of `code`, `center-code`, `pixels`",
            ),
            (
                "error",
                "spaces",
                "lenet:CONV1",
                "error.spaces: expected NET:TAP (unknown feature space",
            ),
            (
                "error",
                "space",
                "x",
                "expected an option of error (spaces; nearest: spaces), found space",
            ),
            ("grid", "zzz", "1", "grid.zzz: expected an option of grid (images), found zzz"),
            (
                "latent",
                "x",
                "1",
                "latent.x: expected nothing, because latent has no options, found x",
            ),
        ] {
            let message = options(measure, &[(key, value)]).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        Ok(())
    }
}
