//! Random access to images of one size.

use crate::DataError;

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

    /// Writes image `index` as three row-major planes, red, green, blue.
    ///
    /// # Shapes
    /// `pixels` holds `3 * height * width` bytes
    ///
    /// # Errors
    /// If there is no such image or it cannot be read.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError>;
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
    /// Height and width of the crop of an image.
    ///
    /// # Errors
    /// If the image is smaller than the crop, or the crop is empty.
    pub fn size(self, height: usize, width: usize) -> Result<(usize, usize), DataError> {
        match self {
            Crop::Full => Ok((height, width)),
            Crop::Random(side) | Crop::Center(side) => {
                if side == 0 || side > height || side > width {
                    return Err(DataError::Argument {
                        operation: "crop",
                        wanted: format!("a side of 1 to {} pixels", height.min(width)),
                        got: side.to_string(),
                    });
                }
                Ok((side, side))
            }
        }
    }
}

/// Copies the rectangle at `(top, left)` out of three planes.
pub(crate) fn copy_crop(
    image: &[u8],
    (height, width): (usize, usize),
    (top, left): (usize, usize),
    (crop_height, crop_width): (usize, usize),
    out: &mut [u8],
) {
    let planes =
        image.chunks_exact(height * width).zip(out.chunks_exact_mut(crop_height * crop_width));
    for (plane, out) in planes {
        for (row, out) in out.chunks_exact_mut(crop_width).enumerate() {
            let start = (top + row) * width + left;
            out.copy_from_slice(&plane[start..start + crop_width]);
        }
    }
}
