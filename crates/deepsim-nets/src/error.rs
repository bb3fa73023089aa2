//! Errors of building, loading and running networks.

use std::path::PathBuf;

use crate::Sides;

/// Errors of this crate. Each names the file or the operation, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// Operation that failed, e.g. `reading weights from`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// A weight file is not a valid safetensors file.
    #[error("{}: not a valid safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Message of the parser.
        reason: String,
    },
    /// A weight file does not hold the tensors of the network. All faults are listed at once.
    #[error("{}: weights do not fit {net}:\n  {}", path.display(), problems.join("\n  "))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network to be loaded.
        net: String,
        /// One line per missing tensor, unexpected tensor and wrong shape or type.
        problems: Vec<String>,
    },
    /// Weights do not fit half precision. All tensors concerned are listed.
    #[error("{}: weights do not fit half precision:\n  {}", path.display(), problems.join("\n  "))]
    Half {
        /// The file to be written.
        path: PathBuf,
        /// One line per tensor.
        problems: Vec<String>,
    },
    /// The metadata of a weight file does not describe the network that was asked for.
    #[error("{}: metadata key `net`: expected {wanted}, found {got}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// The kind of network asked for.
        wanted: &'static str,
        /// Description in the file.
        got: String,
    },
    /// A table of layers does not describe a network.
    #[error("{place}: expected {expected}, found {found}")]
    Table {
        /// The row, tap or key.
        place: String,
        /// Values that it may have.
        expected: String,
        /// Value that it has.
        found: String,
    },
    /// A file does not describe a network.
    #[error("{}: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The key or row, with the values that it may have and the one it has.
        reason: String,
    },
    /// There is no comparator of this name.
    #[error(
        "unknown network `{found}`, expected one of `{}`, or the path of a description that ends in .toml",
        known.join("`, `")
    )]
    UnknownComparator {
        /// Names of those that come with the crate.
        known: Vec<String>,
        /// The name asked for.
        found: String,
    },
    /// A comparator has no such tap.
    #[error("{net} has no tap `{got}`; it has {}", wanted.join(", "))]
    UnknownTap {
        /// The network.
        net: String,
        /// Taps of the network.
        wanted: Vec<String>,
        /// The tap asked for.
        got: String,
    },
    /// Pixels, shapes or formats that do not fit the operation.
    #[error("{operation}: expected {wanted}, found {got}")]
    Shape {
        /// The operation.
        operation: &'static str,
        /// Shapes or formats that it accepts.
        wanted: String,
        /// The shape or format given.
        got: String,
    },
    /// Images of a size that a network cannot be computed for.
    #[error("{operation}: expected {expected}, found {}", size(*.found))]
    Size {
        /// The network, or its function.
        operation: String,
        /// Sides of square images that it can be computed for.
        expected: Sides,
        /// Height and width of the images.
        found: (usize, usize),
    },
    /// An error of a tensor operation.
    #[error("{}", deepsim_ops::error_message(.0))]
    Tensor(candle_core::Error),
}

fn size((height, width): (usize, usize)) -> String {
    if height == width { height.to_string() } else { format!("{height} x {width}") }
}

impl From<candle_core::Error> for NetError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}
