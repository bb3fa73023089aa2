//! Batches of images as ranges, numbers and pictures.

use std::ops::Range;

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_nets::{Images, PixelFormat};

use crate::EvalError;

/// Consecutive ranges of at most `batch` that cover `0..n`.
pub(crate) fn ranges(n: usize, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let batch = batch.max(1);
    (0..n).step_by(batch).map(move |start| start..(start + batch).min(n))
}

/// Images as people see them: the mean added back, rounded and clamped.
pub(crate) fn pictures(images: &Images) -> Result<Vec<Picture>, EvalError> {
    Ok(Picture::several(&images.to_u8()?, images.height(), images.width()))
}

/// Pictures of one size as images for networks.
pub(crate) fn images<'a>(
    pictures: impl Iterator<Item = &'a Picture>,
    format: PixelFormat,
    device: &Device,
) -> Result<Images, EvalError> {
    let (mut planes, mut n, mut size) = (Vec::new(), 0, (0, 0));
    for picture in pictures {
        planes.extend(picture.to_planes());
        size = (picture.height, picture.width);
        n += 1;
    }
    Ok(Images::from_u8(&planes, n, size.0, size.1, format, device)?)
}

/// Returns the numbers of a tensor, in order.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f32>, EvalError> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        let all: Vec<_> = ranges(10, 4).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);
        assert_eq!(ranges(0, 4).count(), 0);
    }
}
