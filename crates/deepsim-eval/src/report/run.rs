//! What a run folder tells: its plan, its log and its measurements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use deepsim_data::picture::Picture;
use deepsim_nets::params::{self, read_spec};
use serde_json::Value;

use super::targets::Row as Wanted;
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
    /// Its pictures, where they are not those of a run: one row, with gaps.
    pub(super) row_of_pictures: Option<PathBuf>,
    /// The layer that it inverts, and how; none of an autoencoder.
    pub(super) inversion: Option<(String, Method)>,
}

/// How features are inverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// A generator with the paper's loss, the encoder as comparator.
    Ours,
    /// The same with another comparator.
    OtherComparator,
    /// The same with noise beside the features.
    Noise,
    /// Without one or two of the terms, but not with the squared error alone.
    Ablation,
    /// With the squared error alone.
    ImageOnly,
    /// With the absolute error alone.
    AbsoluteError,
    /// With the squared error alone, by the network of Dosovitskiy & Brox (2015).
    Plain,
    /// By optimisation, without a generator.
    Optimised,
    /// By a generator that the authors released.
    Released,
    /// By the one of them that was trained with the squared error alone.
    ReleasedImageOnly,
}

/// What labels of runs with the squared error alone end with. Of an imported generator nothing else tells it.
const IMAGE_ONLY: &str = "image loss only";

impl Method {
    /// Of a recipe with a table `[inversion]`.
    fn of(recipe: &toml::Table) -> Self {
        let value = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(recipe.get(*first)?, |value, key| value.get(*key))
        };
        let number = |path: &[&str]| {
            value(path).and_then(|v| v.as_float().or_else(|| Some(v.as_integer()? as f64)))
        };
        let name = |path: &[&str]| value(path).and_then(toml::Value::as_str);
        let image = number(&["image", "weight"]).unwrap_or(0.0) > 0.0;
        if number(&["inversion", "noise"]).unwrap_or(0.0) > 0.0 {
            return Self::Noise;
        }
        match (recipe.contains_key("feature"), recipe.contains_key("adversarial")) {
            (true, true) if image => {
                let encoder = name(&["inversion", "encoder"]);
                match name(&["feature", "comparator"]) == encoder {
                    true => Self::Ours,
                    false => Self::OtherComparator,
                }
            }
            (false, false) => {
                let plain = value(&["inversion", "plain"]).and_then(toml::Value::as_bool);
                match name(&["image", "distance"]) {
                    _ if plain == Some(true) => Self::Plain,
                    Some("absolute-error") => Self::AbsoluteError,
                    _ => Self::ImageOnly,
                }
            }
            _ => Self::Ablation,
        }
    }
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
                let table: toml::Table = toml::from_str(&text).map_err(|e| {
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
        let inversion = plan.as_ref().and_then(|(_, plan)| {
            let recipe = plan.get("recipe")?.as_table()?;
            let tap = recipe.get("inversion")?.get("tap")?.as_str()?;
            Some((tap.to_owned(), Method::of(recipe)))
        });
        let inversion = match (&plan, inversion) {
            (None, None) => released(&folder, label)?,
            (_, inversion) => inversion,
        };
        let (label, row_of_pictures) = (label.into(), None);
        Ok(Self { label, folder, plan, log, measurements, seconds, row_of_pictures, inversion })
    }

    /// The first row of a measure that is meant.
    pub(super) fn row(&self, measure: &str, wanted: Wanted<'_>) -> Option<&Row> {
        let meant = |row: &&Row| match wanted {
            Wanted::Named(name) => row.name.starts_with(name),
            Wanted::Inverted => {
                let tap = self.inversion.as_ref().map(|(tap, _)| tap);
                let space = |tap: &String| row.name.contains(&format!(" {tap} feature space"));
                tap.is_some_and(space)
            }
        };
        self.measurements.get(measure)?.rows.iter().find(meant)
    }

    /// Of the authors' generator, the label of the run that does the same.
    pub(super) fn counterpart(&self) -> Option<String> {
        match self.inversion.as_ref()? {
            (tap, Method::Released) => Some(format!("{tap} DeePSiM")),
            (tap, Method::ReleasedImageOnly) => Some(format!("{tap} {IMAGE_ONLY}")),
            _ => None,
        }
    }

    /// Whether it was trained here, and is not something else that was measured.
    pub(super) fn trained(&self) -> bool {
        use Method::{Optimised, Released, ReleasedImageOnly};
        !matches!(self.inversion, Some((_, Optimised | Released | ReleasedImageOnly)))
    }

    /// A value of the plan, e.g. `recipe.steps`.
    pub(super) fn plan_value(&self, path: &str) -> Option<&toml::Value> {
        let mut keys = path.split('.');
        let first = self.plan.as_ref()?.1.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// Of a variational autoencoder, whether it is the small one.
    pub(super) fn vae(&self) -> Option<bool> {
        Some(self.plan_value("recipe.vae.encoder")?.as_str()? == "autoencoder")
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

/// The layer of a generator that was imported, and that it was.
fn released(folder: &Path, label: &str) -> Result<Option<(String, Method)>, EvalError> {
    let path = folder.join("generator.safetensors");
    if !path.is_file() {
        return Ok(None);
    }
    let spec = read_spec(&path, &params::read(&path)?)?.unwrap_or_default();
    let spec: Value = serde_json::from_str(&spec).unwrap_or_default();
    let imported = spec["kind"] == "inverter" && spec["from"].is_object();
    let tap = spec["tap"].as_str().filter(|_| imported);
    let method = match label.ends_with(IMAGE_ONLY) {
        true => Method::ReleasedImageOnly,
        false => Method::Released,
    };
    Ok(tap.map(|tap| (tap.to_owned(), method)))
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
