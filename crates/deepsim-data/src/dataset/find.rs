//! Data by their name: what is at a path, and which of it is held out for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pictures::name;
use super::recognise::{Format, SCENES, recognise, text};
use super::{Dataset, PhotoSizes, SceneSizes};
use crate::folder::{ImageFolder, classes};
use crate::ilsvrc::Ilsvrc;
use crate::shards::{Shards, paths};
use crate::subset::Subset;
use crate::upright::UprightFiles;
use crate::{DataError, PictureFiles, splits};

/// Share of the pictures that is held out where there is no test split and none is named.
pub const TEST_SHARE: f64 = 0.1;
/// Names of folders with training pictures.
const TRAIN: [&str; 2] = ["train", "training"];
/// Names of folders with test pictures, the first that is there.
const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// Data that a command is given, and how its test split is found.
///
/// | `data` | is |
/// |---|---|
/// | none, or `scenes` | procedural scenes |
/// | a folder with files of STL-10, of ILSVRC-2012, or with `photos.toml` | that data set |
/// | a folder with `.tar` files, `train-{000..127}.tar`, `train-*.tar`, a `.tar` | [shards](crate::shards) |
/// | a folder with `train` and `val` or `test` | pictures or shards in these |
/// | any other folder | the pictures in it, by class where there are folders of classes |
/// | a folder with parquet files | a table of pictures (feature `parquet`) |
///
/// The test split of pictures and shards is the one that `test` names, else the share `test_share` of the pictures,
/// else the folder `test` or `val` beside `train`, or the shards `test-*.tar` or `val-*.tar` beside `train-*.tar`,
/// else a tenth of the pictures. Shares are taken by a permutation that depends on the number of pictures alone, so
/// that every command holds out the same ones.
///
/// ```
/// use deepsim_data::dataset::DataOptions;
/// # use deepsim_data::picture::Picture;
/// # let root = tempfile::tempdir()?;
/// # for i in 0..20 {
/// #     Picture::new(120, 90, [9; 3]).write_png(&root.path().join(format!("{i}.png")))?;
/// # }
/// # let pictures = root.path();
/// let options = DataOptions {
///     data: Some(pictures.into()),
///     test_share: Some(0.25),
///     ..DataOptions::default()
/// };
/// let dataset = options.open(0)?;
/// assert_eq!(dataset.test.images.len(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// The data; procedural scenes if `None`.
    pub data: Option<PathBuf>,
    /// Pictures or shards to measure on.
    pub test: Option<PathBuf>,
    /// Share of the pictures that is held out to measure on, above 0 and below 1.
    pub test_share: Option<f64>,
    /// Leave out unlabeled and training images that are also test images.
    pub without_duplicates: bool,
    /// Turn pictures of folders and shards upright as their EXIF data say.
    pub upright: bool,
    /// Folder in which training pictures are kept after their first resize, so that each is decoded once.
    pub cache: Option<PathBuf>,
}

impl DataOptions {
    /// Opens the data; `seed` is that of procedural scenes and of crops of photographs with a catalogue.
    ///
    /// # Errors
    /// If the path holds no data, which names what was looked for and what is there, or no valid copy of what it
    /// seems to be; if a test split is named for data that have their own, or leaves no pictures to train on.
    pub fn open(&self, seed: u64) -> Result<Dataset, DataError> {
        let dataset = match (self.format()?, self.data.as_deref()) {
            (Format::Scenes, _) | (_, None) => Dataset::scenes(seed, SceneSizes::default()),
            (Format::Stl10, Some(folder)) => Dataset::stl10(folder)?,
            (Format::Ilsvrc, Some(folder)) => Dataset::ilsvrc(folder)?,
            (Format::Photos, Some(folder)) => Dataset::photos(folder, seed, PhotoSizes::default())?,
            (Format::Shards | Format::Parquet | Format::Pictures, Some(path)) => {
                self.pictures(path)?
            }
        };
        let dataset = match self.without_duplicates {
            true => dataset.without_duplicates()?.0,
            false => dataset,
        };
        match &self.cache {
            Some(folder) => dataset.cached(folder),
            None => Ok(dataset),
        }
    }

    /// Recognises the data by names of files alone, without reading any of them.
    ///
    /// # Errors
    /// If there is nothing at the path or nothing that is known, a test split is named for data that have their own, or
    /// a cache for data that are not picture files.
    pub fn format(&self) -> Result<Format, DataError> {
        let format = match &self.data {
            Some(path) => recognise(path)?,
            None => Format::Scenes,
        };
        let free = matches!(format, Format::Shards | Format::Parquet | Format::Pictures);
        if self.cache.is_some() && !free && format != Format::Ilsvrc {
            return Err(not_of_files(format!("{format:?}")));
        }
        let refuse = |wanted: String, got: String| {
            Err(DataError::Argument { operation: "test split", wanted, got })
        };
        match (&self.test, self.test_share) {
            (Some(_), Some(share)) => {
                refuse("a test set or a share".into(), format!("both, {share}"))
            }
            (None, None) => Ok(format),
            (Some(_), None) | (None, Some(_)) if !free => {
                refuse("none for data that have their own".into(), format!("one for {format:?}"))
            }
            (None, Some(share)) if !(share > 0.0 && share < 1.0) => {
                refuse("a share above 0 and below 1".into(), share.to_string())
            }
            _ => Ok(format),
        }
    }

    /// Opens the picture files of folders, shards, tables and ILSVRC-2012 by set: `train`, and `test` if there is one
    /// or a share is asked for.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if the data are none of picture files.
    pub fn picture_sets(&self) -> Result<Vec<PictureSet>, DataError> {
        let (format, path) = (self.format()?, self.data.as_deref().unwrap_or(Path::new(SCENES)));
        let (train, test) = match format {
            Format::Ilsvrc => {
                let ilsvrc = Ilsvrc::open(path)?;
                let (train, val): (Arc<dyn PictureFiles>, Arc<dyn PictureFiles>) =
                    (Arc::new(ilsvrc.train()?), Arc::new(ilsvrc.val()?));
                (train, Some(val))
            }
            Format::Shards | Format::Parquet | Format::Pictures => {
                let (train, test) = self.split(path, self.test_share)?;
                (train, test.map(|(test, _)| test))
            }
            Format::Scenes | Format::Stl10 | Format::Photos => {
                return Err(DataError::Content {
                    path: path.into(),
                    wanted: "pictures in files: a folder of pictures, shards or ILSVRC-2012".into(),
                    got: format!("{format:?}"),
                });
            }
        };
        Ok(std::iter::once(("train", train)).chain(test.map(|test| ("test", test))).collect())
    }

    /// Folders, shards and tables of pictures.
    fn pictures(&self, path: &Path) -> Result<Dataset, DataError> {
        let (train, test) = self.split(path, self.test_share)?;
        let (train, test) = match test {
            Some(test) => (train, Some(test)),
            None => held_out(path, train, TEST_SHARE)?,
        };
        let (test, origin) = test.unwrap_or_else(|| (train.clone(), "the same".into()));
        Ok(Dataset::pictures(&name(path), train, test, &origin))
    }

    /// Opens the training pictures, and the test pictures with their origin, if there are any or a share is set aside.
    fn split(&self, path: &Path, share: Option<f64>) -> Result<Sets, DataError> {
        let (train, found) = parts(path)?;
        let files = |split: &Split, known| -> Result<Arc<dyn PictureFiles>, DataError> {
            let files = files(split, known)?;
            Ok(match self.upright {
                true => Arc::new(UprightFiles::new(files)),
                false => files,
            })
        };
        let all = files(&train, None)?;
        let known = all.class_names().to_vec();
        if let Some(test) = &self.test {
            let files = files(&Split::At(test.clone()), Some(&known))?;
            return Ok((all, Some((files, format!("those of {}", test.display())))));
        }
        match (share, found) {
            (Some(share), _) => held_out(path, all, share),
            (None, None) => Ok((all, None)),
            (None, Some(test)) => {
                let origin = match &test {
                    Split::At(path) => {
                        let name = path.file_name().unwrap_or_default();
                        format!("those of `{}`", name.to_string_lossy())
                    }
                    Split::Shards(paths) => format!("those of {} shards beside", paths.len()),
                };
                Ok((all, Some((files(&test, Some(&known))?, origin))))
            }
        }
    }
}

/// A set of picture files and its name, `train` or `test`.
pub type PictureSet = (&'static str, Arc<dyn PictureFiles>);

/// Training pictures, and test pictures with their origin.
type Sets = (Arc<dyn PictureFiles>, Option<(Arc<dyn PictureFiles>, String)>);

/// Holds out a share of the pictures, at least two: measures compare test pictures with each other.
fn held_out(path: &Path, all: Arc<dyn PictureFiles>, share: f64) -> Result<Sets, DataError> {
    let len = all.len();
    if len < 2 {
        return Err(DataError::Content {
            path: path.into(),
            wanted: "two pictures or more, of which one is held out for tests".into(),
            got: len.to_string(),
        });
    }
    let rounded = (len as f64 * share).round() as usize;
    let taken = rounded.max(2).min(len - 1);
    let (train, test) = Subset::split(all, taken as f64 / len as f64, 0)?;
    let origin = match taken == rounded {
        true => format!("{taken} of {len} held out, a share of {share} by a fixed permutation"),
        false => format!(
            "{taken} of {len} held out by a fixed permutation; a share of {share} would be {rounded}, but measures need \
             2 test pictures and training needs 1"
        ),
    };
    Ok((Arc::new(train), Some((Arc::new(test), origin))))
}

/// Pictures of a split.
enum Split {
    /// A folder or a pattern.
    At(PathBuf),
    /// These shards.
    Shards(Vec<PathBuf>),
}

/// The error of `--cache` for data that are not picture files.
pub(super) fn not_of_files(got: String) -> DataError {
    let wanted = "data of picture files: a folder, shards or ILSVRC-2012".into();
    DataError::Argument { operation: "--cache", wanted, got }
}

/// Training pictures of a path, and the test pictures that lie beside them.
fn parts(path: &Path) -> Result<(Split, Option<Split>), DataError> {
    if !path.is_dir() {
        return Ok((Split::At(path.into()), None));
    }
    if recognise(path)? == Format::Parquet {
        let is_there = |split: &str| splits::files_of(path, split).is_ok();
        let test = TEST.into_iter().any(is_there).then(|| Split::At(path.into()));
        return Ok((Split::At(path.into()), test));
    }
    let folder = |names: &[&str]| {
        let mut folders = names.iter().map(|name| path.join(name));
        folders.find(|folder| folder.is_dir())
    };
    if let Some(train) = folder(&TRAIN) {
        return Ok((Split::At(train), folder(&TEST).map(Split::At)));
    }
    let shards = paths(&text(path)?)?;
    let of = |names: &[&str]| -> Vec<PathBuf> {
        let named = |path: &&PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            names.iter().any(|name| {
                file.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            })
        };
        shards.iter().filter(named).cloned().collect()
    };
    let train = of(&TRAIN);
    if train.is_empty() {
        return Ok((Split::At(path.into()), None));
    }
    let test = TEST.iter().map(|name| of(&[name])).find(|shards| !shards.is_empty());
    Ok((Split::Shards(train), test.map(Split::Shards)))
}

/// Opens pictures; with classes that are known, labels are positions among these.
fn files(split: &Split, known: Option<&[String]>) -> Result<Arc<dyn PictureFiles>, DataError> {
    let path = match split {
        Split::Shards(paths) => return Ok(Arc::new(Shards::open_files(paths)?)),
        Split::At(path) => path,
    };
    match recognise(path)? {
        Format::Shards => Ok(Arc::new(Shards::open(&text(path)?)?)),
        Format::Parquet => parquet(path, known.is_some()),
        Format::Pictures => Ok(match known {
            // Without classes, folders in it are no classes either.
            Some(known) if !known.is_empty() && !classes(path)?.is_empty() => {
                Arc::new(ImageFolder::open_with(path, known)?)
            }
            _ => Arc::new(ImageFolder::open(path)?),
        }),
        other => Err(DataError::Content {
            path: path.clone(),
            wanted: "pictures or shards".into(),
            got: format!("{other:?}"),
        }),
    }
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, test: bool) -> Result<Arc<dyn PictureFiles>, DataError> {
    use crate::parquet::{Parquet, TableOptions};
    let names: &[&str] = if test { &TEST } else { &TRAIN };
    let found = names.iter().find_map(|name| splits::files_of(path, name).ok());
    let files = match found {
        Some(files) => files,
        None => splits::files_of(path, names[0])?,
    };
    Ok(Arc::new(Parquet::open(&files, &TableOptions::default())?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _test: bool) -> Result<Arc<dyn PictureFiles>, DataError> {
    Err(DataError::Content {
        path: path.into(),
        wanted: "data that this program reads".into(),
        got: "parquet files; build it with the feature `parquet`".into(),
    })
}
