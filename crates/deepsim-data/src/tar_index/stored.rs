//! The index beside the tar: little-endian numbers, checked as a whole and one by one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Members, NO_GROUP, Place, Stamp};
use crate::DataError;
use crate::atomic::write_atomic;
use crate::names::Names;

/// First bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 16] = b"deepsim index 2\n";
/// Bytes of an index beside those of its members.
const MAX_FIXED: u64 = 1024;
/// Bytes of an index for each byte of its tar, at most: a name that is no UTF-8 grows fourfold.
const MAX_GROWTH: u64 = 4;

/// Writes the index of a tar in the state `stamp`.
pub(super) fn write(path: &Path, stamp: Stamp, members: &Members) -> Result<(), DataError> {
    let mut bytes = MAGIC.to_vec();
    let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend(number.to_le_bytes());
    number(&mut bytes, stamp.bytes);
    number(&mut bytes, stamp.modified);
    number(&mut bytes, members.places.len() as u64);
    for place in &members.places {
        number(&mut bytes, place.offset);
        number(&mut bytes, place.length);
        bytes.extend(place.group.to_le_bytes());
    }
    for names in [&members.names, &members.groups] {
        let (text, ends) = names.parts();
        number(&mut bytes, text.len() as u64);
        bytes.extend(text.as_bytes());
        number(&mut bytes, ends.len() as u64);
        bytes.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
    }
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    write_atomic(path, &bytes)
}

/// Reads it; `None` if it is not there, damaged, or of another state of the tar: then it is made
/// again.
pub(super) fn read(path: &Path, stamp: Stamp) -> Option<Members> {
    let limit = stamp.bytes.saturating_mul(MAX_GROWTH).saturating_add(MAX_FIXED);
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > limit {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(bytes).to_le_bytes() != *sum {
        return None;
    }
    let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
    if (Stamp { bytes: rest.number()?, modified: rest.number()? }) != stamp {
        return None;
    }
    let count = usize::try_from(rest.number()?).ok()?;
    let places = rest.take(count.checked_mul(20)?)?;
    let place = |bytes: &[u8]| {
        let mut rest = Rest(bytes);
        let (offset, length) = (rest.number()?, rest.number()?);
        let group = u32::from_le_bytes(rest.take(4)?.try_into().ok()?);
        (offset.checked_add(length)? <= stamp.bytes).then_some(Place { offset, length, group })
    };
    let places: Vec<Place> = places.chunks_exact(20).map(place).collect::<Option<_>>()?;
    let (names, groups) = (rest.names()?, rest.names()?);
    let known = |place: &Place| place.group == NO_GROUP || (place.group as usize) < groups.len();
    let fits = names.len() == count && rest.0.is_empty() && places.iter().all(known);
    fits.then_some(Members { names, places, groups })
}

/// Bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn names(&mut self) -> Option<Names> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        let count = usize::try_from(self.number()?).ok()?;
        let ends = self.take(count.checked_mul(4)?)?.chunks_exact(4);
        let ends = ends.map(|end| end.try_into().ok().map(u32::from_le_bytes));
        Names::from_parts(text, ends.collect::<Option<_>>()?)
    }
}
