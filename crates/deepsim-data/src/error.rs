//! What can go wrong with data.

use std::path::PathBuf;

/// Errors of this crate. Each names the file, what was wanted and what was got.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
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
    /// A file does not hold what it should.
    #[error("{}: wanted {wanted}, got {got}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: String,
        /// What it holds.
        got: String,
    },
    /// A picture file could not be decoded.
    #[error("decoding {}: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's words.
        reason: String,
    },
    /// Numbers that do not fit the data.
    #[error("{operation}: wanted {wanted}, got {got}")]
    Argument {
        /// The operation.
        operation: &'static str,
        /// What it accepts.
        wanted: String,
        /// What it was given.
        got: String,
    },
    /// candle could not make a tensor.
    #[cfg(feature = "candle")]
    #[error("making a tensor: {0}")]
    Tensor(candle_core::Error),
    /// More samples could not be read than the loader may skip.
    #[error("{count} samples could not be read; wanted at most {limit}; the last: {reason}")]
    TooManyBroken {
        /// How many may be skipped.
        limit: u64,
        /// How many were.
        count: u64,
        /// What was wrong with the last one.
        reason: String,
    },
    /// Something between us and the Hugging Face hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
}

#[cfg(feature = "candle")]
impl From<candle_core::Error> for DataError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(match error {
            // It would stand below the message if `RUST_BACKTRACE` is set.
            candle_core::Error::WithBacktrace { inner, .. } => *inner,
            other => other,
        })
    }
}

impl DataError {
    pub(crate) fn io(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
