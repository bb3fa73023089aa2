//! Maps brought to the size of the images.

use candle_core::{Device, Tensor};

use crate::LossError;

/// Interpolation to a larger size. Both as PyTorch's `interpolate` with
/// `align_corners=False`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upsampling {
    /// The position that covers the pixel.
    Nearest,
    /// Linear between the centres of positions along both axes, constant beyond the outermost.
    #[default]
    Bilinear,
}

/// Brings maps to another size. Differentiable.
///
/// # Shapes
/// `(N, 1, h, w) -> (N, 1, height, width)`
///
/// # Errors
/// If the tensor has another shape, or a size is 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::resample::{Upsampling, upsample};
/// let map = Tensor::new(&[[[[0f32, 4.0]]]], &Device::Cpu)?;
/// let nearest = upsample(&map, 1, 4, Upsampling::Nearest)?.flatten_all()?;
/// assert_eq!(nearest.to_vec1::<f32>()?, [0.0, 0.0, 4.0, 4.0]);
/// let bilinear = upsample(&map, 1, 4, Upsampling::Bilinear)?.flatten_all()?;
/// assert_eq!(bilinear.to_vec1::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn upsample(
    maps: &Tensor,
    height: usize,
    width: usize,
    how: Upsampling,
) -> Result<Tensor, LossError> {
    let &[n, 1, h, w] = maps.dims() else { return Err(wrong(maps, height, width)) };
    if [n, h, w, height, width].contains(&0) {
        return Err(wrong(maps, height, width));
    }
    // A product with a matrix along either axis: it has a gradient and runs on every device.
    let device = maps.device();
    let across = weights(w, width, how, device)?.t()?.contiguous()?;
    let down = weights(h, height, how, device)?;
    let wide = maps.reshape((n * h, w))?.matmul(&across)?.reshape((n, h, width))?;
    Ok(down.broadcast_matmul(&wide)?.reshape((n, 1, height, width))?)
}

fn wrong(maps: &Tensor, height: usize, width: usize) -> LossError {
    LossError::Mismatch {
        operation: "upsample",
        wanted: "maps (N, 1, h, w) and a size, none of them 0".into(),
        got: format!("{:?} to {height}x{width}", maps.dims()),
    }
}

/// `(to, from)`: how much of every old position is in a new one.
fn weights(from: usize, to: usize, how: Upsampling, device: &Device) -> Result<Tensor, LossError> {
    let mut weights = vec![0f32; to * from];
    for (i, row) in weights.chunks_exact_mut(from).enumerate() {
        match how {
            Upsampling::Nearest => row[i * from / to] = 1.0,
            Upsampling::Bilinear => {
                let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
                let first = (at as usize).min(from - 1);
                let part = at - first as f64;
                row[first] += (1.0 - part) as f32;
                row[(first + 1).min(from - 1)] += part as f32;
            }
        }
    }
    Ok(Tensor::from_vec(weights, (to, from), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_without_positions_are_refused() -> Result<(), LossError> {
        let maps = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        for (maps, height) in
            [(maps(&[1, 2, 3, 3])?, 3), (maps(&[1, 1, 0, 3])?, 3), (maps(&[1, 1, 3, 3])?, 0)]
        {
            let error = upsample(&maps, height, 3, Upsampling::Bilinear).expect_err("no size");
            assert!(error.to_string().contains("none of them 0"), "{error}");
        }
        Ok(())
    }
}
