//! Errors of an evaluation.

use std::path::{Path, PathBuf};

use deepsim_data::DataError;
use deepsim_loss::LossError;
use deepsim_nets::NetError;
use deepsim_run::RunError;

/// Errors of this crate. Each names the file or the operation, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Operation that failed, e.g. `reading log`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// Numbers that do not fit the operation.
    #[error("{operation}: expected {wanted}, found {got}")]
    Input {
        /// The operation.
        operation: &'static str,
        /// Values that it accepts.
        wanted: String,
        /// The value given.
        got: String,
    },
    /// A file of features that holds others than are needed.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// Form or values that are accepted.
        expected: String,
        /// Form or value in the file.
        found: String,
    },
    /// A run folder that is not there or holds no trained generator.
    #[error("run {}: {reason}", path.display())]
    Run {
        /// The folder.
        path: PathBuf,
        /// Reason why it cannot be measured.
        reason: String,
    },
    /// A file of a run folder.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A name that is not known.
    #[error("unknown {what} `{got}`; known are {known}")]
    Unknown {
        /// The kind of thing, e.g. `measure`.
        what: &'static str,
        /// Names that are known.
        known: String,
        /// The name given.
        got: String,
    },
    /// An option of a measure that is not known, or has a value of another type.
    #[error("{measure}.{key}: expected {expected}, found {found}")]
    Option {
        /// Name of the measure.
        measure: String,
        /// Key of the option.
        key: String,
        /// Values, or keys, that are accepted.
        expected: String,
        /// The value, or key, given.
        found: String,
    },
    /// A measure without a single number.
    #[error("{measure}: no value is defined: {reason}")]
    Undefined {
        /// The measure.
        measure: String,
        /// First row, and the reason why it has no value.
        reason: String,
    },
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A distance.
    #[error(transparent)]
    Loss(#[from] LossError),
}

impl EvalError {
    /// Turns an I/O error of `operation` on `path` into one that says so.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn input(
        operation: &'static str,
        wanted: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Input { operation, wanted: wanted.into(), got: got.into() }
    }

    pub(crate) fn features(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Features { path: path.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn option(
        measure: &str,
        key: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self::Option { measure: measure.into(), key: key.into(), expected, found }
    }
}

impl EvalError {
    /// True if the reason is that images are of a size that a network cannot be computed for.
    pub fn is_size(&self) -> bool {
        let (Self::Net(error) | Self::Loss(LossError::Net(error))) = self else { return false };
        matches!(error, NetError::Size { .. })
    }
}

impl From<candle_core::Error> for EvalError {
    fn from(error: candle_core::Error) -> Self {
        Self::Net(error.into())
    }
}
