//! Random access to images of one size.

use serde::{Deserialize, Serialize};

use crate::memory::rgb_bytes;
use crate::random::SampleStream;
use crate::{DataError, Unread};

/// A set of RGB images of equal size.
pub trait Source: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height in pixels.
    fn height(&self) -> usize;

    /// Width in pixels.
    fn width(&self) -> usize;

    /// Class index of image `index`, from 0; `None` if the set has no labels.
    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    /// A text that changes when the images do; caches on this machine are kept by it.
    fn identity(&self) -> String;

    /// A text that changes when the images or their order do, and not when they are moved, copied or
    /// touched: saved states of a loader are kept by it. By default the [identity](Self::identity).
    fn content(&self) -> String {
        self.identity()
    }

    /// The picture that image `index` is made from, where several are made from one: what is broken
    /// is counted by it. By default `index`.
    fn origin(&self, index: usize) -> usize {
        index
    }

    /// Picture files that lie among those of the source and are not read.
    fn unread(&self) -> Unread {
        Unread::default()
    }

    /// Writes a part of image `index` as three row-major planes, red, green, blue.
    ///
    /// # Shapes
    /// `pixels` holds `3 * part.height * part.width` bytes
    ///
    /// # Errors
    /// If there is no such image, it cannot be read, or the part is not in it.
    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError>;

    /// Writes a part of image `index` for training, with what is random about it drawn from `random`;
    /// a [`Loader`](crate::Loader) reads by it. By default as [`read_part`](Self::read_part), which
    /// draws nothing.
    ///
    /// All randomness has to come from `random`: then order, workers and resuming stay exact.
    ///
    /// ```
    /// use deepsim_data::{DataError, Rectangle, Source, random::SampleStream};
    /// /// One image, whose brightness is drawn.
    /// struct Grey;
    ///
    /// impl Source for Grey {
    /// #   fn len(&self) -> usize { 1 }
    /// #   fn height(&self) -> usize { 8 }
    /// #   fn width(&self) -> usize { 8 }
    /// #   fn identity(&self) -> String { "grey".into() }
    ///     // ... and len, height, width and identity.
    ///     fn is_drawn(&self) -> bool {
    ///         true
    ///     }
    ///     fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
    ///         part.check(self, index, pixels.len())?;
    ///         pixels.fill(128);
    ///         Ok(())
    ///     }
    ///     fn read_drawn(
    ///         &self,
    ///         index: usize,
    ///         part: Rectangle,
    ///         random: &mut SampleStream,
    ///         pixels: &mut [u8],
    ///     ) -> Result<(), DataError> {
    ///         self.read_part(index, part, pixels)?;
    ///         pixels.fill(random.below(256) as u8);
    ///         Ok(())
    ///     }
    /// }
    /// # let mut pixels = [0; 3 * 64];
    /// # let part = Rectangle { top: 0, left: 0, height: 8, width: 8 };
    /// # Grey.read_drawn(0, part, &mut SampleStream::new(0, 0, 0), &mut pixels)?;
    /// # Ok::<(), DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`read_part`](Self::read_part).
    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        _random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        self.read_part(index, part, pixels)
    }

    /// True if [`read_drawn`](Self::read_drawn) draws something, so that no image can be kept for later
    /// epochs.
    fn is_drawn(&self) -> bool {
        false
    }

    /// Writes image `index` as three row-major planes, red, green, blue.
    ///
    /// # Shapes
    /// `pixels` holds `3 * height * width` bytes
    ///
    /// # Errors
    /// If there is no such image or it cannot be read.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let (height, width) = (self.height(), self.width());
        self.read_part(index, Rectangle { top: 0, left: 0, height, width }, pixels)
    }
}

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rectangle {
    /// Rows above it.
    pub top: usize,
    /// Columns left of it.
    pub left: usize,
    /// Rows in it.
    pub height: usize,
    /// Columns in it.
    pub width: usize,
}

impl Rectangle {
    /// Refuses an image that `source` does not have, a part that is not in it, or pixels that do
    /// not hold the part.
    ///
    /// # Errors
    /// With what there is and what was asked for.
    pub fn check<S: Source + ?Sized>(
        &self,
        source: &S,
        index: usize,
        pixels: usize,
    ) -> Result<(), DataError> {
        let inside = |start: usize, length: usize, whole: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        let (height, width) = (source.height(), source.width());
        if index >= source.len()
            || !inside(self.top, self.height, height)
            || !inside(self.left, self.width, width)
            || rgb_bytes(1, self.height, self.width) != Some(pixels)
        {
            return Err(DataError::Argument {
                operation: "reading an image",
                wanted: format!(
                    "one of {} images, a part of {height}x{width} pixels, three bytes for each",
                    source.len()
                ),
                got: format!("image {index}, {self:?} into {pixels} bytes"),
            });
        }
        Ok(())
    }

    /// Copies this part of three planes of `width` columns.
    pub(crate) fn copy(&self, image: &[u8], width: usize, out: &mut [u8]) {
        let planes = image.chunks_exact(image.len() / 3);
        for (plane, out) in planes.zip(out.chunks_exact_mut(self.height * self.width)) {
            for (row, out) in out.chunks_exact_mut(self.width).enumerate() {
                let start = (self.top + row) * width + self.left;
                out.copy_from_slice(&plane[start..start + self.width]);
            }
        }
    }
}

/// The part of an image that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// A square of this side at a random place, for training.
    Random(usize),
    /// The square of this side in the middle, for evaluation.
    Center(usize),
    /// The whole image.
    Full,
}

impl Crop {
    /// The crop in the middle of an image of `height x width`.
    ///
    /// # Errors
    /// If the image is smaller than the crop, or the crop is empty.
    pub fn rectangle(self, height: usize, width: usize) -> Result<Rectangle, DataError> {
        match self {
            Crop::Full if height == 0 || width == 0 => Err(DataError::Argument {
                operation: "crop",
                wanted: "an image with pixels".into(),
                got: format!("{height}x{width}"),
            }),
            Crop::Full => Ok(Rectangle { top: 0, left: 0, height, width }),
            Crop::Random(side) | Crop::Center(side) => {
                if side == 0 || side > height || side > width {
                    return Err(DataError::Argument {
                        operation: "crop",
                        wanted: format!("a side of 1 to {} pixels", height.min(width)),
                        got: side.to_string(),
                    });
                }
                let (top, left) = ((height - side) / 2, (width - side) / 2);
                Ok(Rectangle { top, left, height: side, width: side })
            }
        }
    }
}
