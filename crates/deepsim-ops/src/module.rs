//! Operations as modules of candle-core.

use candle_core::{Module, Result, Tensor};

use crate::sequence::{Step, run};

/// Runs the operation alone; several in a row are faster as one [`sequence`](crate::sequence).
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use deepsim_ops::{Pool2dConfig, Step};
/// let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let pool = Step::MaxPool2d(Pool2dConfig::new(2, 2));
/// assert_eq!(x.apply(&pool)?.dims(), [1, 3, 4, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
impl Module for Step {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        run(self.name(), x, std::slice::from_ref(self))
    }
}
