//! Mean images in Caffe's `.binaryproto` format.

use std::path::Path;

use prost::Message;

use crate::source::Rectangle;
use crate::{DataError, decode};

/// The mean of a training set, one number for each channel and pixel, 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanImage {
    /// Planes blue, green, red, each row-major.
    bgr: Vec<f32>,
    height: usize,
    width: usize,
}

/// The fields of Caffe's `BlobProto` that a mean image has.
#[derive(Message)]
struct Blob {
    #[prost(int32, tag = "2")]
    channels: i32,
    #[prost(int32, tag = "3")]
    height: i32,
    #[prost(int32, tag = "4")]
    width: i32,
    #[prost(float, repeated, tag = "5")]
    data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    shape: Option<Shape>,
}

#[derive(Message)]
struct Shape {
    #[prost(int64, repeated, tag = "1")]
    dim: Vec<i64>,
}

impl MeanImage {
    /// Reads e.g. `imagenet_mean.binaryproto`, whose planes are blue, green, red.
    ///
    /// # Errors
    /// If the file cannot be read or holds no three planes of finite numbers.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let io = || DataError::io("reading", path);
        let length = std::fs::metadata(path).map_err(io())?.len();
        // Four bytes for each of three channels of the largest picture.
        let limit = 12 * decode::MAX_PIXELS as u64;
        if length > limit {
            let (wanted, got) = (format!("at most {limit} bytes"), format!("{length} bytes"));
            return Err(DataError::Content { path: path.into(), wanted, got });
        }
        Self::parse(&std::fs::read(path).map_err(io())?, path)
    }

    /// Reads the content of such a file; `path` is for messages.
    ///
    /// # Errors
    /// As [`MeanImage::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let refuse = |got: String| {
            let wanted = "a Caffe blob of 3 x height x width finite numbers".into();
            Err(DataError::Content { path: path.into(), wanted, got })
        };
        let blob = match Blob::decode(bytes) {
            Ok(blob) => blob,
            Err(error) => return refuse(error.to_string()),
        };
        let old = [blob.channels, blob.height, blob.width].map(i64::from);
        let dims = match &blob.shape {
            Some(shape) => shape.dim.as_slice(),
            None => &old,
        };
        // A fourth number, in front, is the batch.
        let (&[3, height, width] | &[1, 3, height, width]) = dims else {
            return refuse(format!("a blob of {dims:?}"));
        };
        let size = |side: i64| usize::try_from(side).ok().filter(|side| *side > 0);
        let (Some(height), Some(width)) = (size(height), size(width)) else {
            return refuse(format!("a blob of {dims:?}"));
        };
        let wanted = height.checked_mul(width).and_then(|plane| plane.checked_mul(3));
        if wanted != Some(blob.data.len()) {
            return refuse(format!("{} numbers for {dims:?}", blob.data.len()));
        }
        if let Some(at) = blob.data.iter().position(|value| !value.is_finite()) {
            return refuse(format!("{} at place {at}", blob.data[at]));
        }
        Ok(Self { bgr: blob.data, height, width })
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Means of the channels blue, green, red.
    pub fn channels(&self) -> [f32; 3] {
        let plane = self.height * self.width;
        let mean = |plane: &[f32]| plane.iter().map(|v| f64::from(*v)).sum::<f64>();
        let mut planes = self.bgr.chunks_exact(plane).map(mean);
        std::array::from_fn(|_| (planes.next().unwrap_or_default() / plane as f64) as f32)
    }

    /// Rows of a part of the plane that is `rgb`-th in red, green, blue.
    pub(crate) fn rows(
        &self,
        rgb: usize,
        part: Rectangle,
    ) -> Result<impl Iterator<Item = &[f32]>, DataError> {
        if part.top + part.height > self.height || part.left + part.width > self.width {
            return Err(DataError::Argument {
                operation: "subtracting a mean image",
                wanted: format!("parts of images of {}x{}", self.height, self.width),
                got: format!("{part:?}"),
            });
        }
        let plane = &self.bgr[(2 - rgb) * self.height * self.width..];
        let rows = plane.chunks_exact(self.width).skip(part.top).take(part.height);
        Ok(rows.map(move |row| &row[part.left..part.left + part.width]))
    }
}
