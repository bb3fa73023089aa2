//! Picture files in parquet files, as the Hugging Face hub keeps image data sets.
//!
//! They hold one picture file per row (`image.bytes`) and its class (`label`). [`Parquet::open`] takes the
//! files of one split ([`files_of`](crate::splits::files_of) finds them in a folder; `deepsim-fetch` gets them
//! from the hub) and gives random access to the rows as [`PictureFiles`].
//!
//! ```no_run
//! use deepsim_data::parquet::{Parquet, TableOptions};
//! use deepsim_data::splits;
//! let files = splits::files_of("data/stl10".as_ref(), "unlabeled")?;
//! let unlabeled = Parquet::open(&files, &TableOptions::default())?;
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
//! # use deepsim_data::{parquet::{Parquet, TableOptions}, splits};
//! use deepsim_data::shards::{self, Limits, Shards};
//! let files = splits::files_of("imagenet-1k".as_ref(), "train")?;
//! let rows = Parquet::open(&files, &TableOptions::default())?;
//! shards::copy(&rows, "data/imagenet".as_ref(), "train", Limits::default())?;
//! let train = Shards::open("data/imagenet")?;
//! # Ok::<(), deepsim_data::DataError>(())
//! ```

use std::path::PathBuf;

use crate::content::Fingerprint;
use crate::{DataError, PictureFiles};

mod cache;
mod pictures;
mod table;

/// Columns to read, and memory for decoded row groups.
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
pub struct Parquet {
    tables: Vec<table::Table>,
    groups: Vec<Place>,
    /// Class of every row of all tables.
    labels: Vec<Option<u32>>,
    class_names: Vec<String>,
    image_column: String,
    identity: String,
    cache: cache::Cache,
}

/// Position of a row group.
struct Place {
    table: usize,
    group: usize,
    /// First row among those of the whole split.
    start: usize,
    /// First row within its table.
    start_in_table: usize,
}

impl Parquet {
    /// Opens parquet files as one set in the given order.
    ///
    /// # Errors
    /// [`DataError::Content`] if a file is not a table of pictures, or if their class names differ;
    /// [`DataError::Argument`] if there are no files.
    pub fn open(files: &[PathBuf], options: &TableOptions) -> Result<Self, DataError> {
        let mut dataset = Self {
            tables: Vec::new(),
            groups: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            image_column: options.image_column.clone(),
            identity: String::new(),
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

impl PictureFiles for Parquet {
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

    /// Names and sizes of the files, and all labels.
    fn content(&self) -> String {
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
