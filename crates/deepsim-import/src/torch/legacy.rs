//! PyTorch's files before version 1.6: a mark, a version, facts about the machine, the object, and the
//! keys of its storages as pickles, then the storages themselves in the order of the keys.

use std::collections::HashMap;

use super::{pickle, tensors};
use crate::error::Reason;
use crate::file::Blob;

/// A pickle of the number 0x1950a86a20f9469cfc6c.
const MARK: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether bytes begin as such a file.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(&MARK)
}

/// The tensors of a file.
///
/// # Errors
/// Names the tensor or the storage that is broken, or the byte of a pickle.
pub fn blobs(bytes: &[u8]) -> Result<Vec<Blob>, String> {
    // Mark, version, machine.
    let mut rest = bytes;
    for _ in 0..3 {
        rest = pickle::read(rest)?.rest;
    }
    let object = pickle::read(rest)?;
    let infos = object.tensors()?;
    let keys = pickle::read(object.rest)?;
    let names = keys.texts().ok_or("the keys of the storages are no list of texts")?;
    let storages = storages(keys.rest, names, &infos)?;
    tensors(infos, |key, wanted| {
        let storage = storages.get(key).ok_or_else(|| format!("storage {key} is missing"))?;
        match storage.len() == wanted {
            true => Ok(*storage),
            false => Err(format!("storage {key}: wanted {wanted} bytes, got {}", storage.len())),
        }
    })
}

/// The bytes of all storages by their keys.
fn storages<'a>(
    mut rest: &'a [u8],
    names: Vec<String>,
    infos: &[(String, pickle::TensorInfo)],
) -> Result<HashMap<String, &'a [u8]>, Reason> {
    let kinds: HashMap<&str, pickle::Kind> =
        infos.iter().map(|(_, info)| (info.storage.key.as_str(), info.storage.kind)).collect();
    let mut storages = HashMap::new();
    for name in names {
        let (length, left) =
            rest.split_first_chunk().ok_or_else(|| format!("storage {name}: the file ends"))?;
        let length = usize::try_from(i64::from_le_bytes(*length)).ok();
        let size = kinds.get(name.as_str()).map(|kind| kind.size());
        // Without a size, nothing behind it can be found.
        let size = size.ok_or_else(|| format!("storage {name}: of no tensor"))?;
        let length = length.and_then(|length| length.checked_mul(size));
        let (storage, left) = length
            .and_then(|length| left.split_at_checked(length))
            .ok_or_else(|| format!("storage {name}: reaches out of the file"))?;
        storages.insert(name, storage);
        rest = left;
    }
    Ok(storages)
}
