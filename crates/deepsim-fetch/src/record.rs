//! Records of verified files, in small files beside them.
//!
//! `NAME.verified.json` holds the hashes of a file with its size and time when it was last read, so
//! that a file of 138 GB is not read again each time. `NAME.sha256`, in the format of `sha256sum`,
//! is written for a file whose hash nobody has published: the first copy is trusted, later ones are
//! compared with it.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::sums::{Algorithm, Sums};
use crate::{FetchError, beside};
use deepsim_data::atomic::write_atomic;

/// Largest record, in bytes; a longer file counts as none.
const MAX_RECORD: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Size at the last reading.
    bytes: u64,
    /// Modification time at the last reading, in nanoseconds since 1970. It is text because it
    /// exceeds JSON's numbers.
    modified: String,
    sums: Sums,
}

/// Returns the recorded sums of `path` if the file has not changed since and they cover all that
/// `wanted` asks for.
pub(crate) fn remembered(path: &Path, wanted: &Sums) -> Option<Sums> {
    let text = read_short(&beside(path, "verified.json")).ok()??;
    let record: Record = serde_json::from_str(&text).ok()?;
    let found = path.metadata().ok()?;
    let unchanged = found.len() == record.bytes && modified(&found)? == record.modified;
    let told = wanted.algorithms().iter().all(|kind| record.sums.get(*kind).is_some());
    (unchanged && told && record.sums.bytes == Some(record.bytes)).then_some(record.sums)
}

/// Records the measured sums of `path`, unless the disk keeps no modification times.
pub(crate) fn remember(path: &Path, sums: &Sums) -> Result<(), FetchError> {
    let found = path.metadata().map_err(FetchError::io("reading the time of", path))?;
    let Some(modified) = modified(&found) else { return Ok(()) };
    let record = Record { bytes: found.len(), modified, sums: sums.clone() };
    let note = beside(path, "verified.json");
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|error| FetchError::io("writing", &note)(error.into()))?;
    Ok(write_atomic(&note, &text)?)
}

fn modified(found: &Metadata) -> Option<String> {
    let since = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_nanos().to_string())
}

/// Returns the path of the pin of `path`.
pub(crate) fn pin_path(path: &Path) -> PathBuf {
    beside(path, "sha256")
}

/// Returns the pinned hash of an earlier copy of `path`.
///
/// # Errors
/// If there is a pin that cannot be read: a known hash must not be forgotten silently.
pub(crate) fn pinned(path: &Path) -> Result<Option<String>, FetchError> {
    let pin = pin_path(path);
    let Some(text) = read_short(&pin)? else { return Ok(None) };
    let hash = text.split_whitespace().next().unwrap_or_default();
    if hash.len() != Algorithm::Sha256.digits() || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(FetchError::Content {
            path: pin,
            wanted: "a line of `sha256sum`".into(),
            got: format!("{} bytes of something else", text.len()),
        });
    }
    Ok(Some(hash.to_ascii_lowercase()))
}

/// Pins `path` to a hash.
pub(crate) fn pin(path: &Path, sha256: &str) -> Result<(), FetchError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(write_atomic(&pin_path(path), format!("{sha256}  {name}\n").as_bytes())?)
}

/// Reads a small text file; `None` if there is none.
pub(crate) fn read_short(path: &Path) -> Result<Option<String>, FetchError> {
    let reading = || FetchError::io("reading", path);
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading()(error)),
        Ok(found) if found.len() > MAX_RECORD => {
            return Err(FetchError::Content {
                path: path.to_path_buf(),
                wanted: format!("at most {MAX_RECORD} bytes"),
                got: format!("{} bytes", found.len()),
            });
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(reading())
}
