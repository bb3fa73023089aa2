//! Errors of a training run.

use deepsim_run::RunError;

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A recipe that is not valid, or a file of a run folder that cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run folder already holds something else.
    #[error("run folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Description of its content, with a way out.
        reason: String,
    },
    /// A checkpoint that does not fit the run.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A checkpoint could not be saved; earlier ones are untouched.
    #[error("saving a checkpoint: {operation} {}: {source}", path.display())]
    Save {
        /// Operation, e.g. `renaming to`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// Something of a run could not be written, and its recipe says that it then stops.
    #[error("{0}; checkpoints that were there are untouched")]
    Write(Box<Self>),
    /// A loss or a gradient became infinite or not a number. The step was undone.
    #[error(transparent)]
    NonFinite(Box<NonFinite>),
    /// The processes of a run cannot work together any more.
    #[error("processes: {0}")]
    Group(String),
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Operation, e.g. `writing log`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// The data set.
    #[error(transparent)]
    Data(#[from] deepsim_data::DataError),
    /// The loader has ended; batches never end by themselves.
    #[error("loader: expected another batch, found its end")]
    NoBatch,
    /// A network.
    #[error(transparent)]
    Net(#[from] deepsim_nets::NetError),
    /// A loss.
    #[error(transparent)]
    Loss(#[from] deepsim_loss::LossError),
    /// A tensor operation.
    #[error("{}", deepsim_ops::error_message(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// A loss or a gradient that is infinite or not a number: found before the parameters were changed.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The step, counted from 1.
    pub step: u64,
    /// The term, or the network whose gradient it is.
    pub term: &'static str,
    /// Quantity.
    pub quantity: Quantity,
    /// Value of the quantity.
    pub value: f64,
    /// The images of the batch, as numbers of the data set.
    pub batch: Vec<usize>,
    /// Folder with the batch and the state before the step, for `deepsim replay`.
    pub reproducer: Option<PathBuf>,
}

/// Quantity that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The value of a term.
    Loss,
    /// The gradient of a term at the generated images.
    Gradient,
    /// The gradient of a network's weights.
    ParameterGradient,
}

impl std::error::Error for NonFinite {}

impl std::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, term, value, .. } = self;
        let quantity = match self.quantity {
            Quantity::Loss => "loss",
            Quantity::Gradient => "gradient at the images",
            Quantity::ParameterGradient => "gradient of the weights",
        };
        write!(
            f,
            "step {step}: the {term} {quantity} is {value}. The last checkpoint is untouched; a smaller \
             learning rate or weight may help"
        )?;
        if !self.batch.is_empty() {
            write!(f, "\nbatch: {:?}", self.batch)?;
        }
        if let Some(folder) = &self.reproducer {
            write!(f, "\nto look at this step: deepsim replay {}", folder.display())?;
        }
        Ok(())
    }
}

impl TrainError {
    pub(crate) fn recipe(reason: impl Into<String>) -> Self {
        Self::Run(RunError::recipe(reason))
    }

    /// Returns true if a recipe, or a `--set`, is not valid.
    pub fn is_recipe(&self) -> bool {
        matches!(self, Self::Run(RunError::Recipe { .. }))
    }

    pub(crate) fn io(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
