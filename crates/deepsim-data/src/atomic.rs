//! Files that appear whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::DataError;

/// Prefix of the names of temporary files.
const PREFIX: &str = ".tmp-deepsim-";

/// Removes temporary files that a killed program left in `folder`. Call it only while nothing else
/// writes to the folder.
///
/// # Errors
/// If the folder cannot be read, or a file cannot be removed.
pub fn clear_temporary(folder: &Path) -> Result<(), DataError> {
    let io = || DataError::io("clearing", folder);
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let entry = entry.map_err(io())?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_file(entry.path()).map_err(DataError::io("removing", &entry.path()))?;
        }
    }
    Ok(())
}

/// Writes `bytes` to a temporary file beside `path`, flushes it to the disk and renames it.
///
/// A file that was there before stays as it is until the rename; on failure nothing is left behind.
///
/// # Errors
/// If the disk is full or the folder is missing; names `path`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let io = || DataError::io("writing", path);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary(folder).map_err(io())?;
    file.write_all(bytes).map_err(io())?;
    persist(file, path)
}

/// Flushes a temporary file to the disk and gives it its name, in the same folder.
pub fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), DataError> {
    let io = || DataError::io("writing", path);
    file.as_file().sync_all().map_err(io())?;
    file.persist(path).map_err(|e| io()(e.error))?;
    sync_folder(path.parent().unwrap_or(path));
    Ok(())
}

/// Puts a folder's names on the disk: a rename lasts only then. Not every system can do that.
pub fn sync_folder(folder: &Path) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// A temporary file that, once renamed, can be read by whom the user's umask allows; the default
/// would be the owner alone.
pub fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
