//! Elementwise operations.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, PushKernelArg};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail,
};

use super::glue::{alloc, count, done, input, storage, tensor, view, with};
use super::kernels::{Kernel, threads};
use crate::glue::first_order;

/// Last operations of a convolution: a bias for each channel, and a leaky ReLU.
pub(super) struct Finish<'a> {
    pub(super) bias: Option<&'a CudaView<'a, f32>>,
    pub(super) leaky: Option<f32>,
    pub(super) channels: usize,
    /// Values of a channel of one image.
    pub(super) plane: usize,
}

impl Default for Finish<'_> {
    /// No bias and no leaky ReLU.
    fn default() -> Self {
        Self { bias: None, leaky: None, channels: 1, plane: 1 }
    }
}

impl Finish<'_> {
    /// Finishes the result of a convolution in place.
    pub(super) fn apply(
        &self,
        op: &'static str,
        device: &CudaDevice,
        y: &mut CudaSlice<f32>,
    ) -> Result<()> {
        if self.bias.is_none() && self.leaky.is_none() {
            return Ok(());
        }
        let n = count(op, y.len())?;
        let (channels, plane) = (count(op, self.channels)?, count(op, self.plane)?);
        let slope = self.leaky.unwrap_or(1.0);
        let kernel = Kernel::get(op, device, "finish")?;
        let mut arguments = kernel.arguments();
        arguments.arg(y);
        match self.bias {
            Some(bias) => arguments.arg(bias),
            None => arguments.arg(&NULL),
        };
        arguments.arg(&slope).arg(&channels).arg(&plane).arg(&n);
        // SAFETY: these are the parameters of `finish`; `y` has `n` values, the bias one for each
        // channel.
        done(op, "finish", unsafe { arguments.launch(threads(n)) })?;
        Ok(())
    }

    /// Finishes the result of a convolution in `bf16`.
    pub(super) fn apply_bf16(
        &self,
        op: &'static str,
        device: &CudaDevice,
        x: &CudaSlice<u16>,
    ) -> Result<CudaSlice<f32>> {
        let n = count(op, x.len())?;
        let (channels, plane) = (count(op, self.channels)?, count(op, self.plane)?);
        let slope = self.leaky.unwrap_or(1.0);
        let mut y = alloc(op, device, x.len())?;
        let kernel = Kernel::get(op, device, "finish_bf16")?;
        let mut arguments = kernel.arguments();
        arguments.arg(x).arg(&mut y);
        match self.bias {
            Some(bias) => arguments.arg(bias),
            None => arguments.arg(&NULL),
        };
        arguments.arg(&slope).arg(&channels).arg(&plane).arg(&n);
        // SAFETY: these are the parameters of `finish_bf16`; `x` and `y` have `n` values, the bias
        // one for each channel.
        done(op, "finish_bf16", unsafe { arguments.launch(threads(n)) })?;
        Ok(y)
    }
}

/// Null pointer, as an argument of a kernel.
const NULL: u64 = 0;

/// Rounds values to `bf16` and returns their bits.
pub(super) fn to_bf16(
    op: &'static str,
    device: &CudaDevice,
    x: &CudaView<'_, f32>,
) -> Result<CudaSlice<u16>> {
    let n = count(op, x.len())?;
    let mut y = alloc(op, device, x.len())?;
    let kernel = Kernel::get(op, device, "to_bf16")?;
    let mut arguments = kernel.arguments();
    arguments.arg(x).arg(&mut y).arg(&n);
    // SAFETY: these are the parameters of `to_bf16`; both slices have `n` values.
    done(op, "to_bf16", unsafe { arguments.launch(threads(n)) })?;
    Ok(y)
}

/// Computes the gradient before a leaky ReLU, of which `sign` is the input or the output.
pub(super) fn before_leaky(
    op: &'static str,
    sign: &Tensor,
    dy: &Tensor,
    slope: f32,
) -> Result<Tensor> {
    with(op, sign, |device, sign| {
        with(op, &dy.contiguous()?, |_, dy_values| {
            let n = count(op, sign.len())?;
            let mut dx = alloc(op, device, sign.len())?;
            let kernel = Kernel::get(op, device, "leaky_gradient")?;
            let mut arguments = kernel.arguments();
            arguments.arg(sign).arg(dy_values).arg(&mut dx).arg(&slope).arg(&n);
            // SAFETY: these are the parameters of `leaky_gradient`; all slices have `n` values.
            done(op, "leaky_gradient", unsafe { arguments.launch(threads(n)) })?;
            Ok(tensor(dx, device, dy.shape()))
        })
    })
}

/// `max(x, 0) + slope * min(x, 0)`; the gradient at 0 is `slope`.
pub(crate) fn leaky_relu(op: &'static str, x: &Tensor, slope: f32) -> Result<Tensor> {
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

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{}: expected a CUDA tensor", self.op)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (op, device, x) = (self.op, &x.device, view(self.op, x, layout)?);
        let n = count(op, x.len())?;
        let mut y = alloc(op, device, x.len())?;
        let kernel = Kernel::get(op, device, "leaky")?;
        let mut arguments = kernel.arguments();
        arguments.arg(&x).arg(&mut y).arg(&self.slope).arg(&n);
        // SAFETY: these are the parameters of `leaky`; both slices have `n` values.
        done(op, "leaky", unsafe { arguments.launch(threads(n)) })?;
        Ok((storage(y, device), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(self.op)?;
        Ok(Some(before_leaky(self.op, x, dy, self.slope)?))
    }
}
