//! Archives (`.tar`, `.tar.gz`) read entry by entry against a list of what may be in them.
//!
//! An [`AllowList`] names every member, so an archive cannot write anywhere else: no absolute path,
//! `..`, link, device, second copy or unlisted file is ever created. The list also bounds the bytes
//! that are read, so a small archive cannot fill the disk or the memory. The folder appears under
//! its name once every member is on the disk, and not at all if anything is wrong.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use deepsim_fetch::{FetchError, archive};
//! # fn main() -> Result<(), FetchError> {
//! let folder = Path::new("data/stl10_binary");
//! archive::extract(Path::new("data/stl10_binary.tar.gz"), folder, &archive::stl10())?;
//! # Ok(())
//! # }
//! ```

mod guard;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use deepsim_data::atomic;
use deepsim_data::stl10::IMAGE_BYTES;
use flate2::read::MultiGzDecoder;
use tar::EntryType;

use crate::FetchError;
use guard::{Counted, Gauge, Guarded};

/// Images of a split of STL-10's format: ten times the official 100,000 and no more.
const MAX_IMAGES: u64 = 1_000_000;
/// Bytes of a text file of STL-10's format; the official folds are below 60 KB.
const MAX_TEXT: u64 = 16 << 20;
/// Bytes that may lie between the contents of two members: headers, long names, padding.
const MAX_HEADERS: u64 = 64 << 10;
/// Zeros after the last member; archives are padded to a multiple of a block, 10 KiB as a rule.
const MAX_PADDING: u64 = 4 << 20;
/// Bytes read and written at a time.
const CHUNK: usize = 128 << 10;

/// Size limit of a member, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Exactly this many bytes.
    Exactly(u64),
    /// At most this many bytes.
    UpTo(u64),
    /// A positive multiple of `unit`, at most `max`.
    MultipleOf {
        /// Bytes of one record.
        unit: u64,
        /// Bytes at most.
        max: u64,
    },
}

impl Size {
    /// Returns the largest size that fits.
    pub fn max(self) -> u64 {
        match self {
            Size::Exactly(max) | Size::UpTo(max) | Size::MultipleOf { max, .. } => max,
        }
    }

    /// Returns true if a member of `bytes` bytes fits.
    pub fn fits(self, bytes: u64) -> bool {
        match self {
            Size::Exactly(wanted) => bytes == wanted,
            Size::UpTo(max) => bytes <= max,
            Size::MultipleOf { unit, max } => {
                (1..=max).contains(&bytes) && bytes.checked_rem(unit) == Some(0)
            }
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Size::Exactly(bytes) => write!(f, "{bytes} bytes"),
            Size::UpTo(max) => write!(f, "at most {max} bytes"),
            Size::MultipleOf { unit, max } => {
                write!(f, "a positive multiple of {unit} bytes, at most {max}")
            }
        }
    }
}

/// A file that an archive must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// File name, without folders.
    pub name: String,
    /// Size limit.
    pub size: Size,
}

/// Content that an archive must have, no more and no less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// The folder within the archive; members that lie beside it, without a folder, are taken too.
    pub folder: String,
    /// The files, in any order.
    pub members: Vec<Member>,
    /// Largest ratio of unpacked to packed bytes; beyond it the archive is refused as a bomb.
    pub max_ratio: u64,
}

impl AllowList {
    /// Default for `max_ratio`. Real data stay far below: pictures below 10, label files below 100.
    pub const MAX_RATIO: u64 = 200;

    /// Checks that a folder holds every member with a size that fits. Reads no content.
    ///
    /// # Errors
    /// If a file is missing or has a wrong size; names the first one.
    pub fn check(&self, folder: &Path) -> Result<(), FetchError> {
        for member in &self.members {
            let path = folder.join(&member.name);
            let found = path.metadata().map_err(FetchError::io("reading the size of", &path))?;
            if !found.is_file() || !member.size.fits(found.len()) {
                let got = match found.is_file() {
                    true => format!("{} bytes", found.len()),
                    false => "no file".to_owned(),
                };
                return Err(FetchError::Content { path, wanted: member.size.to_string(), got });
            }
        }
        Ok(())
    }
}

/// Returns the list for `stl10_binary.tar.gz`, the official archive or your own in the same format,
/// with up to a million images per split.
pub fn stl10() -> AllowList {
    let unit = IMAGE_BYTES as u64;
    let images = Size::MultipleOf { unit, max: unit * MAX_IMAGES };
    let labels = Size::UpTo(MAX_IMAGES);
    let member = |name: &str, size| Member { name: name.into(), size };
    AllowList {
        folder: "stl10_binary".into(),
        members: vec![
            member("unlabeled_X.bin", images),
            member("train_X.bin", images),
            member("train_y.bin", labels),
            member("test_X.bin", images),
            member("test_y.bin", labels),
            member("fold_indices.txt", Size::UpTo(MAX_TEXT)),
            member("class_names.txt", Size::UpTo(MAX_TEXT)),
        ],
        max_ratio: AllowList::MAX_RATIO,
    }
}

/// Unpacks an archive to the folder `target`, which must not exist yet.
///
/// # Errors
/// If `target` exists, or the archive is broken or holds anything but what `allowed` lists; then
/// nothing is left behind.
pub fn extract(archive: &Path, target: &Path, allowed: &AllowList) -> Result<(), FetchError> {
    stage(archive, target, allowed, &mut |_, _| Ok(()))?.commit()
}

/// Unpacked members beside their target, complete and not yet renamed. Dropping it removes them.
#[derive(Debug)]
pub struct Staged {
    /// Temporary folder around `inner`: only its owner can read it, while `inner` has the
    /// permissions that umask gives.
    #[expect(dead_code, reason = "removes what is left of it when dropped")]
    outer: tempfile::TempDir,
    inner: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Gives the folder its name.
    ///
    /// # Errors
    /// If something has taken the name meanwhile.
    pub fn commit(self) -> Result<(), FetchError> {
        refuse_existing(&self.target)?;
        std::fs::rename(&self.inner, &self.target)
            .map_err(FetchError::io("naming", &self.target))?;
        atomic::sync_folder(parent(&self.target));
        Ok(())
    }
}

/// Callback that receives the name and the next bytes of a member; its error ends the unpacking.
pub type Watcher<'a> = dyn FnMut(&str, &[u8]) -> Result<(), FetchError> + 'a;

/// Unpacks an archive beside `target`. `watch` receives every chunk of every member as it is
/// written, so that hashes are computed during the unpacking, before [`Staged::commit`].
///
/// # Errors
/// As [`extract`], and those of `watch`.
pub fn stage(
    archive: &Path,
    target: &Path,
    allowed: &AllowList,
    watch: &mut Watcher<'_>,
) -> Result<Staged, FetchError> {
    refuse_existing(target)?;
    let outer = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(parent(target))
        .map_err(FetchError::io("making a folder beside", target))?;
    let inner = outer.path().join("members");
    std::fs::create_dir(&inner).map_err(FetchError::io("making", &inner))?;
    unpack(archive, &inner, allowed, watch)?;
    atomic::sync_folder(&inner);
    Ok(Staged { outer, inner, target: target.to_path_buf() })
}

fn unpack(
    archive: &Path,
    folder: &Path,
    allowed: &AllowList,
    watch: &mut Watcher<'_>,
) -> Result<(), FetchError> {
    let gauge = Rc::new(Gauge::new(allowed.max_ratio));
    let explain = |error: std::io::Error| gauge.explain(archive, error);
    let reader = open(archive, &gauge)?;
    let mut tar = tar::Archive::new(reader);
    let mut seen = BTreeSet::new();
    let mut folders = 0;
    // The iterator reads a long name into memory whole, whatever its size; the gauge stops it.
    gauge.allow(MAX_HEADERS);
    for entry in tar.entries().map_err(explain)? {
        let mut entry = entry.map_err(explain)?;
        let raw = entry.path_bytes().into_owned();
        let refuse = |wanted: String, got: String| {
            let path = archive.join(String::from_utf8_lossy(&raw).trim_start_matches('/'));
            FetchError::Content { path, wanted, got }
        };
        let file = kind(entry.header().entry_type())
            .map_err(|got| refuse("a plain file".into(), got.to_owned()))?;
        let name = member_name(&raw, &allowed.folder)
            .map_err(|got| refuse(format!("a file of folder {}", allowed.folder), got.into()))?;
        if !file {
            folders += 1;
            if !name.is_empty() || folders > 1 {
                return Err(refuse(format!("only folder {}", allowed.folder), "a folder".into()));
            }
            gauge.allow(MAX_HEADERS);
            continue;
        }
        let Some(member) = allowed.members.iter().find(|member| member.name == name) else {
            let names: Vec<&str> = allowed.members.iter().map(|m| m.name.as_str()).collect();
            return Err(refuse(format!("one of {}", names.join(", ")), "another file".into()));
        };
        if !seen.insert(member.name.as_str()) {
            return Err(refuse("each member once".into(), "a second copy".into()));
        }
        let size = entry.size();
        if !member.size.fits(size) {
            return Err(refuse(member.size.to_string(), format!("{size} bytes")));
        }
        gauge.allow(size);
        let written =
            write_member(&mut entry, &folder.join(name), archive, &gauge, &mut |bytes| {
                watch(name, bytes)
            })?;
        if written != size {
            let got = format!("{written} bytes, then the end of the archive");
            return Err(refuse(format!("{size} bytes"), got));
        }
        gauge.allow(MAX_HEADERS);
    }
    finish(tar.into_inner(), archive, &gauge)?;
    match allowed.members.iter().find(|member| !seen.contains(member.name.as_str())) {
        None => Ok(()),
        Some(missing) => Err(FetchError::Content {
            path: archive.to_path_buf(),
            wanted: format!("a member {}", missing.name),
            got: format!("{} members without it", seen.len()),
        }),
    }
}

/// Returns the bytes of the tar, decompressed if they begin as gzip does, whatever the file's name.
fn open<'a>(archive: &Path, gauge: &Rc<Gauge>) -> Result<Guarded<Box<dyn Read + 'a>>, FetchError> {
    let opening = || FetchError::io("opening", archive);
    let mut magic = [0; 2];
    let mut file = File::open(archive).map_err(opening())?;
    let gzip = match file.read_exact(&mut magic) {
        Ok(()) => magic == [0x1f, 0x8b],
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(opening()(error)),
    };
    let file = File::open(archive).map_err(opening())?;
    let packed = BufReader::with_capacity(CHUNK, Counted::new(file, gauge.clone()));
    let unpacked: Box<dyn Read> =
        if gzip { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    Ok(Guarded::new(unpacked, gauge.clone()))
}

/// Returns true for a file and false for a folder; anything else is an error.
fn kind(entry: EntryType) -> Result<bool, &'static str> {
    match entry {
        EntryType::Regular => Ok(true),
        EntryType::Directory => Ok(false),
        EntryType::Symlink => Err("a symbolic link"),
        EntryType::Link => Err("a hard link"),
        EntryType::Char | EntryType::Block => Err("a device"),
        EntryType::Fifo => Err("a fifo"),
        EntryType::GNUSparse => Err("a sparse file"),
        _ => Err("an entry of another type"),
    }
}

/// Returns the name of an entry within `folder`, empty for the folder itself. The error says what
/// is wrong with the path.
fn member_name<'a>(path: &'a [u8], folder: &str) -> Result<&'a str, &'static str> {
    let path = std::str::from_utf8(path).map_err(|_| "a name that is not UTF-8")?;
    if path.chars().any(char::is_control) {
        return Err("a name with control characters");
    }
    if path.contains(['\\', ':']) {
        return Err("a backslash or a colon, as in paths of Windows");
    }
    if path.starts_with('/') {
        return Err("an absolute path");
    }
    if path.split('/').any(|part| part == "..") {
        return Err("a path with `..`");
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = match path.strip_prefix(folder) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').unwrap_or(path),
        None => path,
    };
    if path.contains('/') { Err("a file of another folder") } else { Ok(path) }
}

/// Copies one entry to a new file and returns its number of bytes.
fn write_member(
    entry: &mut impl Read,
    path: &Path,
    archive: &Path,
    gauge: &Gauge,
    watch: &mut dyn FnMut(&[u8]) -> Result<(), FetchError>,
) -> Result<u64, FetchError> {
    let writing = || FetchError::io("writing", path);
    let mut file = File::create_new(path).map_err(writing())?;
    let mut buffer = vec![0; CHUNK];
    let mut written = 0;
    loop {
        let bytes = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(gauge.explain(archive, error)),
        };
        file.write_all(bytes).map_err(writing())?;
        written += bytes.len() as u64;
        watch(bytes)?;
    }
    file.sync_all().map_err(writing())?;
    Ok(written)
}

/// Reads what follows the last member: only zeros, and the checksum of a gzip file.
fn finish(mut rest: impl Read, archive: &Path, gauge: &Gauge) -> Result<(), FetchError> {
    // An archive ends with blocks of zeros. One that was cut between two members does not.
    if gauge.ended() {
        return Err(FetchError::Content {
            path: archive.to_path_buf(),
            wanted: "an end-of-archive mark".into(),
            got: format!("the end of the file after {} unpacked bytes", gauge.unpacked()),
        });
    }
    gauge.allow(MAX_PADDING);
    let mut buffer = vec![0; CHUNK];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if buffer[..count].iter().all(|byte| *byte == 0) => {}
            Ok(_) => {
                return Err(FetchError::Content {
                    path: archive.to_path_buf(),
                    wanted: "zeros after the end-of-archive mark".into(),
                    got: "other bytes".into(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(gauge.explain(archive, error)),
        }
    }
}

fn refuse_existing(target: &Path) -> Result<(), FetchError> {
    match target.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FetchError::io("looking for", target)(error)),
        Ok(_) => Err(FetchError::Content {
            path: target.to_path_buf(),
            wanted: "nothing of that name, to unpack to".into(),
            got: "something that exists; it is left as it is".into(),
        }),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
