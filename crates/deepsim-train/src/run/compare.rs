//! Comparison of two runs that are expected to be the same.

use std::collections::BTreeMap;
use std::path::Path;

use deepsim_nets::params::{from_bytes, parse, read};
use deepsim_run::files::{COMPARATOR, GENERATOR, LOG, PLAN};
use safetensors::Dtype;
use serde_json::Value;

use crate::TrainError;
use crate::store::Store;

/// Result of a comparison of two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Steps that are in both logs.
    pub steps: usize,
    /// Lines of the plans that are not in the other one.
    pub plans: Vec<String>,
    /// The first number that differs.
    pub first: Option<Difference>,
    /// Files of checkpoints of the same step that differ; none were compared if there is no such step.
    pub checkpoint: Option<(u64, Vec<String>)>,
    /// Relative difference of the weights at that step, if they differ: the norm of the difference over
    /// the norm of those of the first run.
    pub weights: Option<f64>,
}

/// A number of a step that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The step.
    pub step: u64,
    /// Name of the number, e.g. `terms/feature/value`.
    pub what: String,
    /// The number of either run; `None` where it is not logged.
    pub values: [Option<f64>; 2],
}

impl Comparison {
    /// Returns true if something was compared and nothing differs.
    pub fn identical(&self) -> bool {
        let files = self.checkpoint.as_ref().is_none_or(|(_, files)| files.is_empty());
        self.first.is_none() && files && (self.steps > 0 || self.checkpoint.is_some())
    }
}

/// Numbers that depend on the clock, or on how often is logged.
const NOT_COMPARED: [&str; 4] = ["seconds", "items_per_s", "d_share", "g_share"];

/// Compares the logs of two run folders step by step, and their newest checkpoints.
///
/// # Errors
/// If a log cannot be read.
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, TrainError> {
    let logs = [log(&a.join(LOG))?, log(&b.join(LOG))?];
    let common = || logs[0].keys().filter(|step| logs[1].contains_key(step));
    let first = common().find_map(|step| {
        let [a, b] = [&logs[0][step], &logs[1][step]];
        let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
        // The terms come first: what follows from them differs as well.
        let rank = |name: &str| match name.strip_prefix("terms/") {
            Some(term) if term.ends_with("/value") => 0,
            Some(_) => 1,
            None => 2,
        };
        names.sort_by_key(|name| (rank(name), *name));
        let what = names.into_iter().find(|name| {
            let bits = |x: Option<&f64>| x.map(|x| x.to_bits());
            bits(a.get(*name)) != bits(b.get(*name))
        })?;
        let values = [a.get(what).copied(), b.get(what).copied()];
        Some(Difference { step: *step, what: what.clone(), values })
    });
    let newest = |run: &Path| Store::new(run, Default::default()).search().map(|s| s.newest);
    let (mut checkpoint, mut weights) = (None, None);
    match (newest(a)?, newest(b)?) {
        (Some(a), Some(b)) if a.manifest.step == b.manifest.step => {
            let made = |file: &&str| [&a, &b].iter().all(|found| found.folder.join(file).exists());
            let made = [GENERATOR, COMPARATOR].into_iter().find(made);
            let (folders, a, b) = ([a.folder, b.folder], a.manifest, b.manifest);
            let names = a.files.keys().chain(b.files.keys().filter(|n| !a.files.contains_key(*n)));
            let differ = names.filter(|name| a.files.get(*name) != b.files.get(*name));
            let differ: Vec<String> = differ.cloned().collect();
            if let Some(made) = made.filter(|made| differ.iter().any(|name| name == made)) {
                weights = difference(&folders[0].join(made), &folders[1].join(made))?;
            }
            checkpoint = Some((a.step, differ));
        }
        _ => {}
    }
    Ok(Comparison { steps: common().count(), plans: plans(a, b)?, first, checkpoint, weights })
}

/// The relative difference of all numbers of two files, if they have the same tensors.
fn difference(a: &Path, b: &Path) -> Result<Option<f64>, TrainError> {
    let (bytes_a, bytes_b) = (read(a)?, read(b)?);
    let (a, b) = (parse(a, &bytes_a)?, parse(b, &bytes_b)?);
    let mut squares = [0.0; 2];
    for (name, a) in a.iter() {
        let Ok(b) = b.tensor(name) else { return Ok(None) };
        if a.shape() != b.shape() || a.dtype() != Dtype::F32 || b.dtype() != Dtype::F32 {
            return Ok(None);
        }
        for (a, b) in from_bytes(a.data()).into_iter().zip(from_bytes(b.data())) {
            squares[0] += (f64::from(a) - f64::from(b)).powi(2);
            squares[1] += f64::from(a).powi(2);
        }
    }
    Ok((a.len() == b.len()).then(|| (squares[0] / squares[1]).sqrt()))
}

/// The numbers of every step.
fn log(path: &Path) -> Result<BTreeMap<u64, BTreeMap<String, f64>>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io("reading log", path))?;
    let mut steps = BTreeMap::new();
    for line in text.lines() {
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        if let Some(step) = value["step"].as_u64() {
            let mut numbers = BTreeMap::new();
            collect(&value, "", &mut numbers);
            numbers.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
            steps.insert(step, numbers);
        }
    }
    Ok(steps)
}

fn collect(value: &Value, name: &str, numbers: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key.clone() } else { format!("{name}/{key}") };
                collect(value, &name, numbers);
            }
        }
        Value::Bool(flag) => {
            numbers.insert(name.to_owned(), f64::from(u8::from(*flag)));
        }
        // Logged as null, it was not finite.
        other => {
            numbers.insert(name.to_owned(), other.as_f64().unwrap_or(f64::NAN));
        }
    }
}

fn plans(a: &Path, b: &Path) -> Result<Vec<String>, TrainError> {
    let read = |run: &Path| {
        let path = run.join(PLAN);
        std::fs::read_to_string(&path).map_err(TrainError::io("reading plan", &path))
    };
    let (a, b) = (read(a)?, read(b)?);
    let only = |sign: char, here: &str, there: &str| {
        let lines = here.lines().filter(|line| !there.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    Ok([only('-', &a, &b), only('+', &b, &a)].concat())
}
