//! Distances, summed over all elements in double precision.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::cpu::elementwise;
use crate::cpu::simd::Isa;
use crate::glue::{first_order, input, like, slice, with};

/// Computes `Σ (a - b)²`, the sum over all elements. [`mean_squared_error`] is the mean.
///
/// # Shapes
/// two of equal shape -> scalar
///
/// # Errors
/// If the shapes differ or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::squared_error;
/// let (a, b) = (Tensor::new(&[1f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 5.0], &Device::Cpu)?);
/// assert_eq!(squared_error(&a, &b)?.to_scalar::<f32>()?, 10.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn squared_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() {
        return crate::cuda::squared_error(a, b);
    }
    apply(a, b, Distance { op: "squared_error", squared: true, mean: false })
}

/// Computes `Σ |a - b|`; the gradient is 0 at elements where `a` equals `b`.
///
/// # Shapes
/// two of equal shape -> scalar
///
/// # Errors
/// If the shapes differ or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::absolute_error;
/// let (a, b) = (Tensor::new(&[1f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 5.0], &Device::Cpu)?);
/// assert_eq!(absolute_error(&a, &b)?.to_scalar::<f32>()?, 4.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn absolute_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() {
        return crate::cuda::absolute_error(a, b);
    }
    apply(a, b, Distance { op: "absolute_error", squared: false, mean: false })
}

/// Computes the mean of `(a - b)²` over all elements.
///
/// # Shapes
/// two of equal shape -> scalar
///
/// # Errors
/// If the shapes differ or hold no values, or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::mean_squared_error;
/// let (a, b) = (Tensor::new(&[1f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 5.0], &Device::Cpu)?);
/// assert_eq!(mean_squared_error(&a, &b)?.to_scalar::<f32>()?, 5.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn mean_squared_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let distance = Distance { op: "mean_squared_error", squared: true, mean: true };
    some_values(distance.op, a)?;
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() {
        return crate::cuda::squared_error(a, b)? / a.elem_count() as f64;
    }
    apply(a, b, distance)
}

/// Computes the mean of `|a - b|` over all elements; the gradient is 0 at elements where `a` equals `b`.
///
/// # Shapes
/// two of equal shape -> scalar
///
/// # Errors
/// If the shapes differ or hold no values, or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::mean_absolute_error;
/// let (a, b) = (Tensor::new(&[1f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 5.0], &Device::Cpu)?);
/// assert_eq!(mean_absolute_error(&a, &b)?.to_scalar::<f32>()?, 2.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn mean_absolute_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let distance = Distance { op: "mean_absolute_error", squared: false, mean: true };
    some_values(distance.op, a)?;
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() {
        return crate::cuda::absolute_error(a, b)? / a.elem_count() as f64;
    }
    apply(a, b, distance)
}

/// Refuses a mean of no values.
fn some_values(op: &'static str, a: &Tensor) -> Result<()> {
    if a.elem_count() == 0 {
        bail!("{op}: expected values, found {:?}", a.dims());
    }
    Ok(())
}

fn apply(a: &Tensor, b: &Tensor, distance: Distance) -> Result<Tensor> {
    let op = distance.op;
    if a.dims() != b.dims() {
        bail!("{op}: expected equal shapes, found {:?} and {:?}", a.dims(), b.dims());
    }
    input(op, "a", a)?.apply_op2(&input(op, "b", b)?, distance)
}

#[derive(Clone, Copy)]
struct Distance {
    op: &'static str,
    squared: bool,
    mean: bool,
}

impl Distance {
    /// Returns the divisor of the sum.
    fn count(&self, values: usize) -> f64 {
        if self.mean { values as f64 } else { 1.0 }
    }
}

impl CustomOp2 for Distance {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice(self.op, a, a_layout)?, slice(self.op, b, b_layout)?);
        let sum = elementwise::distance(Isa::best(), a, b, self.squared);
        let result = (sum / self.count(a.len())) as f32;
        Ok((CpuStorage::F32(vec![result]), ().into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        first_order(self.op)?;
        let gradient = with(self.op, &gradient.contiguous()?, |g| Ok(f64::from(g[0])))?;
        let gradient = (gradient / self.count(a.elem_count())) as f32;
        let toward = |factor: f32| {
            with(self.op, a, |a| {
                with(self.op, b, |b| {
                    let sign = |d: f32| if d == 0.0 { 0.0 } else { d.signum() };
                    Ok(match self.squared {
                        true => elementwise::zip(a, b, |a, b| factor * (2.0 * (a - b))),
                        false => elementwise::zip(a, b, |a, b| factor * sign(a - b)),
                    })
                })
            })
        };
        let da = if a.track_op() { Some(like(toward(gradient)?, a)?) } else { None };
        let db = if b.track_op() { Some(like(toward(-gradient)?, b)?) } else { None };
        Ok((da, db))
    }
}
