//! Local response normalisation.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::cpu::lrn;
use crate::glue::{input, like, slice, with};

/// Numbers of a local response normalisation; the defaults are AlexNet's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrnConfig {
    /// Channels in the window.
    pub size: usize,
    /// Weight of the mean square in the window (Caffe and PyTorch divide it by `size`).
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Constant.
    pub k: f32,
}

impl Default for LrnConfig {
    fn default() -> Self {
        Self { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}

/// `x / (k + alpha/size Σ x²)^beta`, the sum over neighbouring channels.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, H, W)`
///
/// # Errors
/// If the tensor has another rank or is not `f32` on the CPU, or the window is not an odd number
/// of channels.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::{LrnConfig, local_response_norm};
/// let x = Tensor::full(2f32, (1, 1, 1, 1), &Device::Cpu)?;
/// let config = LrnConfig { size: 1, alpha: 2.0, beta: 0.5, k: 1.0 };
/// let y = local_response_norm(&x, config)?.flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(y, [2.0 / 3.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn local_response_norm(x: &Tensor, config: LrnConfig) -> Result<Tensor> {
    let &[_, channels, h, w] = x.dims() else {
        bail!("local_response_norm: wanted (N, C, H, W), got {:?}", x.dims());
    };
    if x.elem_count() == 0 || config.size.is_multiple_of(2) {
        bail!(
            "local_response_norm: wanted a non-empty input and an odd window, got {:?} and {}",
            x.dims(),
            config.size
        );
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::lrn(x, config);
    }
    let op = Lrn { config, channels, plane: h * w, scale: OnceLock::new() };
    input(OP, x)?.apply_op1(op)
}

const OP: &str = "local_response_norm";

struct Lrn {
    config: LrnConfig,
    channels: usize,
    plane: usize,
    scale: OnceLock<Vec<f32>>,
}

impl CustomOp1 for Lrn {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(OP, x, layout)?;
        let (y, scale) = lrn::forward(self.config, x, self.channels, self.plane);
        // The op belongs to one application, so nothing can have been kept before.
        self.scale.get_or_init(|| scale);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(scale) = self.scale.get() else { bail!("{OP}: backward before forward") };
        let dx = with(OP, x, |x| {
            with(OP, &dy.contiguous()?, |dy| {
                Ok(lrn::backward(self.config, x, scale, dy, self.channels, self.plane))
            })
        })?;
        Ok(Some(like(dx, x)?))
    }
}
