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
//! | `KEY.json`, `KEY.txt`, `KEY.seg.png`, ... beside them | not read: a label that is only in a `.json` is none |
//! | `KEY.webp`, `.bmp`, `.gif`, ... alone | a sample that is left out and counted: [`unread`](PictureFiles::unread) |
//! | `._KEY.jpg`, `.DS_Store`, `__MACOSX/...`, `Thumbs.db`, `desktop.ini` | nothing |
//!
//! A key ends at the first dot after the last slash, as in WebDataset. A picture whose key has a dot
//! would belong to another key, so it is refused. Bytes of names that are no UTF-8 count as they are.

mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use write::{Limits, Progress, ShardWriter, Written, copy};

use crate::kinds::Kind;
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
    /// number, a label without a picture, two pictures, or a dot in its key.
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
        let mut start = 0;
        for tar in tars.tars() {
            shards.group(tar, start)?;
            start += tar.len();
        }
        if shards.members.is_empty() {
            let mut got = format!("{} shards without any", paths.len());
            if !shards.unread.is_empty() {
                got += &format!("; {}", shards.unread);
            }
            return Err(DataError::Argument {
                operation: "opening shards",
                wanted: "shards with pictures".into(),
                got,
            });
        }
        Ok(Self { tars, ..shards })
    }

    /// Adds the samples of a shard whose members begin at `start` of the set.
    fn group(&mut self, tar: &TarIndex, start: usize) -> Result<(), DataError> {
        let file = File::open(tar.path()).map_err(DataError::io("opening", tar.path()))?;
        let mut at = 0;
        while at < tar.len() {
            let sample = Sample::read(tar, &file, &mut at)?;
            let Some(picture) = sample.picture(tar)? else {
                sample.unread.iter().for_each(|ending| self.unread.count(ending));
                continue;
            };
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

/// The members of one key that follow each other.
#[derive(Default)]
struct Sample {
    picture: Option<usize>,
    label: Option<(usize, u32)>,
    /// Pictures with more than one dot after the key, as `KEY.seg.png`.
    dotted: Vec<usize>,
    /// The same of labels.
    dotted_labels: Vec<usize>,
    /// Endings of pictures that are not read.
    unread: Vec<&'static str>,
}

impl Sample {
    /// Reads the members from `at` on that have the same key, and moves `at` behind them.
    fn read(tar: &TarIndex, file: &File, at: &mut usize) -> Result<Self, DataError> {
        let refuse = |member: usize, wanted: &str, got: String| {
            Err(DataError::Content { path: tar.member_path(member), wanted: wanted.into(), got })
        };
        let (mut sample, mut bytes) = (Self::default(), Vec::new());
        let key = split(tar.name(*at)).0;
        while *at < tar.len() && split(tar.name(*at)).0 == key {
            let (member, ending) = (*at, split(tar.name(*at)).1.to_ascii_lowercase());
            let last = ending.rsplit('.').next().unwrap_or_default();
            let dotted = last.len() < ending.len();
            match Kind::of_ending(last.as_bytes()) {
                Kind::Picture if dotted => sample.dotted.push(member),
                Kind::Picture if sample.picture.replace(member).is_some() => {
                    return refuse(member, "one picture in a sample", "another one".into());
                }
                Kind::Unread(ending) => sample.unread.push(ending),
                _ if last == LABEL && dotted => sample.dotted_labels.push(member),
                _ if last == LABEL => {
                    tar.read_from(file, member, &mut bytes)?;
                    let text = String::from_utf8_lossy(&bytes);
                    match text.trim().parse() {
                        Ok(number) if number != NO_LABEL => sample.label = Some((member, number)),
                        _ => {
                            let got: String = text.trim().chars().take(40).collect();
                            return refuse(member, "a class index", format!("`{got}`"));
                        }
                    }
                }
                _ => {}
            }
            *at += 1;
        }
        Ok(sample)
    }

    /// The picture, if this is a sample that is read; notes and the like are not.
    fn picture(&self, tar: &TarIndex) -> Result<Option<usize>, DataError> {
        let refuse = |member: usize, wanted: &str, got: String| {
            Err(DataError::Content { path: tar.member_path(member), wanted: wanted.into(), got })
        };
        let stem = |member: &usize| tar.name(*member).rsplit_once('.').map_or("", |(stem, _)| stem);
        // `KEY.seg.png` beside `KEY.png` is another picture of the sample; one with its own label, or
        // with nothing beside it, is a sample whose key has a dot.
        let own = self.dotted.iter().find(|picture| {
            let alone = self.picture.is_none() && self.unread.is_empty();
            alone || self.dotted_labels.iter().any(|label| stem(label) == stem(picture))
        });
        if let Some(picture) = own {
            let got = format!("the sample `{}`; rename it", stem(picture));
            return refuse(*picture, "keys without dots: a key ends at its first dot", got);
        }
        let label = self.label.map(|(member, _)| member).or(self.dotted_labels.first().copied());
        match (self.picture, label) {
            (None, Some(label)) if self.unread.is_empty() => {
                refuse(label, "a picture beside the class", "a sample without".into())
            }
            (picture, _) => Ok(picture),
        }
    }
}

/// Key and ending of a member: the name up to the first dot after the last slash, and the rest.
fn split(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find('.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, ""),
    }
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

    #[test]
    fn keys_end_at_the_first_dot_of_the_last_part() {
        assert_eq!(split("n01/x_1.seg.png"), ("n01/x_1", "seg.png"));
        assert_eq!(split("v1.0/x.jpg"), ("v1.0/x", "jpg"));
        assert_eq!(split("readme"), ("readme", ""));
    }
}
