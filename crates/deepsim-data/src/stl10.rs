//! STL-10 in the binary format of its authors.
//!
//! Images are 96x96, three planes (red, green, blue), each **column-major**, one byte per value;
//! labels are bytes 1 to 10; `fold_indices.txt` holds ten lines of 0-based indices into the
//! training split, which are integers and do not fit a byte.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::content::{Fingerprint, sampled};
use crate::source::Rectangle;
use crate::{DataError, Source};

/// Height and width of an image.
pub const SIDE: usize = 96;
/// Bytes of an image.
pub const IMAGE_BYTES: usize = 3 * SIDE * SIDE;
/// Files of the whole set.
pub const FILES: [&str; 7] = [
    "unlabeled_X.bin",
    "train_X.bin",
    "train_y.bin",
    "test_X.bin",
    "test_y.bin",
    "class_names.txt",
    "fold_indices.txt",
];
/// Number of classes.
pub const CLASSES: usize = 10;

/// One of the three splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 100,000 images without labels.
    Unlabeled,
    /// 5,000 labelled images, in ten overlapping folds of 1,000.
    Train,
    /// 8,000 labelled images.
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Unlabeled => "unlabeled",
            Split::Train => "train",
            Split::Test => "test",
        }
    }
}

/// The images of one split, memory-mapped, with their labels.
#[derive(Debug)]
pub struct Stl10 {
    bytes: Mmap,
    path: PathBuf,
    labels: Vec<u8>,
}

impl Stl10 {
    /// Opens `<split>_X.bin` and, of a labelled split, `<split>_y.bin` in a folder, or in its
    /// subfolder `stl10_binary`.
    ///
    /// # Errors
    /// If a file is missing, its size is not a positive multiple of 27,648 bytes, or the labels are
    /// wrong ([`read_labels`]).
    pub fn open(folder: &Path, split: Split) -> Result<Self, DataError> {
        let path = root(folder).join(format!("{}_X.bin", split.name()));
        let file = File::open(&path).map_err(DataError::io("opening", &path))?;
        let len = file.metadata().map_err(DataError::io("reading the size of", &path))?.len();
        if len == 0 || len % IMAGE_BYTES as u64 != 0 {
            return Err(DataError::Content {
                path,
                wanted: format!("a positive multiple of {IMAGE_BYTES} bytes (96x96x3 each)"),
                got: format!(
                    "{len} bytes, {} images and {} bytes",
                    len / IMAGE_BYTES as u64,
                    len % IMAGE_BYTES as u64
                ),
            });
        }
        // SAFETY: the map is only read; a file that another program shrinks meanwhile would raise a
        // signal, which is documented: data files must not change while they are used.
        let bytes = unsafe { Mmap::map(&file) }.map_err(DataError::io("memory-mapping", &path))?;
        let labels = match split {
            Split::Unlabeled => Vec::new(),
            Split::Train | Split::Test => read_labels(folder, split, bytes.len() / IMAGE_BYTES)?,
        };
        Ok(Self { bytes, path, labels })
    }

    /// Class indices 0 to 9, one for each image; empty for the unlabeled split.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

impl Source for Stl10 {
    fn len(&self) -> usize {
        self.bytes.len() / IMAGE_BYTES
    }

    fn height(&self) -> usize {
        SIDE
    }

    fn width(&self) -> usize {
        SIDE
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).map(|label| u32::from(*label))
    }

    fn identity(&self) -> String {
        format!("{}: {} images", self.path.display(), self.len())
    }

    /// The labels, and some of the images.
    fn content(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(&self.labels);
        for index in sampled(self.len()) {
            fingerprint.add(&self.bytes[index * IMAGE_BYTES..][..IMAGE_BYTES]);
        }
        fingerprint.text(self.len(), "images in STL-10's format")
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let image = &self.bytes[index * IMAGE_BYTES..][..IMAGE_BYTES];
        let planes = image.chunks_exact(SIDE * SIDE);
        for (columns, rows) in planes.zip(pixels.chunks_exact_mut(part.height * part.width)) {
            transpose(&columns[part.left * SIDE + part.top..], part.height, part.width, rows);
        }
        Ok(())
    }
}

/// Columns, each beginning [`SIDE`] bytes after the last, to rows.
fn transpose(columns: &[u8], height: usize, width: usize, rows: &mut [u8]) {
    const BLOCK: usize = 8;
    for x in (0..width).step_by(BLOCK) {
        for y in (0..height).step_by(BLOCK) {
            if x + BLOCK <= width && y + BLOCK <= height {
                let mut block = [0; BLOCK];
                for (i, column) in block.iter_mut().enumerate() {
                    let bytes = &columns[(x + i) * SIDE + y..][..BLOCK];
                    *column = bytes.try_into().map_or(0, u64::from_le_bytes);
                }
                for (i, row) in transpose_block(block).into_iter().enumerate() {
                    rows[(y + i) * width + x..][..BLOCK].copy_from_slice(&row.to_le_bytes());
                }
            } else {
                for x in x..width.min(x + BLOCK) {
                    for y in y..height.min(y + BLOCK) {
                        rows[y * width + x] = columns[x * SIDE + y];
                    }
                }
            }
        }
    }
}

/// Transposes 8x8 bytes: swaps ever larger squares across the diagonal.
fn transpose_block(mut block: [u64; 8]) -> [u64; 8] {
    let steps = [(1, 0x00ff_00ff_00ff_00ff), (2, 0x0000_ffff_0000_ffff), (4, 0xffff_ffff)];
    for (distance, mask) in steps {
        for i in (0..8).filter(|i| i & distance == 0) {
            let shift = 8 * distance;
            let swap = ((block[i] >> shift) ^ block[i + distance]) & mask;
            block[i + distance] ^= swap;
            block[i] ^= swap << shift;
        }
    }
    block
}

/// Class indices 0 to 9 of a labelled split; the file holds 1 to 10.
///
/// # Errors
/// If the file is missing, holds another number of labels than `images`, or a label outside 1..=10.
pub fn read_labels(folder: &Path, split: Split, images: usize) -> Result<Vec<u8>, DataError> {
    let path = root(folder).join(format!("{}_y.bin", split.name()));
    parse_labels(&std::fs::read(&path).map_err(DataError::io("reading", &path))?, images, &path)
}

/// The content of a file of labels; `path` is for messages.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(labels: &[u8], images: usize, path: &Path) -> Result<Vec<u8>, DataError> {
    let refuse = |wanted, got| Err(DataError::Content { path: path.into(), wanted, got });
    if labels.len() != images {
        let wanted = format!("{images} labels, one for each image");
        return refuse(wanted, format!("{} labels", labels.len()));
    }
    match labels.iter().position(|label| !(1..=CLASSES as u8).contains(label)) {
        Some(at) => {
            let wanted = format!("labels 1 to {CLASSES}");
            refuse(wanted, format!("label {} at image {at}", labels[at]))
        }
        None => Ok(labels.iter().map(|label| label - 1).collect()),
    }
}

/// The folds: lists of indices into the training split of `images` images.
///
/// # Errors
/// If the file is missing, or a number is not an index of a training image.
pub fn read_folds(folder: &Path, images: usize) -> Result<Vec<Vec<usize>>, DataError> {
    let path = root(folder).join("fold_indices.txt");
    let text = std::fs::read_to_string(&path).map_err(DataError::io("reading", &path))?;
    parse_folds(&text, images, &path)
}

/// The content of a file of folds; `path` is for messages.
///
/// # Errors
/// As [`read_folds`].
pub fn parse_folds(text: &str, images: usize, path: &Path) -> Result<Vec<Vec<usize>>, DataError> {
    let mut folds = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let index = |word: &str| {
            word.parse::<usize>().ok().filter(|i| *i < images).ok_or_else(|| DataError::Content {
                path: path.into(),
                wanted: format!("indices of training images, 0 to {}", images.saturating_sub(1)),
                got: format!("`{word}` in line {}", number + 1),
            })
        };
        folds.push(line.split_whitespace().map(index).collect::<Result<Vec<_>, _>>()?);
    }
    if folds.is_empty() {
        return Err(DataError::Content {
            path: path.into(),
            wanted: "a line of indices for each fold".into(),
            got: "no line".into(),
        });
    }
    Ok(folds)
}

/// The names of the ten classes.
///
/// # Errors
/// If the file is missing or does not hold ten names.
pub fn read_class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let path = root(folder).join("class_names.txt");
    let text = std::fs::read_to_string(&path).map_err(DataError::io("reading", &path))?;
    let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if names.len() != CLASSES {
        return Err(DataError::Content {
            path,
            wanted: format!("{CLASSES} class names"),
            got: names.len().to_string(),
        });
    }
    Ok(names)
}

/// The folder that the files are in: this one, or the one in it that the archive unpacks to.
pub fn root(folder: &Path) -> PathBuf {
    let inner = folder.join("stl10_binary");
    if inner.is_dir() { inner } else { folder.to_path_buf() }
}
