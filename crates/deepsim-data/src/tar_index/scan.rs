//! The pass over the headers of a tar.

use std::fs::File;
use std::path::Path;

use tar::{EntryType, Header};

use super::{Members, NO_GROUP, Place};
use crate::DataError;
use crate::kinds::is_junk;
use crate::names::text;
use crate::positioned::read_exact_at;

const BLOCK: u64 = 512;
/// Long names and other extended headers are refused beyond this.
const MAX_EXTENDED: u64 = 1 << 20;
/// Zeros at the end of a tar; programs fill their last record, of 10 KiB as a rule.
const MAX_PADDING: u64 = 1 << 20;
/// Members beyond this are refused: a file of headers alone must not fill the memory.
const MAX_MEMBERS: usize = 1 << 26;

/// Finds all members of a tar of `bytes`, and those of the tars in it.
pub(super) fn scan(file: &File, path: &Path, bytes: u64) -> Result<Members, DataError> {
    let mut scan = Scan { file, path, members: Members::default() };
    scan.compressed(bytes)?;
    scan.tar(0, bytes, NO_GROUP)?;
    Ok(scan.members)
}

struct Scan<'a> {
    file: &'a File,
    path: &'a Path,
    members: Members,
}

/// Name and size of the next member, from extended headers.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// First bytes of compressed files, and the names of their formats.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
];

impl Scan<'_> {
    /// Refuses a compressed tar, because its members cannot be read in place.
    fn compressed(&self, bytes: u64) -> Result<(), DataError> {
        let mut block = [0; BLOCK as usize];
        let start = &mut block[..bytes.min(BLOCK) as usize];
        self.read(start, 0)?;
        // A tar whose first member's name begins with these bytes is not compressed.
        if Header::from_byte_slice(&block).cksum().is_ok() {
            return Ok(());
        }
        match COMPRESSED.iter().find(|(first, _)| block.starts_with(first)) {
            Some((_, kind)) => Err(DataError::Content {
                path: self.path.into(),
                wanted: "a tar that is not compressed".into(),
                got: format!("{kind}; unpack it first"),
            }),
            None => Ok(()),
        }
    }

    /// One tar from `start` to `end` of the file.
    fn tar(&mut self, start: u64, end: u64, group: u32) -> Result<(), DataError> {
        let mut at = start;
        let mut extended = Extended::default();
        // Some programs leave out the two empty blocks at the end.
        while at < end {
            let mut block = [0; BLOCK as usize];
            if end - at < BLOCK {
                return self.refuse(at, "a header of 512 bytes", format!("{} bytes", end - at));
            }
            self.read(&mut block, at)?;
            if block.iter().all(|byte| *byte == 0) {
                return self.padding(at, end);
            }
            let header = Header::from_byte_slice(&block);
            self.check(header, &block, at)?;
            let kind = header.entry_type();
            let size = match (extended.size, header.entry_size()) {
                (Some(size), _) if !is_extension(kind) => size,
                (_, Ok(size)) => size,
                (_, Err(_)) => return self.refuse(at, "a size", "other bytes".into()),
            };
            let content = at + BLOCK;
            let padded = size.checked_next_multiple_of(BLOCK);
            // The last member may lack its padding.
            if size > end - content {
                let got = format!("{} of {size} bytes", header_name(header));
                return self.refuse(
                    at,
                    &format!("a member of at most {} bytes", end - content),
                    got,
                );
            }
            match kind {
                EntryType::XGlobalHeader | EntryType::GNULongLink => {}
                EntryType::GNULongName => {
                    let name = self.extension(content, size)?;
                    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                    extended.name = Some(name[..end].to_vec());
                }
                EntryType::XHeader => {
                    let records = self.extension(content, size)?;
                    self.records(&records, at, &mut extended)?;
                }
                EntryType::Directory => extended = Extended::default(),
                EntryType::Regular | EntryType::Continuous => {
                    let name = std::mem::take(&mut extended).name;
                    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                    self.file(&name, content, size, group)?;
                }
                other => {
                    let got = format!("{} of type {other:?}", header_name(header));
                    return self.refuse(at, "files and folders", got);
                }
            }
            at = padded.map_or(end, |padded| content.saturating_add(padded)).min(end);
        }
        Ok(())
    }

    /// Checks that only zeros follow the last member. Other bytes after an empty block mean that the tar
    /// does not end there: it is an unfinished download into reserved space, or the first of two tars.
    fn padding(&self, at: u64, end: u64) -> Result<(), DataError> {
        if end - at > MAX_PADDING {
            let wanted = format!("at most {MAX_PADDING} bytes of padding after its end");
            return self.refuse(at, &wanted, format!("{} bytes", end - at));
        }
        let mut bytes = vec![0; (end - at) as usize];
        self.read(&mut bytes, at)?;
        match bytes.iter().position(|byte| *byte != 0) {
            Some(place) => {
                let got = format!("other bytes at byte {}", at + place as u64);
                self.refuse(at, "nothing but zeros after its end", got)
            }
            None => Ok(()),
        }
    }

    /// A file: a tar to look into, or a member; what file managers leave behind is neither.
    fn file(&mut self, name: &[u8], offset: u64, length: u64, group: u32) -> Result<(), DataError> {
        if is_junk(name) {
            return Ok(());
        }
        let name = &*text(name);
        let full = |scan: &Self| scan.refuse(offset, "fewer members", format!("{name} as well"));
        if group == NO_GROUP && name.ends_with(".tar") {
            let number = self.members.groups.len() as u32;
            if !self.members.groups.push(name) {
                return full(self);
            }
            return self.tar(offset, offset + length, number);
        }
        if self.members.places.len() == MAX_MEMBERS || !self.members.names.push(name) {
            return full(self);
        }
        self.members.places.push(Place { offset, length, group });
        Ok(())
    }

    /// The sum over a header's bytes, with its own field as spaces.
    fn check(&self, header: &Header, block: &[u8], at: u64) -> Result<(), DataError> {
        let field = 148..156;
        let sum =
            |(i, byte): (usize, &u8)| u32::from(if field.contains(&i) { b' ' } else { *byte });
        let sum: u32 = block.iter().enumerate().map(sum).sum();
        match header.cksum() {
            Ok(wanted) if wanted == sum => Ok(()),
            Ok(wanted) => {
                self.refuse(at, &format!("a header with checksum {wanted}"), sum.to_string())
            }
            // The error would repeat the bytes.
            Err(_) => self.refuse(at, "a header of a tar", "other bytes".into()),
        }
    }

    /// Records `length key=value\n` of a pax header.
    fn records(&self, mut bytes: &[u8], at: u64, to: &mut Extended) -> Result<(), DataError> {
        while !bytes.is_empty() {
            let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length = std::str::from_utf8(&bytes[..digits]).ok().and_then(|t| t.parse().ok());
            let record = length.and_then(|length: usize| bytes.get(digits + 1..length));
            let Some((record, length)) = record.zip(length) else {
                return self.refuse(at, "records of a pax header", "something else".into());
            };
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let equals = record.iter().position(|byte| *byte == b'=').unwrap_or(record.len());
            let (key, value) = (&record[..equals], record.get(equals + 1..).unwrap_or_default());
            match key {
                b"path" => to.name = Some(value.to_vec()),
                b"size" => match std::str::from_utf8(value).ok().and_then(|size| size.parse().ok())
                {
                    Some(size) => to.size = Some(size),
                    None => return self.refuse(at, "a size", text(value).into_owned()),
                },
                _ if key.starts_with(b"GNU.sparse") => {
                    return self.refuse(at, "files and folders", "a sparse file".into());
                }
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn extension(&self, offset: u64, size: u64) -> Result<Vec<u8>, DataError> {
        if size > MAX_EXTENDED {
            let wanted = format!("an extended header of at most {MAX_EXTENDED} bytes");
            return self.refuse(offset, &wanted, size.to_string());
        }
        let mut bytes = vec![0; size as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), DataError> {
        read_exact_at(self.file, bytes, at).map_err(DataError::io("reading", self.path))
    }

    fn refuse<T>(&self, at: u64, wanted: &str, got: String) -> Result<T, DataError> {
        let wanted = format!("a tar with {wanted} at byte {at}");
        Err(DataError::Content { path: self.path.into(), wanted, got })
    }
}

/// Headers that say something about the next one; a size given before is not theirs.
fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::XHeader
            | EntryType::XGlobalHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink
    )
}

fn header_name(header: &Header) -> String {
    text(&header.path_bytes()).into_owned()
}
