//! Pooling layers.

use candle_core::{Module, Result, Tensor};

use crate::sequence::Step;
use crate::{AvgPool2dConfig, Pool2dConfig};

/// Max-pooling layer, computed by [`max_pool2d`](crate::max_pool2d).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    config: Pool2dConfig,
}

impl MaxPool2d {
    /// Layer with any windows.
    pub fn new(config: Pool2dConfig) -> Self {
        Self { config }
    }

    /// Configuration of the operation.
    pub fn config(&self) -> &Pool2dConfig {
        &self.config
    }

    pub(super) fn step(&self) -> Step {
        Step::MaxPool2d(self.config)
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::max_pool2d(x, self.config)
    }
}

/// Creates a layer with square windows side by side, which `Tensor::max_pool2d` computes in candle.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::nn::max_pool2d;
/// let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&max_pool2d(2))?.dims(), [1, 3, 4, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn max_pool2d(kernel_size: usize) -> MaxPool2d {
    MaxPool2d::new(Pool2dConfig::new(kernel_size, kernel_size))
}

/// Average-pooling layer, computed by [`avg_pool2d`](crate::avg_pool2d()).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d {
    config: AvgPool2dConfig,
}

impl AvgPool2d {
    /// Layer with any windows.
    pub fn new(config: impl Into<AvgPool2dConfig>) -> Self {
        Self { config: config.into() }
    }

    /// Configuration of the operation.
    pub fn config(&self) -> &AvgPool2dConfig {
        &self.config
    }
}

impl Module for AvgPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::avg_pool2d(x, self.config)
    }
}

/// Creates a layer with square windows side by side, which `Tensor::avg_pool2d` computes in candle.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::nn::avg_pool2d;
/// let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&avg_pool2d(2))?.dims(), [1, 3, 4, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn avg_pool2d(kernel_size: usize) -> AvgPool2d {
    AvgPool2d::new(Pool2dConfig::new(kernel_size, kernel_size))
}
