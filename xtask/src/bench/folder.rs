//! Folder of a benchmark.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder for exchanged weights and images, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    ///
    /// # Errors
    /// If that is not possible.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path)
            .with_context(|| format!("creating folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns its path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A failure is harmless, because the folder lies below the target folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
