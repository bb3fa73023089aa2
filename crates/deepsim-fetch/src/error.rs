//! What can go wrong with downloads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sums::Algorithm;
use deepsim_data::DataError;

/// Errors of downloads. Each names the url or the file, what was wanted and what was got.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A registry does not follow its format.
    #[error("registry {origin}: {place}: wanted {wanted}, got {got}")]
    Registry {
        /// Where the registry came from.
        origin: String,
        /// The artifact and key, or the line.
        place: String,
        /// What should stand there.
        wanted: String,
        /// What does.
        got: String,
    },
    /// A name that the registry does not have.
    #[error("no artifact or group `{name}`; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The licence of an artifact has to be accepted first.
    #[error("{id} is not downloaded before its licence is accepted: {licence}")]
    Licence {
        /// The artifact.
        id: String,
        /// The licence's text.
        licence: String,
    },
    /// Only the user can get this file.
    #[error("{id}: {} is not there, and only you can get it. {how}", path.display())]
    Manual {
        /// The artifact.
        id: String,
        /// Where the file must be put.
        path: PathBuf,
        /// Where it is to be had.
        how: String,
    },
    /// A file is missing and the network may not be used.
    #[error("{id}: {} is not there, and downloads are off", path.display())]
    Offline {
        /// The artifact.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// Another process downloads the same file.
    #[error("another process downloads to {} (it holds the lock)", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was being done, e.g. `opening`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: wanted {wanted}, got {got}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: String,
        /// What it is.
        got: String,
    },
    /// A sum differs: the bytes are not those that were meant.
    #[error("{}: wanted {algorithm} {wanted}, got {got}", path.display())]
    Sum {
        /// The file, under the name that it has or would get.
        path: PathBuf,
        /// Which sum.
        algorithm: Algorithm,
        /// The sum of the registry, or of the first download.
        wanted: String,
        /// The file's.
        got: String,
    },
    /// The connection failed, broke or stalled.
    #[error("{operation} {url}: {reason}")]
    Network {
        /// What was being done.
        operation: &'static str,
        /// The address.
        url: String,
        /// The cause.
        reason: String,
        /// Whether another try may go better.
        transient: bool,
    },
    /// The server answered with something other than the file.
    #[error("{url}: wanted status 200 or 206, got {status}{}", told(*.retry_after))]
    Status {
        /// The address.
        url: String,
        /// HTTP's status code.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server's answer does not fit what was asked for.
    #[error("{url}: {header}: wanted {wanted}, got {got}")]
    Answer {
        /// The address.
        url: String,
        /// The header, or `body`.
        header: &'static str,
        /// What was asked for.
        wanted: String,
        /// What came.
        got: String,
        /// Whether another try, from the start of the file, may go better.
        transient: bool,
    },
    /// Every address failed, or every artifact of which one would do.
    #[error("{id} could not be had:{}", listed(.tried))]
    AllFailed {
        /// The artifact or group.
        id: String,
        /// The last error of each.
        tried: Vec<FetchError>,
    },
    /// The caller asked to stop. What was received stays, and the same call goes on from there.
    #[error("interrupted at {}; the same call goes on from there", path.display())]
    Interrupted {
        /// The file that was being written or read.
        path: PathBuf,
    },
    /// A file could not be written whole.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Something between us and the Hugging Face hub.
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

    /// Whether the same address may give the file at another try.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { transient, .. } | Self::Answer { transient, .. } => *transient,
            // 416: the part on the disk was not one of the server's file, and is discarded.
            Self::Status { status, .. } => {
                matches!(status, 408 | 416 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// Whether another address may give the file.
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
    retry_after.map(|wait| format!(", to be tried again after {wait:?}")).unwrap_or_default()
}

fn listed(errors: &[FetchError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}
