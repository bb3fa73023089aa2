//! Files that may be missing.

use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::RunError;

/// Reads a file that may be missing.
pub(crate) fn read(path: &Path) -> Result<Option<String>, RunError> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(RunError::io("reading", path)),
    }
}

/// Reads a JSON file that may be missing, and that a resumed run writes anew.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
) -> Result<Option<T>, RunError> {
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| RunError::Content {
            path: path.into(),
            line: None,
            expected,
            found: error.to_string(),
            advice: Some("remove the file and resume the run, which writes it again"),
        })
    };
    read(path)?.map(parse).transpose()
}
