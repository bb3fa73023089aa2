//! What can go wrong in a training run.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A recipe, or a `--set`, that is not valid.
    #[error("recipe{}: {reason}", path.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Recipe {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong, with the position where the parser knows it.
        reason: String,
    },
    /// The run folder already holds something else.
    #[error("run folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What it holds and what to do.
        reason: String,
    },
    /// A checkpoint that does not fit the run.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint could not be saved; earlier ones are untouched.
    #[error("saving a checkpoint: {operation} {}: {source}", path.display())]
    Save {
        /// What was being done, e.g. `renaming to`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Something of a run could not be written, and its recipe says that it then stops.
    #[error("{0}; checkpoints that were there are untouched")]
    Write(Box<Self>),
    /// A loss became infinite or not a number; nothing of this step was saved.
    #[error(
        "step {step}: the {term} loss is {value}. The last checkpoint is untouched; \
         a smaller learning rate or weight may help"
    )]
    NonFinite {
        /// The step, counted from 1.
        step: u64,
        /// The term.
        term: &'static str,
        /// Its value.
        value: f64,
    },
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was being done, e.g. `writing log`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The data set.
    #[error(transparent)]
    Data(#[from] deepsim_data::DataError),
    /// A network.
    #[error(transparent)]
    Net(#[from] deepsim_nets::NetError),
    /// A loss.
    #[error(transparent)]
    Loss(#[from] deepsim_loss::LossError),
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    pub(crate) fn recipe(reason: impl Into<String>) -> Self {
        Self::Recipe { path: None, reason: reason.into() }
    }

    /// Adds the file to an error of a recipe that was read from one.
    pub(crate) fn in_recipe(self, file: &std::path::Path) -> Self {
        match self {
            Self::Recipe { reason, .. } => Self::Recipe { path: Some(file.into()), reason },
            other => other,
        }
    }

    pub(crate) fn io(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
