//! The record of a reproduction: `OUT/plan.json`, which says what was asked for, for its status and its report.

use std::path::{Path, PathBuf};

use deepsim_data::atomic::write_atomic;
use serde::{Deserialize, Serialize};

use crate::ReproduceError;

/// Name of the file.
pub const RECORD: &str = "plan.json";

/// The file. What an older version, or another program, did not write is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Command line.
    pub command: Option<String>,
    /// Seconds of the training of comparators that were trained first.
    pub comparators_seconds: f64,
    /// Device.
    pub device: Option<String>,
    /// Commit of the sources.
    pub git_commit: Option<String>,
    /// Name of the processor or the GPUs.
    pub machine: Option<String>,
    /// Price of an hour of what one run has for itself.
    pub price_per_hour: Option<f64>,
    /// The runs.
    pub runs: Vec<RecordedRun>,
    /// Preset, with overrides if there were any.
    pub scale: Option<String>,
    /// Seconds of the command so far.
    pub seconds: Option<f64>,
    /// Seed.
    pub seed: Option<u64>,
    /// Ids of the targets.
    pub targets: Vec<String>,
    /// Threads.
    pub threads: Option<usize>,
    /// Warnings for readers of the report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A run of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedRun {
    /// Images per step.
    pub batch: u64,
    /// Run folder.
    pub dir: PathBuf,
    /// Row of tables.
    pub label: String,
    /// Measures that are taken of it.
    pub measures: Vec<String>,
    /// Id, and name of its folder.
    pub name: String,
    /// Steps.
    pub steps: u64,
}

impl Record {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, ReproduceError> {
        let bytes = std::fs::read(path).map_err(ReproduceError::io("reading", path))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ReproduceError::content(path, "the record of a reproduction", error))
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), ReproduceError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| ReproduceError::content(path, "names in UTF-8", error))?;
        Ok(write_atomic(path, (text + "\n").as_bytes())?)
    }
}
