//! Distances summed over all elements, in double precision.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, PushKernelArg};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail,
};

use super::glue::{alloc, count, done, input, storage, tensor, view, with};
use super::kernels::{Kernel, blocks, summing_blocks, threads};
use crate::glue::first_order;

/// `Σ (a - b)²`.
pub(crate) fn squared_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(a, b, Distance { op: "squared_error", slope: "squared_error_gradient" })
}

/// `Σ |a - b|`; the gradient where `a` equals `b` is 0.
pub(crate) fn absolute_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(a, b, Distance { op: "absolute_error", slope: "absolute_error_gradient" })
}

fn apply(a: &Tensor, b: &Tensor, distance: Distance) -> Result<Tensor> {
    let op = distance.op;
    if a.dims() != b.dims() {
        bail!("{op}: expected equal shapes, found {:?} and {:?}", a.dims(), b.dims());
    }
    input(op, "a", a)?.apply_op2(&input(op, "b", b)?, distance)
}

/// Name of the operation and of its kernel, and the name of the gradient's kernel.
struct Distance {
    op: &'static str,
    slope: &'static str,
}

impl Distance {
    /// Returns the gradient to `a`, or with a sign of -1 to `b`.
    fn toward(&self, a: &Tensor, b: &Tensor, gradient: &Tensor, sign: f32) -> Result<Tensor> {
        let (op, shape) = (self.op, a.shape());
        with(op, gradient, |device, gradient| {
            with(op, a, |_, a| {
                with(op, b, |_, b| {
                    let n = count(op, a.len())?;
                    let mut out = alloc(op, device, a.len())?;
                    let kernel = Kernel::get(op, device, self.slope)?;
                    let mut arguments = kernel.arguments();
                    arguments.arg(a).arg(b).arg(gradient).arg(&sign).arg(&mut out).arg(&n);
                    // SAFETY: both kernels have these parameters; `a`, `b` and `out` have `n`
                    // values, the gradient of a scalar has one.
                    done(op, self.slope, unsafe { arguments.launch(threads(n)) })?;
                    Ok(tensor(out, device, shape))
                })
            })
        })
    }
}

impl CustomOp2 for Distance {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{}: expected CUDA tensors", self.op)
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (op, device) = (self.op, &a.device);
        let (a, b) = (view(op, a, a_layout)?, view(op, b, b_layout)?);
        let n = count(op, a.len())?;
        let parts = summing_blocks(n);
        let mut part = alloc::<f64>(op, device, parts as usize)?;
        let kernel = Kernel::get(op, device, op)?;
        let mut arguments = kernel.arguments();
        arguments.arg(&a).arg(&b).arg(&mut part).arg(&n);
        // SAFETY: both kernels have these parameters; `a` and `b` have `n` values, and each block
        // writes one part.
        done(op, op, unsafe { arguments.launch(blocks(parts)) })?;
        let sum = sum_blocks(op, device, &part, 1.0)?;
        Ok((sum, ().into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        first_order(self.op)?;
        let gradient = gradient.contiguous()?;
        let da = a.track_op().then(|| self.toward(a, b, &gradient, 1.0)).transpose()?;
        let db = b.track_op().then(|| self.toward(a, b, &gradient, -1.0)).transpose()?;
        Ok((da, db))
    }
}

/// `factor * Σ part` as an `f32` scalar.
pub(super) fn sum_blocks(
    op: &'static str,
    device: &CudaDevice,
    part: &CudaSlice<f64>,
    factor: f64,
) -> Result<CudaStorage> {
    let n = count(op, part.len())?;
    let mut sum = alloc(op, device, 1)?;
    let kernel = Kernel::get(op, device, "sum_blocks")?;
    let mut arguments = kernel.arguments();
    arguments.arg(part).arg(&mut sum).arg(&factor).arg(&n);
    // SAFETY: these are the parameters of `sum_blocks`; there are `n` parts and one sum.
    done(op, "sum_blocks", unsafe { arguments.launch(blocks(1)) })?;
    Ok(storage(sum, device))
}
