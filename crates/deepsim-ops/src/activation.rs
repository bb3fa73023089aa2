//! Rectifiers.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cpu::elementwise;
use crate::glue::{first_order, input, like, slice, with};

/// Computes `max(x, 0)`; the gradient at 0 is 0.
///
/// # Shapes
/// any -> the same
///
/// # Errors
/// If the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::relu;
/// let x = Tensor::new(&[-2f32, 3.0], &Device::Cpu)?;
/// assert_eq!(relu(&x)?.to_vec1::<f32>()?, [0.0, 3.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn relu(x: &Tensor) -> Result<Tensor> {
    apply("relu", x, 0.0)
}

/// Computes `max(x, 0) + slope * min(x, 0)`; the gradient at 0 is `slope`.
///
/// # Shapes
/// any -> the same
///
/// # Errors
/// If the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::leaky_relu;
/// let x = Tensor::new(&[-2f32, 0.0, 3.0], &Device::Cpu)?;
/// assert_eq!(leaky_relu(&x, 0.5)?.to_vec1::<f32>()?, [-1.0, 0.0, 3.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    apply("leaky_relu", x, slope as f32)
}

/// Computes `min(max(x, 0), 6)`; the gradient at 0 and at 6 is 0, as PyTorch's.
///
/// # Shapes
/// any -> the same
///
/// # Errors
/// If the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::relu6;
/// let x = Tensor::new(&[-2f32, 3.0, 8.0], &Device::Cpu)?;
/// assert_eq!(relu6(&x)?.to_vec1::<f32>()?, [0.0, 3.0, 6.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn relu6(x: &Tensor) -> Result<Tensor> {
    let x = input(RELU6, "x", x)?;
    if x.device().is_cpu() {
        return x.apply_op1(Relu6);
    }
    let inside = (x.gt(0f32)? * x.lt(6f32)?)?;
    inside.where_cond(&x, &x.detach().clamp(0f32, 6f32)?)
}

const RELU6: &str = "relu6";

fn apply(op: &'static str, x: &Tensor, slope: f32) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::leaky_relu(op, x, slope);
    }
    input(op, "x", x)?.apply_op1(LeakyRelu { op, slope })
}

struct LeakyRelu {
    op: &'static str,
    slope: f32,
}

impl CustomOp1 for LeakyRelu {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (op, slope) = (self.op, self.slope);
        // This form keeps a NaN.
        let leak = |x: f32| if x > 0.0 { x } else { x * slope };
        let y = elementwise::map(slice(op, x, layout)?, leak);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(self.op)?;
        let (op, slope) = (self.op, self.slope);
        let dx = with(op, x, |x| {
            with(op, &dy.contiguous()?, |dy| {
                Ok(elementwise::zip(x, dy, |x, dy| if x > 0.0 { dy } else { dy * slope }))
            })
        })?;
        Ok(Some(like(dx, x)?))
    }
}

struct Relu6;

impl CustomOp1 for Relu6 {
    fn name(&self) -> &'static str {
        RELU6
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        // Keeps a NaN.
        let y = elementwise::map(slice(RELU6, x, layout)?, |x| x.clamp(0.0, 6.0));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(RELU6)?;
        let gradient = |x: f32, dy: f32| if x > 0.0 && x < 6.0 { dy } else { 0.0 };
        let dx = with(RELU6, x, |x| {
            with(RELU6, &dy.contiguous()?, |dy| Ok(elementwise::zip(x, dy, gradient)))
        })?;
        Ok(Some(like(dx, x)?))
    }
}
