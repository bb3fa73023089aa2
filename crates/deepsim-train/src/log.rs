//! The log of a run: one JSON object per line, append only.
//!
//! A line with a `step` key is a [`Record`]; readers skip lines without one, e.g. a [`Warning`]. Resuming cuts the log
//! back to the checkpoint's step, so no step appears twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::trainer::StepReport;

/// What is logged of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps made.
    pub step: u64,
    /// Seconds of training so far, over all sessions of the run.
    pub seconds: f64,
    /// Training images per second, recently.
    pub items_per_s: f64,
    /// Learning rate of the generator.
    pub lr: f64,
    /// Every term by name.
    pub terms: BTreeMap<String, TermRecord>,
    /// Weighted sum of the terms.
    pub total: f64,
    /// Norms of the gradients of the networks that were updated, over all weights.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gradients: BTreeMap<String, f64>,
    /// Numbers that are watched but not minimised, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
    /// The discriminator's side.
    #[serde(flatten)]
    pub adversary: Option<AdversaryRecord>,
}

/// One term of the generator's loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermRecord {
    /// Value before weighting.
    pub value: f64,
    /// Weight.
    pub weight: f64,
    /// Their product.
    pub weighted: f64,
    /// Norm of the weighted gradient at the generated images.
    pub grad_norm: f64,
}

/// The discriminator's side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdversaryRecord {
    /// Cross-entropy on real images.
    pub d_real: f64,
    /// Cross-entropy on generated images.
    pub d_fake: f64,
    /// Share of images told right.
    pub d_accuracy: f64,
    /// Share of real images told right.
    pub d_accuracy_real: f64,
    /// Share of generated images told right.
    pub d_accuracy_fake: f64,
    /// Discriminator's loss over the generator's.
    pub ratio: f64,
    /// Whether the discriminator was updated.
    pub train_d: bool,
    /// Whether the generator was updated.
    pub train_g: bool,
    /// Updates of the discriminator so far.
    pub d_updates: u64,
    /// Updates of the generator so far.
    pub g_updates: u64,
    /// Share of the steps since the last record in which the discriminator was updated.
    pub d_share: f64,
    /// Share of the steps since the last record in which the generator was updated.
    pub g_share: f64,
}

impl Record {
    /// The record of a step, and of those since the `last` record.
    pub fn new(report: &StepReport, seconds: f64, items_per_s: f64, last: Option<&Record>) -> Self {
        let steps = report.step - last.map_or(0, |last| last.step);
        let before = last.and_then(|last| last.adversary);
        let share = |updates: u64, before: u64| (updates - before) as f64 / steps.max(1) as f64;
        let term = |t: &deepsim_loss::TermReport| TermRecord {
            value: t.value,
            weight: t.weight,
            weighted: t.weighted(),
            grad_norm: t.grad_norm,
        };
        Self {
            step: report.step,
            seconds,
            items_per_s,
            lr: report.learning_rate,
            terms: report.terms.iter().map(|t| (t.name.to_owned(), term(t))).collect(),
            total: report.total(),
            gradients: report.gradients.iter().map(|(net, x)| ((*net).to_owned(), *x)).collect(),
            measures: report.measures.iter().map(|(name, x)| ((*name).to_owned(), *x)).collect(),
            adversary: report.adversary.map(|a| AdversaryRecord {
                d_real: a.real,
                d_fake: a.generated,
                d_accuracy: a.accuracy,
                d_accuracy_real: a.accuracy_real,
                d_accuracy_fake: a.accuracy_generated,
                ratio: a.ratio,
                train_d: a.trained_discriminator,
                train_g: a.trained_generator,
                d_updates: a.discriminator_updates,
                g_updates: a.generator_updates,
                d_share: share(a.discriminator_updates, before.map_or(0, |b| b.d_updates)),
                g_share: share(a.generator_updates, before.map_or(0, |b| b.g_updates)),
            }),
        }
    }

    /// Names and values for curves, e.g. `terms/image`, `discriminator/ratio`.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        let mut all = vec![
            ("total".to_owned(), self.total),
            ("learning_rate".to_owned(), self.lr),
            ("items_per_s".to_owned(), self.items_per_s),
        ];
        for (name, term) in &self.terms {
            all.push((format!("weighted/{name}"), term.weighted));
            all.push((format!("value/{name}"), term.value));
            all.push((format!("gradient/{name}"), term.grad_norm));
        }
        for (net, norm) in &self.gradients {
            all.push((format!("weight_gradient/{net}"), *norm));
        }
        all.extend(self.measures.iter().map(|(name, x)| (format!("measure/{name}"), *x)));
        if let Some(a) = self.adversary {
            all.push(("discriminator/real".into(), a.d_real));
            all.push(("discriminator/generated".into(), a.d_fake));
            all.push(("discriminator/accuracy".into(), a.d_accuracy));
            all.push(("discriminator/ratio".into(), a.ratio));
            all.push(("discriminator/accuracy_real".into(), a.d_accuracy_real));
            all.push(("discriminator/accuracy_generated".into(), a.d_accuracy_fake));
            all.push(("share_updated/discriminator".into(), a.d_share));
            all.push(("share_updated/generator".into(), a.g_share));
        }
        all
    }

    /// One line of text: step, every term weighted, discriminator.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (name, term) in &self.terms {
            text.push_str(&format!("{name} {:.4} ", term.weighted));
        }
        for (name, x) in &self.measures {
            text.push_str(&format!("{name} {x:.4} "));
        }
        if let Some(a) = self.adversary {
            text.push_str(&format!("D {:.3}+{:.3} ratio {:.2} ", a.d_real, a.d_fake, a.ratio));
            if !a.train_d {
                text.push_str("(D off) ");
            }
            if !a.train_g {
                text.push_str("(G off) ");
            }
        }
        text.trim_end().to_owned()
    }
}

/// Something worth knowing that was seen in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Steps made.
    pub at_step: u64,
    /// What was seen.
    pub warning: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A step.
    Record(Box<Record>),
    /// A warning.
    Warning(Warning),
}

impl Line {
    fn step(&self) -> u64 {
        match self {
            Self::Record(record) => record.step,
            Self::Warning(warning) => warning.at_step,
        }
    }
}

/// An open log.
pub struct Log {
    file: File,
    path: PathBuf,
    /// Bytes that are whole lines.
    len: u64,
    /// Lines that could not be written yet.
    pending: String,
}

impl Log {
    /// Opens the log for this process alone and cuts it back to `step`; a line cut short by a crash goes
    /// too.
    ///
    /// Returns the last remaining record.
    ///
    /// # Errors
    /// If the file cannot be read or written, or another process trains in this folder.
    pub fn open(path: &Path, step: u64) -> Result<(Self, Option<Record>), TrainError> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(TrainError::io("opening log", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::Folder {
                    path: path.parent().unwrap_or(path).into(),
                    reason: "another program is training in it".into(),
                });
            }
            // Not every file system can lock.
            Err(TryLockError::Error(_)) => {}
        }
        let mut reader = BufReader::new(&file);
        let (mut keep, mut last, mut line) = (0u64, None, String::new());
        loop {
            line.clear();
            let read = reader.read_line(&mut line).map_err(TrainError::io("reading log", path))?;
            let Ok(found) = serde_json::from_str::<Line>(&line) else { break };
            if read == 0 || !line.ends_with('\n') || found.step() > step {
                break;
            }
            keep += read as u64;
            if let Line::Record(record) = found {
                last = Some(*record);
            }
        }
        file.set_len(keep).map_err(TrainError::io("cutting back log", path))?;
        Ok((Self { file, path: path.into(), len: keep, pending: String::new() }, last))
    }

    /// Appends a record, after those that could not be written before.
    ///
    /// # Errors
    /// If it cannot be written; then it is kept for the next time.
    pub fn append(&mut self, record: &Record) -> Result<(), TrainError> {
        self.write(&serde_json::json!(record).to_string())
    }

    /// Appends a warning.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn warn(&mut self, at_step: u64, warning: &str) -> Result<(), TrainError> {
        let line = Warning { at_step, warning: warning.to_owned() };
        self.write(&serde_json::json!(line).to_string())
    }

    fn write(&mut self, line: &str) -> Result<(), TrainError> {
        self.pending += &(line.to_owned() + "\n");
        if let Err(error) = self.file.write_all(self.pending.as_bytes()) {
            // Half a line would end the log for its readers.
            let _ = self.file.set_len(self.len);
            return Err(TrainError::io("writing log", &self.path)(error));
        }
        self.len += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}
