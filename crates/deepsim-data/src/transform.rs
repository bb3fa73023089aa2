//! Resizing of pictures of any size to images of one size.
//!
//! Every transform has a name, and tests pin it against Pillow, torchvision and OpenCV, because the
//! resize defines the data.

use std::fmt;
use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::memory::{resize, rgb_bytes};
use crate::picture::Picture;
use crate::source::Rectangle;
use crate::{Crop, DataError};

/// Interpolation between the pixels of the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Bilinear over the whole area that falls onto a pixel: Pillow's `BILINEAR`, torchvision's
    /// `Resize` on PIL images (and with `antialias=True`).
    #[default]
    Antialiased,
    /// Bilinear between the four nearest pixels, also when the picture shrinks: OpenCV's
    /// `INTER_LINEAR`, and so Caffe's `convert_imageset`.
    FourNearest,
}

/// Rule by which a picture is brought to one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Both sides are stretched to the size; nothing is cut off.
    Stretch,
    /// The short side becomes this long, the long side keeps the proportion (rounded down), and the
    /// middle is cut out.
    ShortSide(usize),
}

/// Resize of a picture of any size to an image of `height x width`.
///
/// ```
/// use deepsim_data::transform::Transform;
/// use deepsim_data::picture::Picture;
/// let photo = Picture::new(300, 400, [10, 20, 30]);
/// let image = Transform::CAFFE.apply(&photo)?;
/// assert_eq!((image.height, image.width), (256, 256));
/// let image = Transform::TORCHVISION.apply(&photo)?;
/// assert_eq!((image.height, image.width), (224, 224));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Rule by which the picture is stretched or cut.
    pub fit: Fit,
    /// Interpolation.
    pub filter: Filter,
    /// Height of the result in pixels.
    pub height: usize,
    /// Width of the result in pixels.
    pub width: usize,
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width, .. } = self;
        match self.fit {
            Fit::Stretch => write!(f, "stretched to {height}x{width}")?,
            Fit::ShortSide(side) => write!(f, "short side {side}, middle {height}x{width}")?,
        }
        write!(f, ", {}", self.filter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Antialiased => "antialiased",
            Self::FourNearest => "four nearest pixels",
        })
    }
}

impl Transform {
    /// Caffe's ILSVRC databases, which the paper's networks were trained on: 256x256, stretched,
    /// four nearest pixels. Training takes random crops of 227 ([`Crop::Random`]), testing the
    /// middle ([`Crop::Center`]); then `PixelFormat::CAFFE_BGR` of deepsim-nets.
    pub const CAFFE: Self =
        Self { fit: Fit::Stretch, filter: Filter::FourNearest, height: 256, width: 256 };

    /// torchvision's transform for evaluation: short side 256, middle 224, antialiased; then
    /// `PixelFormat::TORCHVISION` of deepsim-nets.
    pub const TORCHVISION: Self = Self::short_side(256, 224);

    /// Short side `side`, then the middle square of `crop`, antialiased.
    pub const fn short_side(side: usize, crop: usize) -> Self {
        Self { fit: Fit::ShortSide(side), filter: Filter::Antialiased, height: crop, width: crop }
    }

    /// Both sides stretched, antialiased.
    pub const fn stretch(height: usize, width: usize) -> Self {
        Self { fit: Fit::Stretch, filter: Filter::Antialiased, height, width }
    }

    /// The whole result.
    ///
    /// # Errors
    /// If the picture is empty or the result does not fit into what it is cut out of.
    pub fn apply(&self, picture: &Picture) -> Result<Picture, DataError> {
        let part = Crop::Full.rectangle(self.height, self.width)?;
        let mut result = Picture { width: 0, height: 0, rgb: Vec::new() };
        self.apply_part(picture, part, &mut Resizer::new(), &mut result, Path::new("picture"))?;
        Ok(result)
    }

    /// Height and width of the picture after resizing, and the corner of the result in it; `None` if
    /// they cannot be counted.
    fn resized(&self, picture: (usize, usize)) -> Option<((usize, usize), (usize, usize))> {
        Some(match self.fit {
            Fit::Stretch => ((self.height, self.width), (0, 0)),
            Fit::ShortSide(side) => {
                let size = with_short_side(side, picture)?;
                let corner = |size: usize, crop: usize| half_to_even(size.saturating_sub(crop));
                (size, (corner(size.0, self.height), corner(size.1, self.width)))
            }
        })
    }

    /// Only `part` of the result: what lies outside is not computed.
    pub(crate) fn apply_part(
        &self,
        picture: &Picture,
        part: Rectangle,
        resizer: &mut Resizer,
        result: &mut Picture,
        path: &Path,
    ) -> Result<(), DataError> {
        let failed = |e: &dyn std::fmt::Display| DataError::Decode {
            path: path.into(),
            reason: format!("resizing {}x{} pixels: {e}", picture.width, picture.height),
        };
        if picture.rgb.is_empty() {
            return Err(failed(&"there are none"));
        }
        let resized = self.resized((picture.height, picture.width));
        let (size, corner) =
            resized.ok_or_else(|| failed(&format!("{self}: the whole is too large")))?;
        if self.height > size.0 || self.width > size.1 || size.0 == 0 || size.1 == 0 {
            return Err(failed(&format!(
                "{self}: {}x{} has no {}x{} in it",
                size.0, size.1, self.height, self.width
            )));
        }
        let part = Rectangle { top: corner.0 + part.top, left: corner.1 + part.left, ..part };
        resize_part(picture, size, part, self.filter, resizer, result, path)
    }
}

/// Height and width of a picture whose short side becomes `side`, with torchvision's rounding of the
/// long one: `int(side * long / short)`. `None` if they cannot be counted.
pub(crate) fn with_short_side(
    side: usize,
    (height, width): (usize, usize),
) -> Option<(usize, usize)> {
    let long = |long: usize, short: usize| Some(side.checked_mul(long)? / short.max(1));
    Some(match height <= width {
        true => (side, long(width, height)?),
        false => (long(height, width)?, side),
    })
}

/// Resizes `picture` to `size`, height and width, and keeps `part` of it; what lies outside is not
/// computed.
pub(crate) fn resize_part(
    picture: &Picture,
    size: (usize, usize),
    part: Rectangle,
    filter: Filter,
    resizer: &mut Resizer,
    result: &mut Picture,
    path: &Path,
) -> Result<(), DataError> {
    let failed = |e: &dyn std::fmt::Display| DataError::Decode {
        path: path.into(),
        reason: format!("resizing {}x{} pixels: {e}", picture.width, picture.height),
    };
    let scale_y = picture.height as f64 / size.0 as f64;
    let scale_x = picture.width as f64 / size.1 as f64;
    // The end of the last part must not lie beyond the picture by a rounding error.
    let span = |start: usize, length: usize, scale: f64, whole: usize| {
        let start = start as f64 * scale;
        (start, (length as f64 * scale).min(whole as f64 - start))
    };
    let (y, height) = span(part.top, part.height, scale_y, picture.height);
    let (x, width) = span(part.left, part.width, scale_x, picture.width);
    let bilinear = FilterType::Bilinear;
    let options =
        ResizeOptions::new().crop(x, y, width, height).use_alpha(false).resize_alg(match filter {
            Filter::Antialiased => ResizeAlg::Convolution(bilinear),
            Filter::FourNearest => ResizeAlg::Interpolation(bilinear),
        });
    let side = |side: usize| u32::try_from(side).map_err(|_| failed(&"a side is too long"));
    let from = (side(picture.width)?, side(picture.height)?);
    // Typed: the other way has code for each type of pixel, which takes minutes to compile.
    let from =
        TypedImageRef::<U8x3>::from_buffer(from.0, from.1, &picture.rgb).map_err(|e| failed(&e))?;
    resize(&mut result.rgb, rgb_bytes(1, part.height, part.width))?;
    (result.height, result.width) = (part.height, part.width);
    let to = (side(part.width)?, side(part.height)?);
    let mut to =
        TypedImage::<U8x3>::from_buffer(to.0, to.1, &mut result.rgb).map_err(|e| failed(&e))?;
    resizer.resize_typed(&from, &mut to, &options).map_err(|e| failed(&e))
}

/// Half of a number, rounded to even as Python does in torchvision's centre crop.
pub(crate) fn half_to_even(number: usize) -> usize {
    let half = number / 2;
    half + usize::from(number % 2 == 1 && half % 2 == 1)
}
