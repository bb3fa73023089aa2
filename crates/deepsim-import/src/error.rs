//! Errors of imports.

use std::path::{Path, PathBuf};

use deepsim_nets::NetError;

/// Errors of this crate. Each names the file, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file is damaged, or is not of the form that it seems to be.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Fault and its place.
        reason: String,
    },
    /// The tensors of a file are not those of the network. All faults are listed at once.
    #[error("{} does not fit {net}:\n  {}", path.display(), problems.join("\n  "))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        net: String,
        /// Faults, one a line.
        problems: Vec<String>,
    },
    /// The tensors of a file fit no known network.
    #[error("{}: its tensors fit no network\n  {}", path.display(), hints.join("\n  "))]
    NoNetwork {
        /// The file.
        path: PathBuf,
        /// The nearest network, what it lacks, and names of the file, a line for each.
        hints: Vec<String>,
    },
    /// The tensors fit several networks and the caller named none.
    #[error("{}: the tensors fit {got}; say which is meant with --net (known are {known})", path.display())]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Networks that the tensors fit.
        got: String,
        /// Names of all known networks.
        known: String,
    },
    /// A file could not be read, or the weights could not be written.
    #[error(transparent)]
    Net(#[from] NetError),
}

impl ImportError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| NetError::Io { operation, path, source }.into()
    }
}

/// Fault in the bytes of a file; the caller adds the path.
pub(crate) type Reason = String;

/// Converts an error to its message.
pub(crate) fn reason(error: impl std::fmt::Display) -> Reason {
    error.to_string()
}
