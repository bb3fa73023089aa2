//! Archives of the registry, with the sums of their members.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::archive;
use crate::sums::{Hasher, Sums, verify_watched};
use crate::{Event, FetchError, Unpack, Watch};

/// Whether the folder is there, with all members; their sums are looked at if `again`.
///
/// # Errors
/// If it is there, but not complete or not right.
pub(crate) fn is_there(
    unpack: &Unpack,
    folder: &Path,
    again: bool,
    watch: &mut Watch<'_>,
) -> Result<bool, FetchError> {
    let nothing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    if folder.symlink_metadata().is_err_and(|error| nothing(&error)) {
        return Ok(false);
    }
    unpack.allowed().check(folder)?;
    for (name, sums) in unpack.members.iter().filter(|(_, sums)| again && sums.can_verify()) {
        verify_watched(&folder.join(name), sums, watch)?;
    }
    Ok(true)
}

/// Unpacks a verified archive; every member is hashed on the way.
pub(crate) fn unpack(
    archive: &Path,
    unpack: &Unpack,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<(), FetchError> {
    let hasher = |sums: &Sums| Hasher::new(&sums.algorithms());
    let mut hashers: BTreeMap<&str, Hasher> =
        unpack.members.iter().map(|(name, sums)| (name.as_str(), hasher(sums))).collect();
    let mut done = 0;
    let staged = archive::stage(archive, folder, &unpack.allowed(), &mut |member, bytes| {
        if let Some(hasher) = hashers.get_mut(member) {
            hasher.update(bytes);
        }
        done += bytes.len() as u64;
        (watch.report)(Event::Unpacking { member, done });
        match watch.stop.load(Ordering::Relaxed) {
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
