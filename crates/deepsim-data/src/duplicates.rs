//! Images that are in two sets, byte for byte.
//!
//! STL-10 has test images that are also in its training or unlabeled split; every result on it
//! includes them unless it says otherwise. [`Subset::without`](crate::Subset::without) leaves them out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;

use crate::memory::rgb_zeros;
use crate::panics::guarded;
use crate::{DataError, Source};

/// An image that is also in another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Index of the image.
    pub index: usize,
    /// The first image of the other set that equals it.
    pub of: usize,
}

/// Returns the images of `source` that are also in `other`, in order.
///
/// Hashes find candidates; a comparison of all bytes confirms them.
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
