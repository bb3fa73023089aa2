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
//! | `KEY.cls` beside it | its label: a class index in decimal digits; another file, or a key of `KEY.json`, with [`ShardOptions`] |
//! | `KEY.json`, `KEY.txt`, `KEY.x.cls`, ... beside them | not read, unless [`ShardOptions::label`] says so |
//! | `KEY.webp`, `.bmp`, `.gif`, `KEY.x.tiff`, ... | not read, but counted: [`unread`](PictureFiles::unread) |
//! | `KEY.seg.png` in every sample | a field of the samples: not read, but counted: [`Unread::fields`] |
//! | `KEY.v2.jpg` in some samples only | refused |
//! | `class_names.txt` beside the shards | names of the classes in the order of their indices, one a line |
//! | `._KEY.jpg`, `.DS_Store`, `__MACOSX/...`, `Thumbs.db`, `desktop.ini` | nothing |
//!
//! A key ends at the first dot after the last slash, as in WebDataset. `img.v2.jpg` beside `img.jpg` is
//! therefore a further picture of `img`, although it may have been meant as a sample of its own. It is
//! taken as a field only if all of two or more samples, over all shards that are opened together, have
//! a `KEY.jpg` (or in another format) and a `KEY.v2.jpg`, and no other file is named `img.v2`. All others
//! are refused, with the name to change. Bytes of names that are no UTF-8 count as they are.

mod key;
mod labels;
mod paths;
mod sample;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use labels::Label;
pub use paths::paths;
pub use write::{Limits, ShardWriter, Written, copy};

use self::labels::Labels;
use self::sample::{Fields, Sample, refuse};
use crate::tar_index::{TarIndex, TarSet};
use crate::{DataError, PictureFiles, Unread, content};

/// File beside shards with the names of the classes, one a line.
pub const CLASS_NAMES: &str = "class_names.txt";

/// Meaning of the labels of samples.
///
/// ```no_run
/// use deepsim_data::{PictureFiles, shards::{Classes, Label, ShardOptions, Shards}};
/// // KEY.json holds { "class": "cat", ... }.
/// let options = ShardOptions { label: Label::Json("class".into()), classes: Classes::Sorted };
/// let shards = Shards::open_with("data/pets-{000..007}.tar", &options)?;
/// println!("{:?}", shards.class_names());
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardOptions {
    /// Place of the label in a sample.
    pub label: Label,
    /// Classes that labels stand for.
    pub classes: Classes,
}

/// Classes that labels stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// Labels are class indices in decimal digits.
    #[default]
    Numbered,
    /// Labels are names; classes are all names that occur, sorted.
    Sorted,
    /// Labels are names out of this list, whose order is that of the indices.
    Named(Vec<String>),
}

/// Samples of some shards, in the order of the tars.
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
    /// Member that holds each sample's picture.
    members: Vec<u32>,
    /// Class of each sample; [`NO_LABEL`] for none.
    labels: Vec<u32>,
    class_names: Vec<String>,
    unread: Unread,
}

const NO_LABEL: u32 = u32::MAX;

impl Shards {
    /// Opens shards by a path, by a pattern, or all of a folder: see [`paths`](paths()).
    ///
    /// # Errors
    /// If the pattern is wrong, a shard is missing or damaged, or a sample has a label that is not a
    /// number, a label without a picture, two pictures or labels, or a dot in its key.
    pub fn open(pattern: &str) -> Result<Self, DataError> {
        Self::open_with(pattern, &ShardOptions::default())
    }

    /// Opens shards as [`Shards::open`], with labels of another kind.
    ///
    /// # Errors
    /// As [`Shards::open`], and if a label is none of the classes.
    pub fn open_with(pattern: &str, options: &ShardOptions) -> Result<Self, DataError> {
        Self::open_files_with(&paths(pattern)?, options)
    }

    /// Opens shards by their paths; with [`paths`](paths()), a share of them on each of many machines.
    ///
    /// # Errors
    /// As [`Shards::open`].
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, DataError> {
        Self::open_files_with(paths, &ShardOptions::default())
    }

    /// Opens shards by their paths, with labels of another kind.
    ///
    /// # Errors
    /// As [`Shards::open_with`].
    pub fn open_files_with(paths: &[PathBuf], options: &ShardOptions) -> Result<Self, DataError> {
        let tars = TarSet::open(paths)?;
        let mut shards = Self {
            tars: TarSet::default(),
            members: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            unread: Unread::default(),
        };
        let (mut start, mut fields) = (0, Fields::default());
        let mut resolver = Resolver::new(&options.classes);
        for tar in tars.tars() {
            shards.group(tar, start, &mut fields, &options.label, &mut resolver)?;
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
        let folder = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        shards.class_names = match options.classes {
            Classes::Numbered => class_names(&folder.join(CLASS_NAMES), &shards.labels)?,
            _ => resolver.finish(&mut shards.labels),
        };
        shards.unread.warn(folder);
        Ok(Self { tars, ..shards })
    }

    /// Adds the samples of a shard whose members begin at `start` of the set.
    fn group(
        &mut self,
        tar: &TarIndex,
        start: usize,
        fields: &mut Fields,
        label: &Label,
        resolver: &mut Resolver<'_>,
    ) -> Result<(), DataError> {
        let labels = Labels::open(tar, label)?;
        let mut at = 0;
        while at < tar.len() {
            let sample = Sample::read(tar, &labels, label.ending(), &mut at)?;
            fields.add(tar, &sample)?;
            sample.unread.iter().for_each(|ending| self.unread.count(ending));
            let Some(picture) = sample.picture(tar)? else { continue };
            let member = u32::try_from(start + picture).map_err(|_| DataError::Content {
                path: tar.member_path(picture),
                wanted: "at most 2^32 members".into(),
                got: "more".into(),
            })?;
            self.members.push(member);
            self.labels.push(match sample.label {
                Some(member) => {
                    resolver.class(tar, member, labels.text(member).unwrap_or_default())?
                }
                None => NO_LABEL,
            });
        }
        Ok(())
    }

    fn member(&self, index: usize) -> Result<(&TarIndex, usize), DataError> {
        self.tars.find(self.members.get(index).map_or(usize::MAX, |member| *member as usize))
    }
}

/// From the texts of labels to class indices.
struct Resolver<'a> {
    classes: &'a Classes,
    /// Class of each name, in the order of their first occurrence for [`Classes::Sorted`].
    known: HashMap<String, u32>,
}

impl<'a> Resolver<'a> {
    fn new(classes: &'a Classes) -> Self {
        let named = match classes {
            Classes::Named(names) => names.as_slice(),
            _ => &[],
        };
        let known = named.iter().zip(0..).map(|(name, class)| (name.clone(), class)).collect();
        Self { classes, known }
    }

    fn class(&mut self, tar: &TarIndex, member: usize, text: &str) -> Result<u32, DataError> {
        let got = || format!("`{}`", text.chars().take(40).collect::<String>());
        match self.classes {
            Classes::Numbered => match text.parse().ok().filter(|class| *class != NO_LABEL) {
                Some(class) => Ok(class),
                None => refuse(tar, member, "a class index", got()),
            },
            Classes::Named(names) => match self.known.get(text) {
                Some(class) => Ok(*class),
                None => refuse(tar, member, &format!("one of the {} classes", names.len()), got()),
            },
            Classes::Sorted => {
                let next = self.known.len() as u32;
                Ok(*self.known.entry(text.to_owned()).or_insert(next))
            }
        }
    }

    /// Brings classes into the order of their names, where labels name them; returns the names.
    fn finish(self, labels: &mut [u32]) -> Vec<String> {
        if let Classes::Named(names) = self.classes {
            return names.clone();
        }
        let mut names: Vec<(String, u32)> = self.known.into_iter().collect();
        names.sort_unstable();
        let mut places = vec![0; names.len()];
        names.iter().zip(0..).for_each(|((_, class), place)| places[*class as usize] = place);
        for label in labels.iter_mut().filter(|label| **label != NO_LABEL) {
            *label = places[*label as usize];
        }
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// Reads the names of numbered classes, if the file is there.
fn class_names(path: &Path, labels: &[u32]) -> Result<Vec<String>, DataError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DataError::io("reading", path)(error)),
    };
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let largest = labels.iter().filter(|label| **label != NO_LABEL).max();
    match largest {
        Some(class) if *class as usize >= names.len() => Err(DataError::Content {
            path: path.into(),
            wanted: format!("a name for each class up to {class}, one a line"),
            got: format!("{} names", names.len()),
        }),
        _ => Ok(names),
    }
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

    /// Names of [`ShardOptions::classes`], or of the file [`CLASS_NAMES`]; empty without either.
    fn class_names(&self) -> &[String] {
        &self.class_names
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
