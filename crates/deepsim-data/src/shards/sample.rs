//! The members of a shard, sample by sample.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::key::split;
use super::labels::Labels;
use crate::kinds::Kind;
use crate::tar_index::TarIndex;
use crate::{DataError, Unread};

/// The members of one key that follow each other.
#[derive(Default)]
pub(super) struct Sample {
    picture: Option<usize>,
    /// Member that holds the label.
    pub(super) label: Option<usize>,
    /// Pictures with more than one dot after the key, as `KEY.seg.png`.
    dotted: Vec<usize>,
    /// The first of such labels.
    dotted_label: Option<usize>,
    /// Endings of pictures that are not read.
    pub(super) unread: Vec<&'static str>,
    /// Some of these have no other dot after the key.
    unread_picture: bool,
}

impl Sample {
    /// Reads the members from `at` on that have the same key, and moves `at` behind them.
    pub(super) fn read(
        tar: &TarIndex,
        labels: &Labels,
        ending: &str,
        at: &mut usize,
    ) -> Result<Self, DataError> {
        let (mut sample, label_ending) = (Self::default(), ending);
        // Members whose names are the same up to the last dot.
        let mut same: HashMap<&str, usize> = HashMap::new();
        let key = split(tar.name(*at)).0;
        while *at < tar.len() && split(tar.name(*at)).0 == key {
            let (member, ending) = (*at, split(tar.name(*at)).1.to_ascii_lowercase());
            let last = ending.rsplit('.').next().unwrap_or_default();
            let dotted = last.len() < ending.len();
            if dotted {
                *same.entry(stem(tar.name(member))).or_default() += 1;
            }
            match Kind::of_ending(last.as_bytes()) {
                Kind::Picture if dotted => sample.dotted.push(member),
                Kind::Picture if sample.picture.replace(member).is_some() => {
                    return refuse(tar, member, "one picture in a sample", "another one".into());
                }
                Kind::Unread(ending) => {
                    sample.unread.push(ending);
                    sample.unread_picture |= !dotted;
                }
                _ if dotted && last == label_ending => {
                    sample.dotted_label.get_or_insert(member);
                }
                // The first one is kept.
                _ if labels.text(member).is_some() && sample.label.replace(member).is_some() => {
                    return refuse(tar, member, "one class in a sample", "another one".into());
                }
                _ => {}
            }
            *at += 1;
        }
        let own = |picture: &&usize| {
            !sample.has_picture() || same.get(stem(tar.name(**picture))) != Some(&1)
        };
        match sample.dotted.iter().find(own) {
            Some(picture) => Err(dot_in_key(&tar.member_path(*picture), tar.name(*picture))),
            None => Ok(sample),
        }
    }

    /// True if there is a picture `KEY.jpg`, or one in a format that is not read.
    fn has_picture(&self) -> bool {
        self.picture.is_some() || self.unread_picture
    }

    /// The picture, if this is a sample that is read; notes and the like are not.
    pub(super) fn picture(&self, tar: &TarIndex) -> Result<Option<usize>, DataError> {
        let label = self.label.or(self.dotted_label);
        match (self.picture, label) {
            (None, Some(label)) if self.unread.is_empty() => {
                refuse(tar, label, "a picture beside the class", "a sample without".into())
            }
            (picture, _) => Ok(picture),
        }
    }
}

/// Further pictures of samples, as `KEY.seg.png`: those that every sample has.
#[derive(Default)]
pub(super) struct Fields {
    /// Number of samples with a picture.
    samples: usize,
    /// Fields by their ending, the text after the key.
    fields: BTreeMap<String, Field>,
}

struct Field {
    /// Number of samples that have it.
    samples: usize,
    path: PathBuf,
}

impl Fields {
    /// Adds the fields of a sample.
    ///
    /// # Errors
    /// If the samples before it lack one of them.
    pub(super) fn add(&mut self, tar: &TarIndex, sample: &Sample) -> Result<(), DataError> {
        for &picture in &sample.dotted {
            let name = tar.name(picture);
            let path = || tar.member_path(picture);
            let ending = split(name).1.to_ascii_lowercase();
            let field =
                self.fields.entry(ending).or_insert_with(|| Field { samples: 0, path: path() });
            if field.samples != self.samples {
                return Err(dot_in_key(&path(), name));
            }
            field.samples += 1;
        }
        self.samples += usize::from(sample.has_picture());
        Ok(())
    }

    /// Counts the fields as pictures that are not read.
    ///
    /// # Errors
    /// If samples lack one of them, or there is one sample only.
    pub(super) fn count(self, unread: &mut Unread) -> Result<(), DataError> {
        for (ending, Field { samples, path }) in self.fields {
            if samples != self.samples || samples < 2 {
                return Err(dot_in_key(&path, &path.to_string_lossy()));
            }
            unread.count_field(ending, samples);
        }
        Ok(())
    }
}

/// Refuses a picture that may be a sample whose key has a dot.
fn dot_in_key(path: &Path, name: &str) -> DataError {
    let (sample, ending) = (Path::new(stem(name)).file_name(), split(name).1);
    DataError::Content {
        path: path.into(),
        wanted: format!(
            "keys without dots, as a key ends at its first dot, or a `KEY.{ending}` beside the pictures of \
             all of two or more samples"
        ),
        got: format!("the sample `{}`; rename it", sample.unwrap_or_default().to_string_lossy()),
    }
}

pub(super) fn refuse<T>(
    tar: &TarIndex,
    member: usize,
    wanted: &str,
    got: String,
) -> Result<T, DataError> {
    Err(DataError::Content { path: tar.member_path(member), wanted: wanted.into(), got })
}

/// Name of a member up to its last dot.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
