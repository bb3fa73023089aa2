//! Interpolation of images to another size.

use candle_core::{Result, Tensor, bail};

use crate::cpu::bands::Bands;
use crate::resample;

/// Interpolation to another size, as PyTorch's `interpolate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upsampling {
    /// Takes the pixel that covers the position. PyTorch computes positions in single precision, which for some sizes,
    /// such as 2 to 82, takes the pixel before the right one.
    Nearest,
    /// Linear between the centres of pixels along both axes, constant beyond the outermost: PyTorch's
    /// `align_corners=False`.
    #[default]
    Bilinear,
    /// Linear, with the corner pixels' centres at the corners of the result: PyTorch's `align_corners=True`.
    BilinearAligned,
}

/// Resizes images. Reductions sample the pixels without smoothing.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, height, width)`
///
/// # Errors
/// If the tensor has another rank, a side is 0, or the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::{Upsampling, upsample};
/// let x = Tensor::new(&[[[[0f32, 4.0]]]], &Device::Cpu)?;
/// let wide = |how| upsample(&x, (1, 4), how)?.flatten_all()?.to_vec1::<f32>();
/// assert_eq!(wide(Upsampling::Nearest)?, [0.0, 0.0, 4.0, 4.0]);
/// assert_eq!(wide(Upsampling::Bilinear)?, [0.0, 1.0, 3.0, 4.0]);
/// assert_eq!(wide(Upsampling::BilinearAligned)?, [0.0, 4.0 / 3.0, 8.0 / 3.0, 4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn upsample(x: &Tensor, size: (usize, usize), how: Upsampling) -> Result<Tensor> {
    let &[_, c, h, w] = x.dims() else {
        bail!("{OP}: expected an input (N, C, H, W), found {:?}", x.dims());
    };
    if [c, h, w, size.0, size.1].contains(&0) {
        bail!("{OP}: expected sides that are not 0, found {:?} to {size:?}", x.dims());
    }
    let values = size.0.checked_mul(size.1).and_then(|plane| plane.checked_mul(c));
    if values.is_none_or(|values| values > i32::MAX as usize) {
        bail!("{OP}: expected a result of at most {} values an image, found {size:?}", i32::MAX);
    }
    resample::apply(OP, x, bands(h, size.0, how), bands(w, size.1, how))
}

const OP: &str = "upsample";

/// Returns the weights of the old positions in each new one.
fn bands(from: usize, to: usize, how: Upsampling) -> Bands {
    let nearest = |i: usize| (i * from / to, vec![1.0]);
    // Two pixels for every output if there are two, so that all outputs have the same number of weights.
    let linear = |at: f64| {
        let start = (at as usize).min(from.saturating_sub(2));
        let part = (at - start as f64).min(1.0);
        let weights = if from == 1 { vec![1.0] } else { vec![(1.0 - part) as f32, part as f32] };
        (start, weights)
    };
    let centres = from as f64 / to as f64;
    let corners = (from - 1) as f64 / (to - 1).max(1) as f64;
    let outputs = 0..to;
    match how {
        Upsampling::Nearest => Bands::new(from, outputs.map(nearest)),
        Upsampling::Bilinear => {
            let at = |i| ((i as f64 + 0.5) * centres - 0.5).max(0.0);
            Bands::new(from, outputs.map(|i| linear(at(i))))
        }
        Upsampling::BilinearAligned => {
            Bands::new(from, outputs.map(|i| linear(i as f64 * corners)))
        }
    }
}
