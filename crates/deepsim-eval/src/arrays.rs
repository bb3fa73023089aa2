//! Batches of images as ranges, numbers and pictures.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_data::picture::Picture;
use deepsim_nets::Images;

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
