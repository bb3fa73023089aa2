//! Pairs of pictures that show the same thing, to train a VideoNet (Wang & Gupta 2015): an anchor
//! and a positive from the same track of a video.
//!
//! A source of pairs is a [`Source`] of images twice as high as wide, the anchor above the positive,
//! so that loader, order and resume are those of every other source. Two ways to one:
//!
//! * [`Tracks`]: files of tracked patches, from a folder with one folder for each track, from shards
//!   whose labels are tracks, or from a list as the authors' code reads it ([`PairList`]);
//! * [`Moving`]: a camera that moves over still pictures, for when there is no set of videos.
//!
//! ```
//! use deepsim_data::{Source, folder::ImageFolder, pairs::Tracks, picture::Picture};
//! use std::sync::Arc;
//! let root = tempfile::tempdir()?;
//! for (track, frames) in [("dog", 3), ("tree", 2)] {
//!     std::fs::create_dir(root.path().join(track))?;
//!     for frame in 0..frames {
//!         let file = root.path().join(track).join(format!("{frame}.png"));
//!         Picture::new(40, 60, [9; 3]).write_png(&file)?;
//!     }
//! }
//! let pairs = Tracks::new(Arc::new(ImageFolder::open(root.path())?), 227)?;
//! assert_eq!((pairs.len(), pairs.height(), pairs.width()), (2, 454, 227));
//! assert_eq!((pairs.label(0), pairs.label(1)), (Some(0), Some(1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod list;
mod moving;

use std::sync::Arc;

pub use list::PairList;
pub use moving::{Motion, Moving, MovingConfig};

use crate::source::Rectangle;
use crate::{DataError, PictureFiles, Prepared, Source, Transform, Unread};

/// Pairs of files with the same label that follow each other: the first and the second of a track,
/// the third and the fourth, and so on. A last file without a partner is left out.
pub struct Tracks {
    pictures: Prepared,
    /// The anchor of each pair; its positive is the next file.
    anchors: Vec<usize>,
}

impl Tracks {
    /// Pairs the files, each brought to `side x side` pixels.
    ///
    /// # Errors
    /// If no two files that follow each other have the same label, or the side is too large.
    pub fn new(files: Arc<dyn PictureFiles>, side: usize) -> Result<Self, DataError> {
        let (mut anchors, mut index) = (Vec::new(), 0);
        while index + 1 < files.len() {
            let paired =
                files.label(index).is_some() && files.label(index) == files.label(index + 1);
            if paired {
                anchors.push(index);
            }
            index += if paired { 2 } else { 1 };
        }
        if side.checked_mul(2).is_none() {
            return Err(DataError::Argument {
                operation: "pairing files",
                wanted: "two pictures of this side above each other".into(),
                got: format!("a side of {side} pixels"),
            });
        }
        if anchors.is_empty() {
            return Err(DataError::Argument {
                operation: "pairing files",
                wanted: "two files of one track after each other".into(),
                got: format!("none among {} files", files.len()),
            });
        }
        Ok(Self { pictures: Prepared::new(files, Transform::stretch(side, side)), anchors })
    }
}

impl Source for Tracks {
    fn len(&self) -> usize {
        self.anchors.len()
    }

    fn height(&self) -> usize {
        2 * self.pictures.height()
    }

    fn width(&self) -> usize {
        self.pictures.width()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.pictures.label(*self.anchors.get(index)?)
    }

    fn identity(&self) -> String {
        format!("pairs of {}", self.pictures.identity())
    }

    fn content(&self) -> String {
        format!("pairs of {}", self.pictures.content())
    }

    fn unread(&self) -> Unread {
        self.pictures.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let anchor = self.anchors[index];
        stacked(self.width(), part, pixels, |second, picture| {
            self.pictures.read(anchor + usize::from(second), picture)
        })
    }
}

/// Copies a part of a pair, given a way to read either picture of `side x side`.
fn stacked(
    side: usize,
    part: Rectangle,
    pixels: &mut [u8],
    read: impl Fn(bool, &mut [u8]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let plane = side * side;
    let (mut picture, mut pair) = (vec![0; 3 * plane], vec![0; 6 * plane]);
    for second in [false, true] {
        read(second, &mut picture)?;
        for (channel, values) in picture.chunks_exact(plane).enumerate() {
            let start = (2 * channel + usize::from(second)) * plane;
            pair[start..start + plane].copy_from_slice(values);
        }
    }
    part.copy(&pair, side, pixels);
    Ok(())
}
