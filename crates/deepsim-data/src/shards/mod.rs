//! Tar shards in the naming of WebDataset: `name-000000.tar`, ..., in which the files of a sample
//! stand side by side as `KEY.jpg` and `KEY.cls`.
//!
//! Sequential files suit object stores and network disks, and a share of the shards suits each of
//! many machines. Here shards are indexed, so that reading them is random access all the same: the
//! order of samples does not depend on which shard they are in.

mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use write::{Limits, Progress, ShardWriter, Written, copy};

use crate::tar_index::{TarIndex, TarSet};
use crate::{DataError, PictureFiles};

/// Endings of a sample's picture.
const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];
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
}

const NO_LABEL: u32 = u32::MAX;

impl Shards {
    /// Opens shards by a pattern with one range in braces, as `train-{000000..000146}.tar`, or all
    /// `.tar` files of a folder.
    ///
    /// # Errors
    /// If the pattern is wrong, a shard is missing or damaged, or a sample has a label that is no
    /// number, a label without a picture, or two pictures.
    pub fn open(pattern: &str) -> Result<Self, DataError> {
        Self::open_files(&paths(pattern)?)
    }

    /// Opens shards by their paths; with [`paths`], a share of them on each of many machines.
    ///
    /// # Errors
    /// As [`Shards::open`].
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, DataError> {
        let tars = TarSet::open(paths)?;
        let (mut members, mut labels) = (Vec::new(), Vec::new());
        let mut start = 0;
        for tar in tars.tars() {
            group(tar, start, &mut members, &mut labels)?;
            start += tar.len();
        }
        if members.is_empty() {
            return Err(DataError::Argument {
                operation: "opening shards",
                wanted: "shards with pictures".into(),
                got: format!("{} shards without any", paths.len()),
            });
        }
        Ok(Self { tars, members, labels })
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

/// Finds the samples of a shard whose members begin at `start` of the set.
fn group(
    tar: &TarIndex,
    start: usize,
    members: &mut Vec<u32>,
    labels: &mut Vec<u32>,
) -> Result<(), DataError> {
    let file = File::open(tar.path()).map_err(DataError::io("opening", tar.path()))?;
    let refuse = |member: usize, wanted: &str, got: String| {
        Err(DataError::Content { path: tar.member_path(member), wanted: wanted.into(), got })
    };
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < tar.len() {
        let key = split(tar.name(at)).0;
        let (mut picture, mut label) = (None, NO_LABEL);
        let first = at;
        while at < tar.len() && split(tar.name(at)).0 == key {
            let ending = split(tar.name(at)).1.to_ascii_lowercase();
            if PICTURES.contains(&ending.as_str()) && picture.replace(at).is_some() {
                return refuse(at, "one picture in a sample", "another one".into());
            }
            if ending == LABEL {
                tar.read_from(&file, at, &mut bytes)?;
                let text = String::from_utf8_lossy(&bytes);
                match text.trim().parse() {
                    Ok(number) if number != NO_LABEL => label = number,
                    _ => {
                        let got: String = text.trim().chars().take(40).collect();
                        return refuse(at, "a class index", format!("`{got}`"));
                    }
                }
            }
            at += 1;
        }
        match picture {
            Some(picture) => match u32::try_from(start + picture) {
                Ok(member) => {
                    members.push(member);
                    labels.push(label);
                }
                Err(_) => return refuse(at, "at most 2^32 members", "more".into()),
            },
            None if label != NO_LABEL => {
                return refuse(first, "a picture beside the class", "a sample without".into());
            }
            // Notes and the like are no samples.
            None => {}
        }
    }
    Ok(())
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
