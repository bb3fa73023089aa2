//! A run as the report sees it: its folder, and what was measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use deepsim_data::picture::Picture;
use deepsim_eval::measure::grid::{ORIGINALS, RECONSTRUCTIONS};
use deepsim_eval::measure::{self, Measurement, Row};
use deepsim_nets::header;
use deepsim_nets::params::SPEC_KEY;
use deepsim_run::files::{EVAL, GENERATOR};
use deepsim_run::folder::RunFolder;
use deepsim_run::identity::{Identity, Method};
use deepsim_run::log::Record;
use deepsim_run::plan::{AnyPlan, Plan};
use deepsim_run::recipe::AdversarialLoss;
use serde_json::Value;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Quantity, Target};

/// A run folder and its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Row of tables.
    pub label: String,
    /// The run folder.
    pub folder: PathBuf,
}

pub(super) struct Run {
    pub(super) label: String,
    /// Files of the run; of an inversion by optimisation none.
    pub(super) run: RunFolder,
    pub(super) id: String,
    pub(super) method: Method,
    /// The layer that it inverts.
    pub(super) layer: Option<String>,
    pub(super) experiment: Option<Experiment>,
    pub(super) measurements: BTreeMap<String, Measurement>,
    /// Pictures, where they are not those of a run: one row, with gaps.
    pub(super) row_of_pictures: Option<PathBuf>,
}

impl Run {
    /// Reads a run folder; what is missing is missing, what is broken is an error.
    pub(super) fn open(Entry { label, folder }: &Entry) -> Result<Self, ReproduceError> {
        if !folder.is_dir() {
            let path = folder.clone();
            return Err(ReproduceError::Folder { path, reason: "is not there".into() });
        }
        let run = RunFolder::open(folder)?;
        let mut measurements = BTreeMap::new();
        for name in measure::all().iter().map(|kind| kind.name()) {
            let path = folder.join(EVAL).join(format!("{name}.json"));
            if path.is_file() {
                let bytes = std::fs::read(&path).map_err(ReproduceError::io("reading", &path))?;
                let measurement = serde_json::from_slice(&bytes)
                    .map_err(|error| ReproduceError::content(&path, "a measurement", error))?;
                measurements.insert(name.to_owned(), measurement);
            }
        }
        let identity = match (&run.plan, &run.identity) {
            (None, None) => released(folder)?,
            _ => run.identity.clone(),
        };
        let experiment = match &run.plan {
            Some(AnyPlan::Generator(plan)) => Some(experiment(plan)),
            Some(AnyPlan::Comparator(_)) => None,
            // Two kinds of generators have no plan: the authors', which invert features, and the autoencoders that come
            // with the project.
            None => identity.as_ref().map(|identity| match identity.method {
                Method::Shipped => Experiment::Autoencoder,
                _ => Experiment::Inversion,
            }),
        };
        let (id, method, layer) =
            identity.map_or((String::new(), Method::Other, None), |i| (i.id, i.method, i.layer));
        let label = label.clone();
        Ok(Self { label, run, id, method, layer, experiment, measurements, row_of_pictures: None })
    }

    /// The checked plan of a generator.
    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.run.plan {
            Some(AnyPlan::Generator(plan)) => Some(plan),
            _ => None,
        }
    }

    /// True if the discriminator's losses are hinges.
    pub(super) fn has_hinge(&self) -> bool {
        let term = self.plan().and_then(|plan| plan.recipe.adversarial);
        term.is_some_and(|term| term.loss == AdversarialLoss::Hinge)
    }

    /// Samples per step.
    pub(super) fn batch(&self) -> Option<usize> {
        match self.run.plan.as_ref()? {
            AnyPlan::Generator(plan) => Some(plan.recipe.batch),
            AnyPlan::Comparator(plan) => Some(plan.recipe.batch),
        }
    }

    /// The rows of a measure that are meant.
    pub(super) fn rows<'a>(&'a self, measure: &str, wanted: Quantity) -> Vec<&'a Row> {
        let rows = self.measurements.get(measure).map_or(&[][..], |measured| &measured.rows);
        let meant = |row: &&Row| match wanted {
            Quantity::Named(name) => row.name.starts_with(name),
            Quantity::Inverted => {
                let space = |tap: &String| row.name.contains(&format!(" {tap} feature space"));
                self.layer.as_ref().is_some_and(space)
            }
            Quantity::Independent(names) => {
                let named = names.iter().any(|name| row.name.starts_with(name));
                row.is_independent() && (named || names.is_empty())
            }
        };
        rows.iter().filter(meant).collect()
    }

    /// The first row of a measure that is meant.
    pub(super) fn row(&self, measure: &str, wanted: Quantity) -> Option<&Row> {
        self.rows(measure, wanted).first().copied()
    }

    /// True if it was trained here, and is not something else that was measured.
    pub(super) fn trained(&self) -> bool {
        use Method::{Optimised, Released, ReleasedImageOnly, Shipped};
        !matches!(self.method, Optimised | Released | ReleasedImageOnly | Shipped)
    }

    /// True if it does the same as another run, except that the authors trained it.
    pub(super) fn is_release_of(&self, other: &Self) -> bool {
        let same = match self.method {
            Method::Released => other.method == Method::DeePSiM,
            Method::ReleasedImageOnly => other.method == Method::ImageOnly,
            _ => false,
        };
        same && self.layer == other.layer
    }

    /// Seconds of training, once it is finished.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.run.done.as_ref().map(|done| done.seconds)
    }

    /// Steps that were made.
    pub(super) fn steps(&self) -> Option<u64> {
        Some(self.run.log.last()?.step)
    }

    /// True if it began with the weights of another run.
    pub(super) fn begun(&self) -> bool {
        self.plan().is_some_and(|plan| plan.recipe.init.is_some())
    }

    /// True if the data was generated.
    pub(super) fn synthetic(&self) -> bool {
        self.plan().is_some_and(|plan| plan.data.synthetic)
    }

    /// Origin of the comparator's weights.
    pub(super) fn comparator(&self) -> Option<&str> {
        self.plan()?.comparator.as_deref()
    }

    /// A number of every step of the log that has it.
    pub(super) fn series(&self, number: impl Fn(&Record) -> Option<f64>) -> Vec<(f64, f64)> {
        // A number that is not finite is NaN here.
        let point = |record: &Record| {
            let number = number(record).filter(|number| number.is_finite())?;
            Some((record.step as f64, number))
        };
        self.run.log.iter().filter_map(point).collect()
    }

    /// Names of the terms of the loss.
    pub(super) fn terms(&self) -> Vec<String> {
        self.run.log.last().map_or(Vec::new(), |record| record.terms.keys().cloned().collect())
    }

    /// Mean of a number over the last tenth of the log: single steps are noisy.
    pub(super) fn at_the_end(&self, number: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
        let series = self.series(number);
        let tail = &series[series.len() - series.len().div_ceil(10)..];
        (!tail.is_empty()).then(|| tail.iter().map(|(_, y)| y).sum::<f64>() / tail.len() as f64)
    }

    /// Share of logged steps in which the discriminator, or else the generator, was updated.
    pub(super) fn updated(&self, discriminator: bool) -> Option<f64> {
        let flags = self.series(|record| {
            let adversary = record.adversary?;
            let flag = if discriminator { adversary.train_d } else { adversary.train_g };
            Some(f64::from(u8::from(flag)))
        });
        let set: f64 = flags.iter().map(|(_, flag)| flag).sum();
        (!flags.is_empty()).then(|| set / flags.len() as f64)
    }

    fn eval(&self) -> PathBuf {
        self.run.path.join(EVAL)
    }

    /// A file that a measure wrote, if it is there.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.eval().join(name)).filter(|path| path.is_file())
    }

    /// True if there are pictures of reconstructions.
    pub(super) fn has_strips(&self) -> bool {
        [ORIGINALS, RECONSTRUCTIONS].iter().all(|file| self.file(file).is_some())
    }

    /// The strips of originals and of reconstructions.
    pub(super) fn strips(&self) -> Result<Option<(Picture, Picture)>, ReproduceError> {
        if !self.has_strips() {
            return Ok(None);
        }
        let read = |name| Picture::read_png(&self.eval().join(name));
        let (a, b) = (read(ORIGINALS)?, read(RECONSTRUCTIONS)?);
        if (a.width, a.height) != (b.width, b.height) || a.height == 0 {
            let expected = format!("{}x{} pixels as in {ORIGINALS}", a.width, a.height);
            let found = format!("{}x{}", b.width, b.height);
            return Err(ReproduceError::content(
                &self.eval().join(RECONSTRUCTIONS),
                expected,
                found,
            ));
        }
        Ok(Some((a, b)))
    }
}

/// The identity of a generator of the authors that was imported without one.
fn released(folder: &Path) -> Result<Option<Identity>, ReproduceError> {
    let path = folder.join(GENERATOR);
    if !path.is_file() {
        return Ok(None);
    }
    let spec = header::metadata(&path)?.remove(SPEC_KEY).unwrap_or_default();
    let spec: Value = serde_json::from_str(&spec).unwrap_or_default();
    let imported = spec["kind"] == "inverter" && spec["from"].is_object();
    let layer = spec["tap"].as_str().filter(|_| imported).map(str::to_owned);
    Ok(layer.map(|layer| Identity {
        id: String::new(),
        method: Method::Released,
        layer: Some(layer),
    }))
}

/// The experiment that a plan belongs to.
fn experiment(plan: &Plan) -> Experiment {
    match (&plan.recipe.inversion, &plan.recipe.vae) {
        (Some(inversion), _) if inversion.small => Experiment::SmallInversion,
        (Some(_), _) => Experiment::Inversion,
        (None, Some(vae)) if vae.encoder.trained().is_none() => Experiment::SmallVae,
        (None, Some(_)) => Experiment::Vae,
        (None, None) => Experiment::Autoencoder,
    }
}

/// The runs that a target shows, in its order.
///
/// Runs of a user's own, whose ids the catalogue does not have, are shown after those it has.
pub(super) fn of<'a>(target: &Target, runs: &'a [Run]) -> Vec<&'a Run> {
    let place = |run: &Run| -> Option<(String, usize)> {
        let among = run.experiment == Some(target.experiment);
        let place = target.place(&run.id, run.method).filter(|_| among)?;
        Some((run.layer.clone().unwrap_or_default(), place))
    };
    // CONV5, FC6, FC7, FC8 are in order as words.
    let mut shown: Vec<_> = runs.iter().filter_map(|run| Some((place(run)?, run))).collect();
    shown.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut shown: Vec<&Run> = shown.into_iter().map(|(_, run)| run).collect();
    if let Some(layer) = target.one_layer(shown.iter().map(|run| (run.method, &run.layer))) {
        shown.retain(|run| run.layer == layer);
    }
    shown
}
