//! The file-system calls of a save, behind a trait, so that a test can make each of them fail.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

/// Operations on the file system that saving a checkpoint needs.
pub trait Disk {
    /// Makes a folder.
    fn create_folder(&self, path: &Path) -> Result<()>;
    /// Writes a new file and flushes it to the medium.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()>;
    /// Flushes the names in a folder to the medium.
    fn sync_folder(&self, path: &Path) -> Result<()>;
    /// Renames a folder.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes a folder with all that is in it.
    fn remove_folder(&self, path: &Path) -> Result<()>;
}

/// The file system itself.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> Result<()> {
        std::fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        // Folders cannot be opened as files everywhere.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> Result<()> {
        std::fs::remove_dir_all(path)
    }
}
