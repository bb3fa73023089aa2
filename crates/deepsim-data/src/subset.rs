//! Subsets and splits of sources and of picture files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use crate::content::Fingerprint;
use crate::duplicates::Duplicate;
use crate::order::Permutation;
use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::{DataError, PictureFiles, Source, Unread};

/// Some of the images of a [`Source`], or with `Subset<dyn PictureFiles>` some of a set of picture files.
///
/// ```
/// use std::sync::Arc;
/// use deepsim_data::{Scenes, Source, Subset, scenes};
/// let all: Arc<dyn Source> = Arc::new(Scenes::new(0, scenes::TRAIN, 100));
/// let (train, validation) = Subset::split(all.clone(), 0.1, 7)?;
/// assert_eq!((train.len(), validation.len()), (90, 10));
/// let first_ten = Subset::new(all, (0..10).collect())?;
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
pub struct Subset<T: ?Sized = dyn Source> {
    of: Arc<T>,
    indices: Arc<[usize]>,
}

impl<T: ?Sized> Clone for Subset<T> {
    fn clone(&self) -> Self {
        Self { of: self.of.clone(), indices: self.indices.clone() }
    }
}

/// A set with a number of things in it.
pub trait Countable {
    /// Number of images or files.
    fn count(&self) -> usize;
}

impl Countable for dyn Source {
    fn count(&self) -> usize {
        self.len()
    }
}

impl Countable for dyn PictureFiles {
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T: Countable + ?Sized> Subset<T> {
    /// Creates the subset at `indices`, in that order.
    ///
    /// # Errors
    /// If an index is not below the number of images.
    pub fn new(of: Arc<T>, indices: Vec<usize>) -> Result<Self, DataError> {
        match indices.iter().find(|index| **index >= of.count()) {
            None => Ok(Self { of, indices: indices.into() }),
            Some(index) => Err(DataError::Argument {
                operation: "choosing a subset",
                wanted: format!("indices below {}", of.count()),
                got: index.to_string(),
            }),
        }
    }

    /// Splits a set in two by a permutation keyed by `seed`: all but the share `second` of it, 0 to 1, and
    /// that share, rounded, both in the order of the set. The same number of images and seed give the same split.
    ///
    /// # Errors
    /// If one of both would be empty.
    pub fn split(of: Arc<T>, second: f64, seed: u64) -> Result<(Self, Self), DataError> {
        let len = of.count();
        let taken = (len as f64 * second).round() as usize;
        if !(0.0..=1.0).contains(&second) || taken == 0 || taken >= len {
            return Err(DataError::Argument {
                operation: "splitting a set",
                wanted: format!("a share that leaves some of {len} images on both sides"),
                got: second.to_string(),
            });
        }
        let order = Permutation::of_split(len, seed);
        let mut in_second = vec![false; len];
        (0..taken).for_each(|position| in_second[order.get(position)] = true);
        let side = |second: bool| Self {
            of: of.clone(),
            indices: (0..len).filter(|index| in_second[*index] == second).collect(),
        };
        Ok((side(false), side(true)))
    }

    /// Creates the subset of those that are not in a list of duplicates.
    pub fn without(of: Arc<T>, duplicates: &[Duplicate]) -> Self {
        let mut keep = vec![true; of.count()];
        for duplicate in duplicates {
            if let Some(keep) = keep.get_mut(duplicate.index) {
                *keep = false;
            }
        }
        let indices = (0..keep.len()).filter(|index| keep[*index]).collect();
        Self { of, indices }
    }
}

impl<T: ?Sized> Subset<T> {
    /// Returns which images of the whole set these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    fn described(&self, identity: String) -> String {
        let mut hasher = DefaultHasher::new();
        self.indices.hash(&mut hasher);
        format!("{:016x} of {identity}", hasher.finish())
    }

    fn fingerprint(&self, things: &str) -> String {
        let mut fingerprint = Fingerprint::default();
        self.indices.iter().for_each(|index| fingerprint.number(*index as u64));
        fingerprint.text(self.indices.len(), things)
    }

    /// Index in the whole set; for one that is not there, an index that is not there either.
    fn place(&self, index: usize) -> usize {
        self.indices.get(index).copied().unwrap_or(usize::MAX)
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn height(&self) -> usize {
        self.of.height()
    }

    fn width(&self) -> usize {
        self.of.width()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.of.label(*self.indices.get(index)?)
    }

    fn identity(&self) -> String {
        self.described(self.of.identity())
    }

    fn content(&self) -> String {
        format!("{}, of {}", self.fingerprint("images"), self.of.content())
    }

    fn origin(&self, index: usize) -> usize {
        self.indices.get(index).map_or(index, |index| self.of.origin(*index))
    }

    fn unread(&self) -> Unread {
        self.of.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        self.of.read_part(self.place(index), part, pixels)
    }

    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        self.of.read_drawn(self.place(index), part, random, pixels)
    }

    fn is_drawn(&self) -> bool {
        self.of.is_drawn()
    }
}

impl PictureFiles for Subset<dyn PictureFiles> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        self.of.path(self.place(index))
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.of.label(*self.indices.get(index)?)
    }

    fn class_names(&self) -> &[String] {
        self.of.class_names()
    }

    fn identity(&self) -> String {
        self.described(self.of.identity())
    }

    fn content(&self) -> String {
        format!("{}, of {}", self.fingerprint("pictures"), self.of.content())
    }

    fn unread(&self) -> Unread {
        self.of.unread()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.of.read(self.place(index), bytes)
    }
}
