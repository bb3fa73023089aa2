//! What a run folder tells: its plan, its log and its measurements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use deepsim_data::picture::Picture;
use serde_json::Value;

use crate::EvalError;
use crate::measure::grid::{ORIGINALS, RECONSTRUCTIONS};
use crate::measure::{Measurement, Row};

/// A measured run.
pub(super) struct Run {
    pub(super) label: String,
    pub(super) folder: PathBuf,
    /// Text of `plan.toml`, and the same parsed.
    pub(super) plan: Option<(String, toml::Table)>,
    /// Lines of `log.jsonl` that are steps.
    pub(super) log: Vec<Value>,
    pub(super) measurements: BTreeMap<String, Measurement>,
    /// Seconds of training, once it is finished.
    pub(super) seconds: Option<f64>,
}

impl Run {
    /// Reads what is there of `LABEL=DIR`; what is missing is missing, what is broken is an error.
    pub(super) fn open(argument: &str) -> Result<Self, EvalError> {
        let Some((label, folder)) = argument.split_once('=') else {
            return Err(EvalError::input("--run", "LABEL=DIR", argument));
        };
        let folder = PathBuf::from(folder);
        if !folder.is_dir() {
            return Err(EvalError::Run { path: folder, reason: "no such folder".into() });
        }
        let plan = match read(&folder.join("plan.toml"))? {
            None => None,
            Some(text) => {
                let table = toml::from_str(&text).map_err(|e| {
                    EvalError::content(&folder.join("plan.toml"), None, "TOML", e.to_string())
                })?;
                Some((text, table))
            }
        };
        let done = folder.join("done.json");
        let seconds = match read(&done)? {
            Some(text) => parse(&done, None, &text)?["seconds"].as_f64(),
            None => None,
        };
        let mut measurements = BTreeMap::new();
        for name in crate::measure::all().map(|measure| measure.name()) {
            let path = folder.join("eval").join(format!("{name}.json"));
            if let Some(text) = read(&path)? {
                let value = parse(&path, None, &text)?;
                let measurement = serde_json::from_value(value)
                    .map_err(|e| EvalError::content(&path, None, "a measurement", e.to_string()))?;
                measurements.insert(name.to_owned(), measurement);
            }
        }
        let log = log(&folder.join("log.jsonl"))?;
        Ok(Self { label: label.into(), folder, plan, log, measurements, seconds })
    }

    /// The first row of a measure whose name starts with `name`.
    pub(super) fn row(&self, measure: &str, name: &str) -> Option<&Row> {
        self.measurements.get(measure)?.rows.iter().find(|row| row.name.starts_with(name))
    }

    /// A value of the plan, e.g. `recipe.steps`.
    pub(super) fn plan_value(&self, path: &str) -> Option<&toml::Value> {
        let mut keys = path.split('.');
        let first = self.plan.as_ref()?.1.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// Steps that were made.
    pub(super) fn steps(&self) -> Option<u64> {
        self.log.last()?["step"].as_u64()
    }

    /// Whether the data was generated.
    pub(super) fn synthetic(&self) -> bool {
        self.plan_value("data.synthetic").and_then(toml::Value::as_bool).unwrap_or(false)
    }

    /// Where the comparator's weights come from.
    pub(super) fn comparator(&self) -> Option<&str> {
        self.plan_value("comparator")?.as_str()
    }

    /// A number of every step of the log at a JSON pointer, e.g. `/terms/image/value`.
    pub(super) fn series(&self, pointer: &str) -> Vec<(f64, f64)> {
        let point = |line: &Value| Some((line["step"].as_f64()?, line.pointer(pointer)?.as_f64()?));
        self.log.iter().filter_map(point).collect()
    }

    /// Names in a table of the log, e.g. of the terms of the loss, `/terms`.
    pub(super) fn names(&self, pointer: &str) -> Vec<String> {
        let table = self.log.last().and_then(|line| line.pointer(pointer)?.as_object());
        table.map_or(Vec::new(), |table| table.keys().cloned().collect())
    }

    /// Mean of a number over the last tenth of the log: single steps are noisy.
    pub(super) fn at_the_end(&self, pointer: &str) -> Option<f64> {
        let series = self.series(pointer);
        let tail = &series[series.len() - series.len().div_ceil(10)..];
        (!tail.is_empty()).then(|| tail.iter().map(|(_, y)| y).sum::<f64>() / tail.len() as f64)
    }

    /// Share of logged steps in which a flag was set.
    pub(super) fn share(&self, flag: &str) -> Option<f64> {
        let flags: Vec<bool> = self.log.iter().filter_map(|line| line[flag].as_bool()).collect();
        let set = flags.iter().filter(|flag| **flag).count();
        (!flags.is_empty()).then(|| set as f64 / flags.len() as f64)
    }

    /// Whether there are pictures of reconstructions.
    pub(super) fn has_strips(&self) -> bool {
        let eval = self.folder.join("eval");
        [ORIGINALS, RECONSTRUCTIONS].iter().all(|file| eval.join(file).is_file())
    }

    /// The strips of originals and of reconstructions.
    pub(super) fn strips(&self) -> Result<Option<(Picture, Picture)>, EvalError> {
        if !self.has_strips() {
            return Ok(None);
        }
        let eval = self.folder.join("eval");
        let (originals, reconstructions) = (eval.join(ORIGINALS), eval.join(RECONSTRUCTIONS));
        let (a, b) = (Picture::read_png(&originals)?, Picture::read_png(&reconstructions)?);
        if (a.width, a.height) != (b.width, b.height) || a.height == 0 {
            let wanted = format!("{}x{} pixels as in {ORIGINALS}", a.width, a.height);
            let got = format!("{}x{}", b.width, b.height);
            return Err(EvalError::content(&reconstructions, None, wanted, got));
        }
        Ok(Some((a, b)))
    }
}

fn read(path: &Path) -> Result<Option<String>, EvalError> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(EvalError::io("reading", path)),
    }
}

fn parse(path: &Path, line: Option<usize>, text: &str) -> Result<Value, EvalError> {
    serde_json::from_str(text).map_err(|e| EvalError::content(path, line, "JSON", e.to_string()))
}

fn log(path: &Path) -> Result<Vec<Value>, EvalError> {
    let mut steps = Vec::new();
    for (number, line) in read(path)?.unwrap_or_default().lines().enumerate() {
        let value = parse(path, Some(number + 1), line)?;
        if value.get("step").is_some() {
            steps.push(value);
        }
    }
    Ok(steps)
}
