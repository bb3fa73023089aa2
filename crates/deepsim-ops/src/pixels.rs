//! Bytes of pictures to the values that networks take.

use candle_core::{DType, Result, Tensor, bail};

/// What becomes of the three planes of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planes {
    /// Of each plane of the result, which one of the bytes it is.
    pub from: [usize; 3],
    /// Subtracted from each plane of the result.
    pub mean: [f32; 3],
    /// What the difference is then multiplied with.
    pub scale: [f32; 3],
}

/// `(bytes - mean) * scale` of each plane, in another order.
///
/// # Shapes
/// `u8 (N, 3, H, W)` -> `f32 (N, 3, H, W)`
///
/// # Errors
/// If the tensor has another shape or type, or a plane is not 0, 1 or 2.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::{Planes, pixels};
/// let bytes = Tensor::from_vec(vec![10u8, 20, 30], (1, 3, 1, 1), &Device::Cpu)?;
/// let bgr = Planes { from: [2, 1, 0], mean: [0.0, 20.0, 0.0], scale: [1.0, 1.0, 0.5] };
/// assert_eq!(pixels(&bytes, bgr)?.flatten_all()?.to_vec1::<f32>()?, [30.0, 0.0, 5.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn pixels(bytes: &Tensor, planes: Planes) -> Result<Tensor> {
    const OP: &str = "pixels";
    let &[n, 3, h, w] = bytes.dims() else {
        bail!("{OP}: wanted bytes (N, 3, H, W), got {:?}", bytes.dims())
    };
    if bytes.dtype() != DType::U8 || planes.from.iter().any(|&plane| plane > 2) {
        bail!("{OP}: wanted u8 and planes 0, 1 and 2, got {:?}, {planes:?}", bytes.dtype());
    }
    let bytes = bytes.contiguous()?;
    #[cfg(feature = "cuda")]
    if bytes.device().is_cuda() {
        return crate::cuda::pixels(&bytes, planes);
    }
    let values = converted(&bytes.flatten_all()?.to_vec1::<u8>()?, h * w, planes);
    Tensor::from_vec(values, (n, 3, h, w), bytes.device())
}

/// The same on the CPU, for planes of this many bytes.
fn converted(bytes: &[u8], plane: usize, planes: Planes) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact(3 * plane.max(1)) {
        for channel in 0..3 {
            let (mean, scale) = (planes.mean[channel], planes.scale[channel]);
            let from = planes.from[channel] * plane;
            let plane = image[from..from + plane].iter();
            values.extend(plane.map(|&byte| (f32::from(byte) - mean) * scale));
        }
    }
    values
}
