//! Outputs of a run, and how often they are written.

use serde::{Deserialize, Serialize};

use super::Retention;
use super::text::at_least_one;
use crate::RunError;

/// Outputs of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Steps between two sample grids.
    pub grid_every: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Reaction to a checkpoint or a line of the log that cannot be written, e.g. to a full disk.
    pub on_failed_write: OnFailedWrite,
    /// Checkpoints that are kept.
    pub keep: Retention,
}

/// Reaction to something that cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailedWrite {
    /// Stop; the last good checkpoint stays.
    #[default]
    Stop,
    /// Warn, continue training, and try again when the next one is due. What must be there in the end
    /// stops the run all the same.
    Continue,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            log_every: 10,
            grid_every: 1000,
            checkpoint_every: 1000,
            on_failed_write: OnFailedWrite::Stop,
            keep: Retention::default(),
        }
    }
}

impl OutputConfig {
    /// Refuses values that make no sense, naming the key.
    pub(super) fn check(&self) -> Result<(), RunError> {
        at_least_one("output.log_every", self.log_every)?;
        at_least_one("output.grid_every", self.grid_every)?;
        at_least_one("output.checkpoint_every", self.checkpoint_every)?;
        at_least_one("output.keep.last", self.keep.last as u64)
    }
}
