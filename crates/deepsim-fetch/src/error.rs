//! Errors of downloads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sums::Algorithm;
use deepsim_data::DataError;

/// Error of a download. Each names the address or the file, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A registry does not follow its format.
    #[error("registry {origin}: {place}: expected {wanted}, found {got}")]
    Registry {
        /// Path of the registry, or a name for its text.
        origin: String,
        /// The artifact and key, or the line.
        place: String,
        /// Form that the registry's format asks for.
        wanted: String,
        /// Text that stands there instead.
        got: String,
    },
    /// No artifact or group of the registry has this name.
    #[error("no artifact or group `{name}`; there are {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Known names, separated by commas.
        known: String,
    },
    /// The licence of an artifact must be accepted before the download.
    #[error("{id} is not downloaded before its licence is accepted: {licence}")]
    Licence {
        /// The artifact.
        id: String,
        /// The licence's text.
        licence: String,
    },
    /// The file cannot be downloaded; the user has to put it there.
    #[error("{id}: {} is not there, and only you can get it. {how}", path.display())]
    Manual {
        /// The artifact.
        id: String,
        /// Path at which the file is expected.
        path: PathBuf,
        /// Instructions for getting the file.
        how: String,
    },
    /// A file is missing and the options forbid the network.
    #[error("{id}: {} is not there, and downloads are off", path.display())]
    Offline {
        /// The artifact.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// Another process is downloading the same file.
    #[error("{}: another process is downloading this file (it holds the lock)", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Operation that failed, e.g. `opening`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. It is part of the message. The raw name keeps it from being the error's
        /// `source()` as well, so it is printed once.
        r#source: std::io::Error,
    },
    /// A file's size or content is not the expected one.
    #[error("{}: expected {wanted}, found {got}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Size or content that was expected.
        wanted: String,
        /// Size or content that was found.
        got: String,
    },
    /// A hash differs: the file does not hold the expected bytes.
    #[error("{}: expected {algorithm} {wanted}, found {got}", path.display())]
    Sum {
        /// The file, under its present or future name.
        path: PathBuf,
        /// Kind of hash.
        algorithm: Algorithm,
        /// Hash in the registry, or of the first download.
        wanted: String,
        /// Hash of the file.
        got: String,
    },
    /// The connection failed, broke or stalled.
    #[error("{operation} {url}: {reason}")]
    Network {
        /// Operation that failed.
        operation: &'static str,
        /// The address.
        url: String,
        /// The cause.
        reason: String,
        /// True if a retry may succeed.
        transient: bool,
    },
    /// The server answered with an error status.
    #[error("{url}: expected status 200 or 206, found {status}{}", told(*.retry_after))]
    Status {
        /// The address.
        url: String,
        /// HTTP status code.
        status: u16,
        /// Wait that the server asks for in `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The server's answer does not fit the request.
    #[error("{url}: {header}: expected {wanted}, found {got}")]
    Answer {
        /// The address.
        url: String,
        /// The header, or `body`.
        header: &'static str,
        /// Value or body that was expected.
        wanted: String,
        /// Value or body that was received.
        got: String,
        /// True if a retry from the start of the file may succeed.
        transient: bool,
    },
    /// Every address of an artifact failed, or every artifact of a group that needs one.
    #[error("{id} is not available:{}", listed(.tried))]
    AllFailed {
        /// The artifact or group.
        id: String,
        /// The last error of each address or artifact.
        tried: Vec<FetchError>,
    },
    /// The caller asked to stop. Received bytes stay on the disk; the same call continues from
    /// there.
    #[error("interrupted at {}; the same call continues from there", path.display())]
    Interrupted {
        /// File that was being written or read.
        path: PathBuf,
    },
    /// A file could not be written whole.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Talking to the Hugging Face hub failed.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
}

impl FetchError {
    pub(crate) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }

    /// Returns true if a retry at the same address may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { transient, .. } | Self::Answer { transient, .. } => *transient,
            // 416: the part on the disk belongs to another version of the file and is discarded.
            Self::Status { status, .. } => {
                matches!(status, 408 | 416 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// Returns true if another address may have the file.
    pub fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::Network { .. }
                | Self::Status { .. }
                | Self::Answer { .. }
                | Self::Sum { .. }
                | Self::AllFailed { .. }
        )
    }
}

fn told(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!("; retry after {wait:?}")).unwrap_or_default()
}

fn listed(errors: &[FetchError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}
