//! PyTorch's files before version 1.6: a mark, a version, facts about the machine, the object, and the
//! keys of its storages as pickles, then the storages themselves in the order of the keys.

use std::collections::HashMap;

use super::pickle::{self, Kind};
use crate::contents::{Contents, Format};
use crate::error::Reason;

/// The number 0x1950a86a20f9469cfc6c as Python's pickles hold it: an opcode, a length, its bytes.
const MARK: [u8; 12] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same as text, in protocol 1.
const MARK_TEXT: &[u8] = b"L119547037146038801333356L\n.";

/// True if bytes begin as such a file, in any protocol; from the fourth on, pickles have frames.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    match bytes {
        [0x80, 2..=5, 0x95, _, _, _, _, _, _, _, _, rest @ ..] | [0x80, 2..=5, rest @ ..] => {
            rest.starts_with(&MARK)
        }
        _ => bytes.starts_with(MARK_TEXT),
    }
}

/// The tensors of a file; `part` names the dictionary of a checkpoint that holds them.
///
/// # Errors
/// Names the tensor or the storage that is broken, or the byte of a pickle.
pub fn read(bytes: &[u8], part: Option<&str>) -> Result<Contents, String> {
    let mark = pickle::read(bytes)?;
    let version = pickle::read(mark.rest)?;
    let machine = pickle::read(version.rest)?;
    if machine.flag("little_endian") == Some(false) {
        return Err("big-endian numbers, which are not read".into());
    }
    let object = pickle::read(machine.rest)?;
    let keys = pickle::read(object.rest)?;
    let names = keys.texts().ok_or("the keys of the storages are no list of texts")?;
    let state = object.state(part)?;
    let storages = storages(keys.rest, names, &object.storages)?;
    super::contents(Format::TorchLegacy, state, |key, expected| {
        let storage = storages.get(key).ok_or_else(|| format!("storage {key} is missing"))?;
        match storage.len() == expected {
            true => Ok(*storage),
            false => {
                Err(format!("storage {key}: expected {expected} bytes, found {}", storage.len()))
            }
        }
    })
}

/// The bytes of all storages by their keys.
fn storages<'a>(
    mut rest: &'a [u8],
    names: Vec<String>,
    kinds: &HashMap<String, Kind>,
) -> Result<HashMap<String, &'a [u8]>, Reason> {
    let mut storages = HashMap::new();
    for name in names {
        let cut = || format!("storage {name}: the file ends in it, as if its download had stopped");
        let (length, left) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(i64::from_le_bytes(*length)).ok();
        // Without a size, nothing behind it can be found.
        let size = kinds.get(&name).map(|kind| kind.size());
        let size = size.ok_or_else(|| format!("storage {name}: of a kind that is not known"))?;
        let length = length.and_then(|length| length.checked_mul(size));
        let (storage, left) =
            length.and_then(|length| left.split_at_checked(length)).ok_or_else(cut)?;
        storages.insert(name, storage);
        rest = left;
    }
    Ok(storages)
}
