//! Local response normalisation.

use candle_core::{Result, Tensor, bail};

use crate::glue::OpName;
use crate::sequence::{Step, run};

/// Hyper-parameters of a local response normalisation; the defaults are AlexNet's.
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

/// Computes `x / (k + alpha/size Σ x²)^beta`, with the sum over neighbouring channels.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, H, W)`
///
/// # Errors
/// If the tensor has another rank or is not `f32` on the CPU (with `cuda`: or a GPU), or the window is not an odd number
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
    run("local_response_norm", x, &[Step::LocalResponseNorm(config)])
}

/// Refuses an input or a window that does not fit.
///
/// # Errors
/// As for [`local_response_norm`].
pub(crate) fn check(op: OpName, x: [usize; 4], config: LrnConfig) -> Result<()> {
    if x[1..].contains(&0) || config.size.is_multiple_of(2) {
        bail!(
            "{op}: expected a non-empty input and an odd window, found {x:?} and {}",
            config.size
        );
    }
    Ok(())
}
