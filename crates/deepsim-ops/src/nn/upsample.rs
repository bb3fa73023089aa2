//! Up-sampling layer.

use candle_core::{Module, Result, Tensor, bail};

use crate::Upsampling;

/// Up-sampling layer, computed by [`upsample`](crate::upsample()).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::Upsampling;
/// use deepsim_ops::nn::Upsample;
/// let x = Tensor::ones((1, 3, 4, 5), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&Upsample::by(2, Upsampling::Nearest))?.dims(), [1, 3, 8, 10]);
/// assert_eq!(x.apply(&Upsample::to((7, 7), Upsampling::Bilinear))?.dims(), [1, 3, 7, 7]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    target: Target,
    how: Upsampling,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Size(usize, usize),
    Factor(usize),
}

impl Upsample {
    /// Layer whose results have this height and width.
    pub fn to(size: (usize, usize), how: Upsampling) -> Self {
        Self { target: Target::Size(size.0, size.1), how }
    }

    /// Layer whose results are this many times as high and as wide.
    pub fn by(factor: usize, how: Upsampling) -> Self {
        Self { target: Target::Factor(factor), how }
    }
}

impl Module for Upsample {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let size = match (self.target, x.dims()) {
            (Target::Size(height, width), _) => (height, width),
            (Target::Factor(factor), [_, _, h, w]) => {
                (h.saturating_mul(factor), w.saturating_mul(factor))
            }
            _ => bail!("upsample: expected an input (N, C, H, W), found {:?}", x.dims()),
        };
        crate::upsample(x, size, self.how)
    }
}
