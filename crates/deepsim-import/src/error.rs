//! What can go wrong when weights are imported.

use std::path::{Path, PathBuf};

use deepsim_nets::NetError;

/// Errors of this crate. Each names the file, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file is damaged, or not of the form it seems to be.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The tensors of a file are not those of the network: everything wrong, listed at once.
    #[error("{} does not fit {net}:\n  {}", path.display(), problems.join("\n  "))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        net: String,
        /// One line for each thing that is wrong.
        problems: Vec<String>,
    },
    /// The tensors of a file are those of no network that is known.
    #[error("{}: its tensors fit no network\n  {}", path.display(), hints.join("\n  "))]
    NoNetwork {
        /// The file.
        path: PathBuf,
        /// The nearest network, what it lacks, and names of the file, a line for each.
        hints: Vec<String>,
    },
    /// It cannot be told which network the weights are for.
    #[error("{}: the tensors fit {got}; say which is meant with --net (known are {known})", path.display())]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Networks that the tensors fit.
        got: String,
        /// All networks that are known.
        known: String,
    },
    /// A file could not be read, or the weights not be written.
    #[error(transparent)]
    Net(#[from] NetError),
}

impl ImportError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| NetError::Io { operation, path, source }.into()
    }
}

/// What is wrong with the bytes of a file; the file is added where it is known.
pub(crate) type Reason = String;

/// Anything that says what is wrong.
pub(crate) fn reason(error: impl std::fmt::Display) -> Reason {
    error.to_string()
}
