//! Parquet data sets of the Hugging Face hub: downloaded, verified, read as picture files.
//!
//! The hub's image data sets hold one picture file per row (`image.bytes`) and its class
//! (`label`). [`HubDataset::open`] fetches the parquet files of one split into the cache folder
//! that all of the hub's tools share, holds every file against the hash that the hub's repository
//! states, and gives random access to the rows as [`PictureFiles`].
//!
//! ```no_run
//! use deepsim_data::hub::{HubDataset, HubOptions};
//! let unlabeled = HubDataset::open("jxie/stl10", "unlabeled", &HubOptions::default())?;
//! # Ok::<(), deepsim_data::DataError>(())
//! ```
//!
//! A row group is the smallest part of a parquet file that can be decoded on its own, so reading
//! costs one row group, not one row; some of them stay decoded, see
//! [`TableOptions::cache_bytes`]. In order, or where the split fits into that memory, each row
//! group is decoded once. For a random order over more than that, write the split as tar shards
//! first and train on those:
//!
//! ```no_run
//! use deepsim_data::hub::{HubDataset, HubOptions};
//! use deepsim_data::shards::{self, Limits, Shards};
//! let hub = HubDataset::open("ILSVRC/imagenet-1k", "train", &HubOptions::default())?;
//! shards::copy(&hub, "data/imagenet".as_ref(), "train", Limits::default(), |_| {})?;
//! let train = Shards::open("data/imagenet")?;
//! # Ok::<(), deepsim_data::DataError>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::content::Fingerprint;
use crate::{DataError, PictureFiles};

mod cache;
mod download;
mod error;
mod known;
mod pictures;
mod split;
mod table;
mod verify;

pub use error::HubError;
pub use known::{KNOWN, KnownRepository};
pub use split::split_files;

/// Where a split comes from and how it is fetched.
#[derive(Clone)]
pub struct HubOptions {
    /// Branch, tag or commit. `None`: the revision of [`KNOWN`], or the hub's own conversion to
    /// parquet. A full commit hash pins the data for ever.
    pub revision: Option<String>,
    /// Only files below this folder of the repository, for repositories with several
    /// configurations of one split.
    pub folder: Option<String>,
    /// Use what an earlier call downloaded and recorded, without any network.
    pub offline: bool,
    /// Hash files again that have not changed since they were verified. By default a file whose
    /// size and time equal the record's is taken as it is.
    pub rehash: bool,
    /// Address of the hub or a mirror. `None`: the variable `HF_ENDPOINT`, or the hub itself.
    pub endpoint: Option<String>,
    /// Access token. `None`: the variable `HF_TOKEN`, or the file that `hf auth login` wrote.
    pub token: Option<String>,
    /// The hub's cache folder. `None`: by `HF_HUB_CACHE` and `HF_HOME`, as for the hub's own tools.
    pub cache: Option<PathBuf>,
    /// How often a request or a broken transfer is tried; at least once.
    pub attempts: usize,
    /// Told about downloads as they go on, from another thread; it must not block.
    pub progress: Option<ProgressFn>,
    /// How the files are read.
    pub table: TableOptions,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            revision: None,
            folder: None,
            offline: false,
            rehash: false,
            endpoint: None,
            token: None,
            cache: None,
            attempts: 5,
            progress: None,
            table: TableOptions::default(),
        }
    }
}

/// Is told how far a download is.
pub type ProgressFn = Arc<dyn Fn(&HubProgress) + Send + Sync>;

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubProgress {
    /// The file under way, by its path in the repository.
    pub file: String,
    /// Bytes of the split that are here.
    pub done: u64,
    /// Bytes of the split.
    pub total: u64,
}

/// Which columns are read, and how much of them is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Column of the pictures: bytes, or the hub's structure of `bytes` and `path`.
    pub image_column: String,
    /// Column of the classes, 64-bit integers; `None` or a column that is not there: no labels.
    pub label_column: Option<String>,
    /// Bytes of decoded row groups that are kept for the next reads. The memory in use is at most
    /// this plus one row group for each reading thread; the row group read last is kept even if
    /// it is larger.
    pub cache_bytes: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            image_column: "image".into(),
            label_column: Some("label".into()),
            cache_bytes: 256 << 20,
        }
    }
}

/// A split of a data set in parquet files: every row a picture file, perhaps with its class.
pub struct HubDataset {
    tables: Vec<table::Table>,
    groups: Vec<Place>,
    /// Class of every row of all tables.
    labels: Vec<Option<u32>>,
    class_names: Vec<String>,
    image_column: String,
    identity: String,
    commit: Option<String>,
    cache: cache::Cache,
}

/// Where a row group is.
struct Place {
    table: usize,
    group: usize,
    /// First row among those of the whole split.
    start: usize,
    /// First row within its table.
    start_in_table: usize,
}

impl HubDataset {
    /// Fetches a split of a repository, where it is not in the cache yet, and opens it.
    ///
    /// # Errors
    /// [`DataError::Hub`] if the hub refuses, does not have it or cannot be reached, or if it is
    /// not here and `offline` is set; [`DataError::Content`] if a file is not what the hub's
    /// repository says, or is not a table of pictures.
    pub fn open(repository: &str, split: &str, options: &HubOptions) -> Result<Self, DataError> {
        let known = known::find(repository);
        let revision = options.revision.as_deref();
        let revision = revision.or(known.map(|k| k.revision)).unwrap_or(known::CONVERTED);
        let found = download::obtain(repository, split, revision, options)?;
        let mut dataset = Self::local(&found.files, &options.table)?;
        if let Some(rows) = known.and_then(|k| k.rows(split))
            && rows != dataset.len()
        {
            return Err(DataError::Content {
                path: format!("{repository}/{split}").into(),
                wanted: format!("{rows} pictures"),
                got: dataset.len().to_string(),
            });
        }
        dataset.identity = format!("{repository}@{}/{split} {}", found.commit, dataset.len());
        dataset.commit = Some(found.commit);
        Ok(dataset)
    }

    /// Opens parquet files that are already here, as one set in the given order; see
    /// [`split_files`] for those of a folder.
    ///
    /// # Errors
    /// [`DataError::Content`] if a file is not a table of pictures, or if their class names differ;
    /// [`DataError::Argument`] if there are no files.
    pub fn local(files: &[PathBuf], options: &TableOptions) -> Result<Self, DataError> {
        let mut dataset = Self {
            tables: Vec::new(),
            groups: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            image_column: options.image_column.clone(),
            identity: String::new(),
            commit: None,
            cache: cache::Cache::new(options.cache_bytes),
        };
        let mut names: Option<(PathBuf, Vec<String>)> = None;
        for path in files {
            let opened = table::open(path, options)?;
            if let Some(new) = opened.class_names {
                match &names {
                    Some((first, names)) if *names != new => {
                        return Err(DataError::Content {
                            path: path.clone(),
                            wanted: format!("the class names of {}", first.display()),
                            got: "others".into(),
                        });
                    }
                    Some(_) => {}
                    None => names = Some((path.clone(), new)),
                }
            }
            let mut start = dataset.labels.len();
            let first = start;
            for (group, rows) in opened.group_rows.into_iter().enumerate() {
                let table = dataset.tables.len();
                dataset.groups.push(Place { table, group, start, start_in_table: start - first });
                start += rows;
            }
            dataset.labels.extend(opened.labels);
            dataset.identity += &opened.identity;
            dataset.tables.push(opened.table);
        }
        if dataset.labels.is_empty() {
            return Err(DataError::Argument {
                operation: "opening parquet files",
                wanted: "files with rows".into(),
                got: format!("{} files without any", files.len()),
            });
        }
        dataset.class_names = class_names(&dataset.labels, names)?;
        Ok(dataset)
    }

    /// The commit of the repository that was read; for [`HubOptions::revision`] of the next run.
    /// `None` for files that were not fetched from the hub.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// The parquet files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.tables.iter().map(|table| table.path.as_path())
    }

    /// The row group of a row.
    fn place(&self, index: usize) -> Option<&Place> {
        (index < self.len())
            .then(|| self.groups.partition_point(|place| place.start <= index))
            .and_then(|after| self.groups.get(after.checked_sub(1)?))
    }
}

/// Names for all classes that occur; numbers where the files have no names.
fn class_names(
    labels: &[Option<u32>],
    names: Option<(PathBuf, Vec<String>)>,
) -> Result<Vec<String>, DataError> {
    let Some(largest) = labels.iter().flatten().max() else { return Ok(Vec::new()) };
    match names {
        Some((path, names)) if *largest as usize >= names.len() => Err(DataError::Content {
            path,
            wanted: format!("classes below {}, the number of their names", names.len()),
            got: largest.to_string(),
        }),
        Some((_, names)) => Ok(names),
        None => Ok((0..=*largest).map(|class| class.to_string()).collect()),
    }
}

impl PictureFiles for HubDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        match self.place(index) {
            Some(place) => self.tables[place.table]
                .path
                .join(format!("row-{}", place.start_in_table + index - place.start)),
            None => format!("row-{index}").into(),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied().flatten()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    /// The commit; of files that were not fetched, their names and sizes, and all labels.
    fn content(&self) -> String {
        if self.commit.is_some() {
            return self.identity.clone();
        }
        let mut fingerprint = Fingerprint::default();
        for table in &self.tables {
            fingerprint.add(table.path.file_name().unwrap_or_default().as_encoded_bytes());
            fingerprint.number(std::fs::metadata(&table.path).map_or(0, |file| file.len()));
        }
        for label in &self.labels {
            fingerprint.number(label.map_or(0, |label| u64::from(label) + 1));
        }
        fingerprint.text(self.len(), "rows")
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let place = self.place(index).ok_or_else(|| DataError::Argument {
            operation: "reading a row",
            wanted: format!("an index below {}", self.len()),
            got: index.to_string(),
        })?;
        let table = &self.tables[place.table];
        let pictures =
            self.cache.get((place.table, place.group), || pictures::read(table, place.group))?;
        match &pictures[index - place.start] {
            Ok(picture) => {
                bytes.clear();
                bytes.extend_from_slice(picture.data());
                Ok(())
            }
            Err(reason) => Err(DataError::Content {
                path: self.path(index),
                wanted: format!(
                    "a picture in column {} of row group {}",
                    self.image_column, place.group
                ),
                got: reason.to_string(),
            }),
        }
    }
}
