//! A picture under transformation.

use std::path::{Path, PathBuf};

use fast_image_resize::Resizer;

use crate::DataError;
use crate::memory::{resize, rgb_bytes};
use crate::picture::Picture;
use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::transform::{Filter, half_to_even, resize_part, with_short_side};

/// A picture, and a crop that is still to be applied to it. Its memory is used again for the next picture.
///
/// A resize is applied to the whole picture before any crop of the result, so that a resized picture that was
/// kept gives the same bytes.
#[derive(Default)]
pub(crate) struct Canvas {
    picture: Picture,
    spare: Picture,
    resizer: Resizer,
    /// Part of the picture that is kept.
    part: Rectangle,
    path: PathBuf,
}

impl Canvas {
    /// Returns the picture, to put another one in its place.
    pub(crate) fn picture_mut(&mut self) -> &mut Picture {
        &mut self.picture
    }

    /// Returns the bytes of memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.picture.rgb.capacity() + self.spare.rgb.capacity()
    }

    /// Begins with the picture that is there; `path` is for errors.
    pub(crate) fn begin(&mut self, path: &Path) -> Result<(), DataError> {
        self.path = path.into();
        self.all();
        match self.picture.rgb.is_empty() {
            true => Err(self.failed("expected pixels, found none")),
            false => Ok(()),
        }
    }

    /// Keeps all of the picture.
    fn all(&mut self) {
        let Picture { height, width, .. } = self.picture;
        self.part = Rectangle { top: 0, left: 0, height, width };
    }

    fn failed(&self, reason: impl ToString) -> DataError {
        DataError::Decode { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Applies the crop, and returns the picture.
    pub(crate) fn settled(&mut self) -> Result<&mut Picture, DataError> {
        let Rectangle { top, left, height, width } = self.part;
        if (height, width) != (self.picture.height, self.picture.width) {
            resize(&mut self.spare.rgb, rgb_bytes(1, height, width))?;
            (self.spare.height, self.spare.width) = (height, width);
            let rows = self.picture.rgb.chunks_exact(3 * self.picture.width).skip(top);
            for (row, out) in rows.zip(self.spare.rgb.chunks_exact_mut(3 * width)) {
                out.copy_from_slice(&row[3 * left..3 * (left + width)]);
            }
            std::mem::swap(&mut self.picture, &mut self.spare);
            self.all();
        }
        Ok(&mut self.picture)
    }

    /// Resizes to `size`, height and width.
    pub(crate) fn resize(&mut self, size: (usize, usize), filter: Filter) -> Result<(), DataError> {
        let (height, width) = size;
        if (self.part.height, self.part.width) == size {
            return Ok(());
        }
        self.settled()?;
        if rgb_bytes(1, height, width).is_none() || height == 0 || width == 0 {
            let Picture { height: h, width: w, .. } = self.picture;
            return Err(self.failed(format!("resizing {h}x{w} pixels to {height}x{width}")));
        }
        let part = Rectangle { top: 0, left: 0, height, width };
        let Self { picture, spare, resizer, path, .. } = self;
        resize_part(picture, size, part, filter, resizer, spare, path)?;
        std::mem::swap(&mut self.picture, &mut self.spare);
        self.all();
        Ok(())
    }

    /// Resizes so that the short side has this length.
    pub(crate) fn resize_short_side(
        &mut self,
        side: usize,
        filter: Filter,
    ) -> Result<(), DataError> {
        let size = with_short_side(side, (self.part.height, self.part.width));
        self.resize(size.unwrap_or_default(), filter)
    }

    /// Cuts out a square: at a place that is drawn, or in the middle.
    pub(crate) fn crop(
        &mut self,
        side: usize,
        random: Option<&mut SampleStream>,
    ) -> Result<(), DataError> {
        let Rectangle { top, left, height, width } = self.part;
        if side > height || side > width {
            return Err(self.failed(format!(
                "crop: expected at least {side} pixels along both sides, found {height}x{width}"
            )));
        }
        let (down, right) = match random {
            Some(random) => (random.below(height - side + 1), random.below(width - side + 1)),
            // Rounds to even, as torchvision's centre crop does.
            None => (half_to_even(height - side), half_to_even(width - side)),
        };
        self.part = Rectangle { top: top + down, left: left + right, height: side, width: side };
        Ok(())
    }

    /// Cuts out a rectangle that `place` chooses in a picture of some height and width, and stretches it
    /// to `side x side`; no pixel beyond the rectangle is looked at.
    pub(crate) fn resized_crop(
        &mut self,
        side: usize,
        place: impl FnOnce((usize, usize)) -> Rectangle,
        filter: Filter,
    ) -> Result<(), DataError> {
        let place = place((self.part.height, self.part.width));
        let (top, left) = (self.part.top + place.top, self.part.left + place.left);
        self.part = Rectangle { top, left, ..place };
        self.resize((side, side), filter)
    }

    /// Mirrors left to right.
    pub(crate) fn mirror(&mut self) -> Result<(), DataError> {
        let picture = self.settled()?;
        for row in picture.rgb.chunks_exact_mut(3 * picture.width) {
            row.as_chunks_mut::<3>().0.reverse();
        }
        Ok(())
    }
}
