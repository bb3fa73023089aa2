//! PyTorch's files since version 1.6: a zip archive with a pickle and a member for each storage, none
//! of them compressed.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::{pickle, tensors};
use crate::error::{Reason, reason};
use crate::file::Blob;

/// Most members that are looked at.
const MAX_MEMBERS: usize = 100_000;

/// The tensors of an archive.
///
/// # Errors
/// Names the member or the tensor that is broken. A compressed member is refused: PyTorch writes none,
/// and a small one can hold any number of zeros.
pub fn blobs(bytes: &[u8]) -> Result<Vec<Blob>, String> {
    let members = members(bytes)?;
    let (pickle, folder) = members
        .iter()
        .find_map(|(name, range)| Some((range.clone(), name.strip_suffix("data.pkl")?)))
        .ok_or("an archive without data.pkl: no file of PyTorch")?;
    let order = format!("{folder}byteorder");
    if members.get(&order).is_some_and(|range| bytes[range.clone()] == *b"big") {
        return Err("big-endian numbers, which are not read".into());
    }
    let infos = pickle::read(&bytes[pickle])?.tensors()?;
    tensors(infos, |key, wanted| {
        let name = format!("{folder}data/{key}");
        let range = members.get(&name).ok_or_else(|| format!("{name} is missing"))?;
        match range.len() == wanted {
            true => Ok(&bytes[range.clone()]),
            false => Err(format!("{name}: wanted {wanted} bytes, got {}", range.len())),
        }
    })
}

/// Names of all members and where their bytes are.
fn members(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, Reason> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(reason)?;
    if archive.len() > MAX_MEMBERS {
        return Err(format!("wanted at most {MAX_MEMBERS} members, got {}", archive.len()));
    }
    let mut members = HashMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(reason)?;
        let name = member.name().map_err(reason)?.into_owned();
        if member.encrypted() || member.compression() != CompressionMethod::Stored {
            return Err(format!("{name}: compressed or encrypted, which PyTorch's files are not"));
        }
        let start = member.data_start().and_then(|start| usize::try_from(start).ok());
        let range = start.zip(usize::try_from(member.size()).ok()).and_then(|(start, size)| {
            Some(start..start.checked_add(size).filter(|end| *end <= bytes.len())?)
        });
        let range = range.ok_or_else(|| format!("{name}: reaches out of the file"))?;
        members.insert(name, range);
    }
    Ok(members)
}
