//! Images that are in two sets, byte for byte.
//!
//! STL-10 has test images that are also in its training or unlabeled split; every result on it
//! includes them unless it says otherwise.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rayon::prelude::*;

use crate::content::Fingerprint;
use crate::memory::rgb_zeros;
use crate::panics::guarded;
use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::{DataError, Source, Unread};

/// An image that is also in another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Its index.
    pub index: usize,
    /// The first image of the other set that equals it.
    pub of: usize,
}

/// The images of `source` that are also in `other`, in order.
///
/// Hashes find them, all bytes decide.
///
/// ```
/// use deepsim_data::{Scenes, duplicates, scenes};
/// let (train, test) = (Scenes::new(0, scenes::TRAIN, 20), Scenes::new(0, scenes::TEST, 20));
/// assert!(duplicates::find(&train, &test)?.is_empty());
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
///
/// # Errors
/// If the images have different sizes, or one cannot be read.
pub fn find(source: &dyn Source, other: &dyn Source) -> Result<Vec<Duplicate>, DataError> {
    let size = (source.height(), source.width());
    if size != (other.height(), other.width()) {
        return Err(DataError::Argument {
            operation: "looking for duplicates",
            wanted: format!("two sets of images of {}x{}", size.0, size.1),
            got: format!("{}x{}", other.height(), other.width()),
        });
    }
    let mut first: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, hash) in hashes(other)?.into_iter().enumerate() {
        first.entry(hash).or_default().push(index);
    }
    let found: Result<Vec<_>, DataError> = hashes(source)?
        .into_par_iter()
        .enumerate()
        .filter_map(|(index, hash)| Some((index, first.get(&hash)?)))
        .map(|(index, candidates)| {
            let image = read(source, index)?;
            for &of in candidates {
                if read(other, of)? == image {
                    return Ok(Some(Duplicate { index, of }));
                }
            }
            Ok(None)
        })
        .collect();
    Ok(found?.into_iter().flatten().collect())
}

fn read(source: &dyn Source, index: usize) -> Result<Vec<u8>, DataError> {
    let mut pixels = rgb_zeros(1, source.height(), source.width())?;
    guarded(index, || None, || source.read(index, &mut pixels))?;
    Ok(pixels)
}

fn hashes(source: &dyn Source) -> Result<Vec<u64>, DataError> {
    let hash = |index| {
        let mut hasher = DefaultHasher::new();
        read(source, index)?.hash(&mut hasher);
        Ok(hasher.finish())
    };
    (0..source.len()).into_par_iter().map(hash).collect()
}

/// Some of the images of a set.
#[derive(Clone)]
pub struct Subset {
    source: Arc<dyn Source>,
    indices: Vec<usize>,
}

impl Subset {
    /// The images of `source` at `indices`, in that order.
    ///
    /// # Errors
    /// If an index is not below the number of images.
    pub fn new(source: Arc<dyn Source>, indices: Vec<usize>) -> Result<Self, DataError> {
        match indices.iter().find(|index| **index >= source.len()) {
            None => Ok(Self { source, indices }),
            Some(index) => Err(DataError::Argument {
                operation: "choosing a subset",
                wanted: format!("indices below {}", source.len()),
                got: index.to_string(),
            }),
        }
    }

    /// The images of `source` that are not in a list of duplicates.
    pub fn without(source: Arc<dyn Source>, duplicates: &[Duplicate]) -> Self {
        let mut keep = vec![true; source.len()];
        for duplicate in duplicates {
            if let Some(keep) = keep.get_mut(duplicate.index) {
                *keep = false;
            }
        }
        let indices = (0..source.len()).filter(|index| keep[*index]).collect();
        Self { source, indices }
    }

    /// Which images of the whole set these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn height(&self) -> usize {
        self.source.height()
    }

    fn width(&self) -> usize {
        self.source.width()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(*self.indices.get(index)?)
    }

    fn identity(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.indices.hash(&mut hasher);
        format!("{:016x} of {}", hasher.finish(), self.source.identity())
    }

    fn content(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        self.indices.iter().for_each(|index| fingerprint.number(*index as u64));
        let these = fingerprint.text(self.indices.len(), "images");
        format!("{these}, of {}", self.source.content())
    }

    fn origin(&self, index: usize) -> usize {
        self.indices.get(index).map_or(index, |index| self.source.origin(*index))
    }

    fn unread(&self) -> Unread {
        self.source.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        self.source.read_part(self.indices[index], part, pixels)
    }

    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        self.source.read_drawn(self.indices[index], part, random, pixels)
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }
}
