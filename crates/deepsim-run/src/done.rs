//! End of a finished run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::files::DONE;
use crate::read::read_json;

/// End of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Name of the run.
    pub name: String,
    /// Steps made.
    pub step: u64,
    /// Seconds of training, over all sessions.
    pub seconds: f64,
}

impl Done {
    /// Reads the end of the run in a folder; None if it is not finished.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn read(run: &Path) -> Result<Option<Self>, RunError> {
        read_json(&run.join(DONE), "name, step and seconds of a finished run")
    }

    /// Returns the text of the file in a run folder.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}
