//! Folder that is removed at the end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder for files that nobody keeps, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path)
            .with_context(|| format!("creating folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A failure is harmless: the folder is a temporary one, or lies below the target folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
