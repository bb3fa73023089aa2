//! Report of an import: every tensor of the file and its fate.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::contents::Format;
use crate::net::Net;

/// Contents of a file and the fate of each tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The form of the file.
    pub format: Format,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The network.
    pub net: Net,
    /// The dictionaries of a PyTorch checkpoint from which the tensors were taken, e.g. `state_dict`.
    pub container: Option<String>,
    /// Text before the names of the network's tensors, e.g. `module.`.
    pub prefix: Option<String>,
    /// Sentences about the import for people: where the network ends, what else the file holds.
    pub notes: Vec<String>,
    /// File that was written.
    pub output: PathBuf,
    /// A line for each tensor of the file, in its order.
    pub lines: Vec<Line>,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Name in the file.
    pub blob: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Fate of the tensor.
    pub fate: Fate,
}

/// Fate of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Written under this name and in this shape.
    Used(String, Vec<usize>),
    /// Left out, for this reason.
    Ignored(String),
}

impl Report {
    /// The lines of tensors that were used.
    pub fn used(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.fate, Fate::Used(..)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, sha256 {}", self.format, self.sha256)?;
        if let Some(container) = &self.container {
            writeln!(f, "note     the tensors are in `{container}`")?;
        }
        if let Some(prefix) = &self.prefix {
            writeln!(f, "note     their names begin with `{prefix}`, which is left out")?;
        }
        for note in &self.notes {
            writeln!(f, "note     {note}")?;
        }
        for Line { blob, shape, fate } in &self.lines {
            match fate {
                Fate::Used(name, to) => writeln!(f, "used     {blob} {shape:?} as {name} {to:?}")?,
                Fate::Ignored(why) => writeln!(f, "ignored  {blob} {shape:?}: {why}")?,
            }
        }
        let (used, all) = (self.used().count(), self.lines.len());
        write!(f, "{}: {used} of {all} tensors, {}", self.net.name(), self.output.display())
    }
}
