//! Errors of a reproduction, with the exit codes that go with them.

use std::path::{Path, PathBuf};

use deepsim_data::DataError;
use deepsim_eval::EvalError;
use deepsim_fetch::FetchError;
use deepsim_nets::NetError;
use deepsim_run::RunError;
use deepsim_train::TrainError;

/// Exit code of bad arguments.
pub const USAGE: u8 = 2;
/// Exit code of an interruption.
pub const INTERRUPTED: u8 = 130;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// Arguments that make no sense.
    #[error("{0}")]
    Usage(String),
    /// A request to stop, from the terminal or the system.
    #[error("{0}: interrupted; the same command continues")]
    Interrupted(String),
    /// A program that failed.
    #[error("{what} failed ({status}): {command}")]
    Program {
        /// Task of the program.
        what: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// The command as one would type it.
        command: String,
    },
    /// Several things that failed.
    #[error("{} runs or inputs failed: {}; the rest is done. Re-run the command to retry. First error: {first}", names.len(), names.join(", "))]
    Several {
        /// Names of all.
        names: Vec<String>,
        /// The first failure.
        first: Box<Self>,
    },
    /// A run folder that cannot be used.
    #[error("{} {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Reason, and how to mend it.
        reason: String,
    },
    /// Something that a run needs and that is not there.
    #[error("{0}")]
    Missing(String),
    /// A file that does not hold what it should.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Expected content.
        expected: String,
        /// Found content, or the parser's words.
        found: String,
    },
    /// A report was asked for something that no run was measured on.
    #[error("{}: nothing was measured for {}", page.display(), targets.join(", "))]
    Empty {
        /// The page, which was written all the same.
        page: PathBuf,
        /// The tables and figures that are empty.
        targets: Vec<String>,
    },
    /// A run folder or a recipe.
    #[error(transparent)]
    Run(Box<RunError>),
    /// Checkpoints.
    #[error(transparent)]
    Train(Box<TrainError>),
    /// Measurements.
    #[error(transparent)]
    Eval(Box<EvalError>),
    /// Files and pictures.
    #[error(transparent)]
    Data(Box<DataError>),
    /// Networks.
    #[error(transparent)]
    Net(Box<NetError>),
    /// Downloads.
    #[error(transparent)]
    Fetch(Box<FetchError>),
}

/// Boxed, because results are large with them.
macro_rules! from {
    ($($variant:ident($error:ty)),*) => {
        $(impl From<$error> for ReproduceError {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        })*
    };
}

from!(
    Run(RunError),
    Train(TrainError),
    Eval(EvalError),
    Data(DataError),
    Net(NetError),
    Fetch(FetchError)
);

impl ReproduceError {
    /// Arguments that make no sense, for a reason.
    pub fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    /// Turns an I/O error of `operation` on `path` into one that says so.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let io = DataError::io(operation, path);
        move |cause| io(cause).into()
    }

    /// A file that does not hold what it should.
    pub(crate) fn content(
        path: &Path,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Content {
            path: path.to_path_buf(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// Exit code for a program that ends with this error. A program that failed hands its own on.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Interrupted(_) => INTERRUPTED,
            // 256 and more, as on Windows, must not wrap around to success.
            Self::Program { status, .. } => {
                status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
            }
            Self::Several { first, .. } => first.exit_code(),
            Self::Run(error) if matches!(**error, RunError::Recipe { .. }) => USAGE,
            Self::Train(error) if error.is_recipe() => USAGE,
            _ => 1,
        }
    }
}
