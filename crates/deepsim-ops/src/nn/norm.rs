//! Local response normalisation layer.

use candle_core::{Module, Result, Tensor};

use crate::LrnConfig;
use crate::sequence::Step;

/// Local response normalisation layer, computed by [`local_response_norm`](crate::local_response_norm);
/// AlexNet's by default.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::nn::LocalResponseNorm;
/// let x = Tensor::ones((1, 96, 4, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&LocalResponseNorm::default())?.dims(), [1, 96, 4, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalResponseNorm {
    config: LrnConfig,
}

impl LocalResponseNorm {
    /// Layer with any window.
    pub fn new(config: LrnConfig) -> Self {
        Self { config }
    }

    /// Configuration of the operation.
    pub fn config(&self) -> &LrnConfig {
        &self.config
    }

    pub(super) fn step(&self) -> Step {
        Step::LocalResponseNorm(self.config)
    }
}

impl Module for LocalResponseNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::local_response_norm(x, self.config)
    }
}
