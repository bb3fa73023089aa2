//! Tar shards in the naming of WebDataset: `name-000000.tar`, ..., in which the files of a sample
//! stand side by side as `KEY.jpg` and `KEY.cls`.
//!
//! Sequential files suit object stores and network disks, and a share of the shards suits each of
//! many machines. Here shards are indexed, so that reading them is random access all the same: the
//! order of samples does not depend on which shard they are in.
//!
//! | in a shard | is |
//! |---|---|
//! | `KEY.jpg`, `.jpeg`, `.png`, in any case | the picture of the sample `KEY` |
//! | `KEY.cls` beside it | its label: a class index in decimal digits |
//! | `KEY.json`, `KEY.txt`, `KEY.x.cls`, ... beside them | not read: a label that is only in a `.json` is none |
//! | `KEY.webp`, `.bmp`, `.gif`, `KEY.x.tiff`, ... | not read, but counted: [`unread`](PictureFiles::unread) |
//! | `KEY.seg.png` in every sample | a field of the samples: not read, but counted: [`Unread::fields`] |
//! | `KEY.v2.jpg` in some samples only | refused |
//! | `._KEY.jpg`, `.DS_Store`, `__MACOSX/...`, `Thumbs.db`, `desktop.ini` | nothing |
//!
//! A key ends at the first dot after the last slash, as in WebDataset. `img.v2.jpg` beside `img.jpg` is
//! therefore a further picture of `img`, although it may have been meant as a sample of its own. It is
//! taken as a field only if all of two or more samples, over all shards that are opened together, have
//! a `KEY.jpg` (or in another format) and a `KEY.v2.jpg`, and no other file is named `img.v2`. All others
//! are refused, with the name to change. Bytes of names that are no UTF-8 count as they are.

mod sample;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use write::{Limits, ShardWriter, Written, copy};

use self::sample::{Fields, Sample};
use crate::tar_index::{TarIndex, TarSet};
use crate::{DataError, PictureFiles, Unread, content};

/// Ending of the file with a sample's class index in decimal digits.
const LABEL: &str = "cls";

/// The samples of some shards, in the order in which they are in them.
///
/// ```no_run
/// use deepsim_data::{PictureFiles, shards::Shards};
/// let shards = Shards::open("data/imagenet1k-train-{0000..1023}.tar")?;
/// println!("{} pictures, the first of class {:?}", shards.len(), shards.label(0));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shards {
    tars: TarSet,
    /// Which member is each sample's picture.
    members: Vec<u32>,
    /// Class of each sample; [`NO_LABEL`] for none.
    labels: Vec<u32>,
    unread: Unread,
}

const NO_LABEL: u32 = u32::MAX;

impl Shards {
    /// Opens shards by a pattern with one range in braces, as `train-{000000..000146}.tar`, or all
    /// `.tar` files of a folder.
    ///
    /// # Errors
    /// If the pattern is wrong, a shard is missing or damaged, or a sample has a label that is no
    /// number, a label without a picture, two pictures or labels, or a dot in its key.
    pub fn open(pattern: &str) -> Result<Self, DataError> {
        Self::open_files(&paths(pattern)?)
    }

    /// Opens shards by their paths; with [`paths`], a share of them on each of many machines.
    ///
    /// # Errors
    /// As [`Shards::open`].
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, DataError> {
        let tars = TarSet::open(paths)?;
        let (members, labels, unread) = (Vec::new(), Vec::new(), Unread::default());
        let mut shards = Self { tars: TarSet::default(), members, labels, unread };
        let (mut start, mut fields) = (0, Fields::default());
        for tar in tars.tars() {
            shards.group(tar, start, &mut fields)?;
            start += tar.len();
        }
        fields.count(&mut shards.unread)?;
        if shards.members.is_empty() {
            let mut got = match paths.len() {
                1 => "a shard without any".to_owned(),
                many => format!("{many} shards without any"),
            };
            if !shards.unread.is_empty() {
                got += &format!("; {}", shards.unread);
            }
            return Err(DataError::Argument {
                operation: "opening shards",
                wanted: "shards with pictures".into(),
                got,
            });
        }
        let folder = paths.first().and_then(|path| path.parent());
        shards.unread.warn(folder.unwrap_or(Path::new("")));
        Ok(Self { tars, ..shards })
    }

    /// Adds the samples of a shard whose members begin at `start` of the set.
    fn group(
        &mut self,
        tar: &TarIndex,
        start: usize,
        fields: &mut Fields,
    ) -> Result<(), DataError> {
        let file = File::open(tar.path()).map_err(DataError::io("opening", tar.path()))?;
        let mut at = 0;
        while at < tar.len() {
            let sample = Sample::read(tar, &file, &mut at)?;
            fields.add(tar, &sample)?;
            sample.unread.iter().for_each(|ending| self.unread.count(ending));
            let Some(picture) = sample.picture(tar)? else { continue };
            let member = u32::try_from(start + picture).map_err(|_| DataError::Content {
                path: tar.member_path(picture),
                wanted: "at most 2^32 members".into(),
                got: "more".into(),
            })?;
            self.members.push(member);
            self.labels.push(sample.label.map_or(NO_LABEL, |(_, label)| label));
        }
        Ok(())
    }

    fn member(&self, index: usize) -> Result<(&TarIndex, usize), DataError> {
        self.tars.find(self.members.get(index).map_or(usize::MAX, |member| *member as usize))
    }
}

/// The shards that [`Shards::open`] opens, in order. Of `world` machines, each may read whole shards
/// of its own:
///
/// ```no_run
/// use deepsim_data::shards::{Shards, paths};
/// let (rank, world) = (0, 4);
/// let all = paths("data/train-{000000..000146}.tar")?;
/// let mine: Vec<_> = all.into_iter().skip(rank).step_by(world).collect();
/// let shards = Shards::open_files(&mine)?;
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
///
/// # Errors
/// If the pattern is wrong, or it is a folder that cannot be listed.
pub fn paths(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = Path::new(pattern);
    if !folder.is_dir() {
        return expand(pattern);
    }
    let entries = crate::folder::sorted(folder)?;
    let tars = entries.iter().filter(|entry| !entry.folder && entry.name.ends_with(".tar"));
    Ok(tars.map(|entry| folder.join(&entry.name)).collect())
}

/// The paths that a pattern with a range in braces stands for.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.into()]) };
    let refuse = || DataError::Argument {
        operation: "opening shards",
        wanted: "one range in the name, as in train-{000000..000146}.tar".into(),
        got: pattern.into(),
    };
    let (range, after) = rest.split_once('}').ok_or_else(refuse)?;
    let (first, last) = range.split_once("..").ok_or_else(refuse)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| refuse());
    let (from, to) = (number(first)?, number(last)?);
    if from > to || to - from > 1_000_000 || after.contains('{') {
        return Err(refuse());
    }
    let width = first.len();
    Ok((from..=to).map(|n| format!("{before}{n:0width$}{after}").into()).collect())
}

impl PictureFiles for Shards {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        self.member(index).map(|(tar, member)| tar.member_path(member)).unwrap_or_default()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied().filter(|label| *label != NO_LABEL)
    }

    /// Shards do not say.
    fn class_names(&self) -> &[String] {
        &[]
    }

    fn identity(&self) -> String {
        self.tars.identity()
    }

    fn content(&self) -> String {
        content::of_files(self, |index, fingerprint| {
            let member = self.members.get(index).map_or(usize::MAX, |member| *member as usize);
            self.tars.describe(member, fingerprint);
        })
    }

    fn unread(&self) -> Unread {
        self.unread.clone()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let (tar, member) = self.member(index)?;
        tar.read(member, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names_with_leading_zeros() {
        let names = |pattern: &str| expand(pattern).map_err(|error| error.to_string());
        assert_eq!(names("a/b.tar"), Ok(vec!["a/b.tar".into()]));
        let wanted = vec!["t-08.tar".into(), "t-09.tar".into(), "t-10.tar".into()];
        assert_eq!(names("t-{08..10}.tar"), Ok(wanted));
        for wrong in
            ["{1..}", "{1,2}", "{2..1}", "{a..b}", "{1..2", "{0..9}{0..9}", "{0..4000000000}"]
        {
            assert!(names(wrong).is_err_and(|error| error.contains(wrong)), "{wrong}");
        }
    }
}
