//! Archives of the registry, with the sums of their members.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::Empty;

use crate::archive;
use crate::sums::{Hasher, Sums, verify_until};
use crate::{FetchError, Unpack};

/// Returns true if the folder is there with all members; hashes them if `again` is set.
///
/// # Errors
/// If the folder is there but not complete or not right.
pub(crate) fn is_there(
    unpack: &Unpack,
    folder: &Path,
    again: bool,
    stop: &AtomicBool,
) -> Result<bool, FetchError> {
    let nothing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    if folder.symlink_metadata().is_err_and(|error| nothing(&error)) {
        return Ok(false);
    }
    unpack.allowed().check(folder)?;
    for (name, sums) in unpack.members.iter().filter(|(_, sums)| again && sums.can_verify()) {
        verify_until(&folder.join(name), sums, stop)?;
    }
    Ok(true)
}

/// Unpacks a verified archive; every member is hashed on the way.
pub(crate) fn unpack(
    archive: &Path,
    unpack: &Unpack,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    let hasher = |sums: &Sums| Hasher::new(&sums.algorithms());
    let mut hashers: BTreeMap<&str, Hasher> =
        unpack.members.iter().map(|(name, sums)| (name.as_str(), hasher(sums))).collect();
    let what = format!("unpacking {}", archive.file_name().unwrap_or_default().to_string_lossy());
    let total: Option<u64> = unpack.members.iter().map(|(_, sums)| sums.bytes).sum();
    let span = tracing::info_span!("unpacking", what, unit = "B", total, done = Empty).entered();
    let mut done = 0;
    let staged = archive::stage(archive, folder, &unpack.allowed(), &mut |member, bytes| {
        if let Some(hasher) = hashers.get_mut(member) {
            hasher.update(bytes);
        }
        done += bytes.len() as u64;
        span.record("done", done);
        match stop.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(FetchError::Interrupted { path: archive.to_path_buf() }),
        }
    })?;
    for (name, sums) in &unpack.members {
        let got = hashers.remove(name.as_str()).unwrap_or_default().finish();
        sums.compare(&got, &archive.join(name))?;
    }
    staged.commit()
}
