//! PyTorch's files since version 1.6: a zip archive with a pickle and a member for each storage, none
//! of them compressed.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::pickle;
use crate::contents::{Contents, Format};
use crate::error::{Reason, reason};

/// Most members that are looked at.
const MAX_MEMBERS: usize = 100_000;

/// The tensors of an archive; `part` names the dictionary of a checkpoint that holds them.
///
/// # Errors
/// Names the member or the tensor that is broken. A compressed member is refused: PyTorch writes none,
/// and a small one can hold any number of zeros.
pub fn read(bytes: &[u8], part: Option<&str>) -> Result<Contents, String> {
    let members = members(bytes)?;
    let pickles = members.iter().filter_map(|(name, range)| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some((folder, range.clone()))
    });
    let (folder, pickle) =
        pickles.min_by_key(|(folder, _)| (folder.len(), *folder)).ok_or_else(|| {
            let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
            names.sort_unstable();
            names.truncate(3);
            format!("a zip archive of {}: no file of PyTorch; unpack it", names.join(", "))
        })?;
    let order = format!("{folder}byteorder");
    if members.get(&order).is_some_and(|range| bytes[range.clone()] == *b"big") {
        return Err("big-endian numbers, which are not read".into());
    }
    let state = pickle::read(&bytes[pickle])?.state(part)?;
    super::contents(Format::TorchZip, state, |key, expected| {
        let name = format!("{folder}data/{key}");
        let range = members.get(&name).ok_or_else(|| format!("{name} is missing"))?;
        match range.len() == expected {
            true => Ok(&bytes[range.clone()]),
            false => Err(format!("{name}: expected {expected} bytes, found {}", range.len())),
        }
    })
}

/// Names of all members and where their bytes are.
fn members(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, Reason> {
    // PyTorch's archives begin where their files do. The library's guess is wrong where an entry of the
    // directory is as long as the records behind it.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| {
        format!("a zip archive without the directory at its end, as if its download had stopped ({error})")
    })?;
    if archive.len() > MAX_MEMBERS {
        return Err(format!("expected at most {MAX_MEMBERS} members, found {}", archive.len()));
    }
    if archive.file_names().flatten().any(|name| name.ends_with("/constants.pkl")) {
        return Err("TorchScript, a program with its weights; write them alone with \
                    torch.save(torch.jit.load(\"FILE\", map_location=\"cpu\").state_dict(), \"weights.pth\")"
            .into());
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
