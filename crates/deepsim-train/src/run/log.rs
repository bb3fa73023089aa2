//! Writer of a run's [log](deepsim_run::log).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use deepsim_run::log::{AdversaryRecord, Line, Record, TermRecord, Warning};

use crate::TrainError;
use crate::step::report::StepReport;

/// Makes the record of a step, and of those since the `last` record.
pub(crate) fn record(
    report: &StepReport,
    seconds: f64,
    items_per_s: f64,
    last: Option<&Record>,
) -> Record {
    let steps = report.step - last.map_or(0, |last| last.step);
    let before = last.and_then(|last| last.adversary);
    let share = |updates: u64, before: u64| (updates - before) as f64 / steps.max(1) as f64;
    let term = |t: &deepsim_loss::TermReport| TermRecord {
        value: t.value,
        weight: t.weight,
        weighted: t.weighted(),
        grad_norm: t.grad_norm,
    };
    Record {
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

/// An open log.
pub(crate) struct Log {
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
    pub(crate) fn open(path: &Path, step: u64) -> Result<(Self, Option<Record>), TrainError> {
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
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), TrainError> {
        self.write(&serde_json::json!(record).to_string())
    }

    /// Appends a warning.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub(crate) fn warn(&mut self, at_step: u64, warning: &str) -> Result<(), TrainError> {
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
