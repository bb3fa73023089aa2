//! Errors of recipes and run folders.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A recipe, or a `--set`, that is not valid.
    #[error("recipe{}: {reason}", path.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Recipe {
        /// The file, if it came from one, or the name of a built-in recipe.
        path: Option<PathBuf>,
        /// The reason, with the position where the parser knows it.
        reason: String,
    },
    /// A file could not be read.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// The operation, e.g. `reading log`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause. Part of the message and, by the raw name, not the error's `source()`: it is printed once.
        r#source: std::io::Error,
    },
    /// A file or folder does not hold what it should.
    #[error(
        "{}{}: expected {expected}, found {found}{}",
        path.display(),
        line.map(|line| format!(":{line}")).unwrap_or_default(),
        advice.map(|advice| format!("; {advice}")).unwrap_or_default()
    )]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// Line, counted from 1, where it is known.
        line: Option<usize>,
        /// The expected content.
        expected: &'static str,
        /// The content that was found, or the parser's words.
        found: String,
        /// Advice, where there is any.
        advice: Option<&'static str>,
    },
}

impl RunError {
    /// Creates the error of a recipe that came from no file.
    pub fn recipe(reason: impl Into<String>) -> Self {
        Self::Recipe { path: None, reason: reason.into() }
    }

    /// Adds the file, or the name of a built-in recipe, to an error of a recipe.
    pub(crate) fn in_recipe(self, file: &Path) -> Self {
        match self {
            Self::Recipe { reason, .. } => Self::Recipe { path: Some(file.into()), reason },
            other => other,
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
