//! Index of the members of a tar file, to read them in place and in any order.
//!
//! One pass over the headers finds the members and skips their contents. `ILSVRC2012_img_train.tar` is
//! a tar of 1000 tars: an inner tar (a member named `.tar`) is indexed too, one level deep, and is the
//! group of its members. The index is stored beside the tar and made again when the tar's size or time
//! changes.
//!
//! Files that file managers and archivers leave behind (`._a.jpg`, `.DS_Store`, `__MACOSX`, `Thumbs.db`,
//! `desktop.ini`, anything hidden) are not members. Bytes of a name that are not UTF-8 are written as
//! `\xE9`.

mod scan;
mod set;
mod stored;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::DataError;
use crate::memory::resize;
use crate::names::Names;
use crate::positioned::read_exact_at;

pub(crate) use set::TarSet;

/// The members of a tar file.
///
/// ```no_run
/// use deepsim_data::tar_index::TarIndex;
/// let index = TarIndex::open("data/ilsvrc/ILSVRC2012_img_train.tar".as_ref())?;
/// let mut jpeg = Vec::new();
/// index.read(0, &mut jpeg)?;
/// println!("{} of {:?}: {} bytes", index.name(0), index.group(0), jpeg.len());
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarIndex {
    path: PathBuf,
    stamp: Stamp,
    members: Members,
}

/// Size and time of a file, by which a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Time of the last change in nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    fn of(file: &File, path: &Path) -> Result<Self, DataError> {
        let metadata = file.metadata().map_err(DataError::io("reading the size of", path))?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { bytes: metadata.len(), modified: since.as_nanos() as u64 })
    }
}

/// Names and places of all members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members {
    names: Names,
    places: Vec<Place>,
    /// Names of the tars inside.
    groups: Names,
}

/// Place of a member's content in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u64,
    /// Index of the group; [`NO_GROUP`] for none.
    group: u32,
}

const NO_GROUP: u32 = u32::MAX;

impl TarIndex {
    /// Reads the index beside the tar, or makes a new one and stores it there if the folder allows it.
    ///
    /// # Errors
    /// If the tar cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("opening", path))?;
        let stamp = Stamp::of(&file, path)?;
        if let Some(members) = stored::read(&Self::stored_at(path), stamp) {
            return Ok(Self { path: path.into(), stamp, members });
        }
        let index = Self::build(path)?;
        // In a folder that cannot be written to, the next call makes the index again.
        let _ = stored::write(&Self::stored_at(path), index.stamp, &index.members);
        Ok(index)
    }

    /// Makes a new index, without looking for one beside the tar.
    ///
    /// # Errors
    /// If the tar cannot be read, or is cut off, has a header that is damaged, or holds a link, a
    /// device or a sparse file, none of which is used to distribute pictures.
    pub fn build(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("opening", path))?;
        let stamp = Stamp::of(&file, path)?;
        let members = scan::scan(&file, path, stamp.bytes)?;
        Ok(Self { path: path.into(), stamp, members })
    }

    /// Returns the path at which the index of a tar is stored.
    pub fn stored_at(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".deepsim-index");
        path.with_file_name(name)
    }

    /// The tar.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.places.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of a member; empty if there is no such member.
    pub fn name(&self, index: usize) -> &str {
        self.members.names.get(index)
    }

    /// Name of the inner tar that a member is in, e.g. `n01440764.tar`.
    pub fn group(&self, index: usize) -> Option<&str> {
        Some(self.members.groups.get(self.group_number(index)?))
    }

    /// Returns the inner tar that a member is in.
    pub(crate) fn group_number(&self, index: usize) -> Option<usize> {
        let group = self.members.places.get(index)?.group;
        (group != NO_GROUP).then_some(group as usize)
    }

    /// Names of the inner tars.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.members.groups.iter()
    }

    /// Bytes of a member.
    pub fn length(&self, index: usize) -> Option<u64> {
        self.members.places.get(index).map(|place| place.length)
    }

    /// Path of a member for messages, as if archives were folders; a leading `/` of its name is dropped.
    pub fn member_path(&self, index: usize) -> PathBuf {
        // Joining `/abs/a.jpg` would replace the path.
        let below = |name: &str| name.trim_start_matches('/').to_owned();
        self.path.join(below(self.group(index).unwrap_or_default())).join(below(self.name(index)))
    }

    /// Returns a text that changes when the tar does.
    pub fn identity(&self) -> String {
        format!("{} of {}", self.path.display(), self.state())
    }

    /// Size and time of the tar, by which files beside it are known to be of this state.
    pub(crate) fn state(&self) -> String {
        let Stamp { bytes, modified } = self.stamp;
        format!("{bytes} bytes at {modified} ns")
    }

    /// Replaces `bytes` with the content of a member. The tar is opened for each: a thousand shards
    /// are more than a process may hold open.
    ///
    /// # Errors
    /// If there is no such member, it is larger than [`MAX_FILE`](crate::decode::MAX_FILE), the tar
    /// cannot be read, or has another size or time than when it was indexed.
    pub fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let file = File::open(&self.path).map_err(DataError::io("opening", &self.path))?;
        self.read_from(&file, index, bytes)
    }

    /// Reads a member as [`TarIndex::read`] does, from a tar that is open already.
    pub(crate) fn read_from(
        &self,
        file: &File,
        index: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let content = |wanted: String, got: String| {
            Err(DataError::Content { path: self.path.clone(), wanted, got })
        };
        let Some(place) = self.members.places.get(index) else {
            return content(format!("a member below {}", self.len()), index.to_string());
        };
        let now = Stamp::of(file, &self.path)?;
        if now != self.stamp {
            let say = |stamp: Stamp| format!("{} bytes of {} ns", stamp.bytes, stamp.modified);
            return content(format!("{}, as when it was indexed", say(self.stamp)), say(now));
        }
        if place.length > crate::decode::MAX_FILE {
            let wanted = format!("members of at most {} bytes", crate::decode::MAX_FILE);
            return content(wanted, format!("{} of {}", self.name(index), place.length));
        }
        bytes.clear();
        resize(bytes, usize::try_from(place.length).ok())?;
        let path = || self.member_path(index);
        read_exact_at(file, bytes, place.offset).map_err(|e| DataError::io("reading", &path())(e))
    }
}
