//! Errors of data.

use std::path::PathBuf;

/// Errors of this crate. Each names the file or the operation, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Operation that failed, e.g. `opening`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// A file does not hold the expected content.
    #[error("{}: expected {wanted}, found {got}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Content that was expected.
        wanted: String,
        /// Content that was found.
        got: String,
    },
    /// A picture file could not be decoded or transformed.
    #[error("{}: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Message of the decoder or the transform.
        reason: String,
    },
    /// Arguments that do not fit the data.
    #[error("{operation}: expected {wanted}, found {got}")]
    Argument {
        /// The operation.
        operation: &'static str,
        /// Values that it accepts.
        wanted: String,
        /// The value given.
        got: String,
    },
    /// More pictures could not be read than the loader may skip.
    #[error("{count} pictures could not be read; expected at most {limit}; the last: {reason}")]
    TooManyBroken {
        /// Number of pictures that may be skipped.
        limit: u64,
        /// Number of pictures that could not be read, each counted once.
        count: u64,
        /// Reason for the last one.
        reason: String,
    },
    /// A decoder, or the source itself, panicked while it read an image.
    #[error(
        "image {index}{}: expected pixels or an error, found a panic: {reason}",
        file.as_ref().map(|file| format!(" ({})", file.display())).unwrap_or_default()
    )]
    Panicked {
        /// Image of the source.
        index: usize,
        /// File of the image, where known.
        file: Option<PathBuf>,
        /// The panic's message.
        reason: String,
    },
    /// Preparing a batch panicked outside of any image, or a worker thread ended.
    #[error("loader: expected a batch, found that its worker failed: {reason}")]
    Worker {
        /// The panic's message, or what else is known.
        reason: String,
    },
    /// The saved state of a loader does not belong to this source and configuration.
    #[error("resuming a loader: expected {expected}, found {found}; {advice}")]
    Resume {
        /// Seed or data that the state was saved with.
        expected: String,
        /// Seed or data that it is resumed with.
        found: String,
        /// Advice on how to continue.
        advice: &'static str,
    },
    /// Memory that the system does not give.
    #[error(
        "expected memory for images, found no room for {}",
        bytes.map_or("more bytes than can be numbered".to_owned(), |bytes| format!("{bytes} bytes"))
    )]
    Memory {
        /// Bytes that were asked for; `None` if their number overflows.
        bytes: Option<usize>,
    },
}

impl DataError {
    /// Turns an I/O error of `operation` on `path` into one that says so.
    pub fn io(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
