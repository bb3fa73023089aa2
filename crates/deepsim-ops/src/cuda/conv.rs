//! Convolution and transposed convolution by cuDNN.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DevicePtr, DevicePtrMut, DeviceRepr,
};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

use super::descriptors::{FLOAT, TensorDescriptor};
use super::elementwise::{Finish, before_leaky, to_bf16};
use super::glue::{alloc, count, input, storage, tensor, view, with};
use super::handle::{Context, check};
use super::plan::{Pass, Plan, key};
use super::precision::{Precision, precision};
use crate::cpu::conv::ConvShape;
use crate::glue::first_order;

/// Convolution of `x` with `weight`, or the transposed convolution from `shape`'s output to its
/// input, with an optional bias and leaky ReLU. The caller has checked that the sizes fit.
pub(crate) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    shape: &ConvShape,
    transposed: bool,
    leaky: Option<f32>,
) -> Result<Tensor> {
    let conv = Conv { shape: *shape, transposed, leaky, precision: precision() };
    let op = conv.op();
    conv.check(x, weight, bias)?;
    let (x, weight) = (input(op, "x", x)?, input(op, "weight", weight)?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &input(op, "bias", bias)?, conv),
        None => x.apply_op2(&weight, conv),
    }
}

/// Values of a tensor, or the bits of their rounding to `bf16`.
enum Factor<'a> {
    F32(&'a CudaView<'a, f32>),
    Bf16(CudaSlice<u16>),
}

#[derive(Clone, Copy)]
struct Conv {
    shape: ConvShape,
    transposed: bool,
    leaky: Option<f32>,
    precision: Precision,
}

impl Conv {
    fn op(&self) -> &'static str {
        if self.transposed { "conv_transpose2d" } else { "conv2d" }
    }

    /// Returns the sizes of the shape's `x` and `y`.
    fn dims(&self) -> [[usize; 4]; 2] {
        let s = &self.shape;
        [[s.n, s.c_in, s.h, s.w], [s.n, s.c_out, s.oh, s.ow]]
    }

    /// Returns the sizes of the operation's result.
    fn out(&self) -> [usize; 4] {
        self.dims()[usize::from(!self.transposed)]
    }

    /// Checks that tensors are as large as their cuDNN descriptors say, because cuDNN gets bare
    /// pointers.
    fn check(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
        let (op, s) = (self.op(), &self.shape);
        let wanted = [
            self.dims()[usize::from(self.transposed)].to_vec(),
            vec![s.c_out, s.group_in(), s.kh, s.kw],
            vec![self.out()[1]],
        ];
        let got = [x.dims(), weight.dims(), bias.map_or(&wanted[2][..], Tensor::dims)];
        if got != [&wanted[0][..], &wanted[1], &wanted[2]] {
            bail!("{op}: expected an input, weight and bias {wanted:?}, found {got:?}");
        }
        // cuDNN has no other size of the output, and an output padding of a stride or more would make one.
        let outputs = |size, kernel, stride, padding, dilation| {
            (size + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1
        };
        let h = outputs(s.h, s.kh, s.sh, s.ph, s.dh);
        if (h, outputs(s.w, s.kw, s.sw, s.pw, s.dw)) != (s.oh, s.ow) {
            bail!("{op}: expected an output padding less than the stride on CUDA, found {s:?}");
        }
        for dims in self.dims() {
            count(op, dims.iter().product())?;
        }
        Ok(())
    }

    /// Converts values to the type that this precision multiplies.
    fn factor<'a>(&self, device: &CudaDevice, values: &'a CudaView<'a, f32>) -> Result<Factor<'a>> {
        match self.precision {
            Precision::F32 | Precision::Tf32 => Ok(Factor::F32(values)),
            Precision::Bf16 => Ok(Factor::Bf16(to_bf16(self.op(), device, values)?)),
        }
    }

    /// Runs one pass, with bias and activation if it computes the operation's result.
    fn run(
        &self,
        device: &CudaDevice,
        pass: Pass,
        a: &Factor<'_>,
        b: &Factor<'_>,
        finish: Finish<'_>,
    ) -> Result<CudaSlice<f32>> {
        let op = self.op();
        match (a, b) {
            (Factor::F32(a), Factor::F32(b)) => {
                let mut out = self.pass(device, pass, a, b)?;
                finish.apply(op, device, &mut out)?;
                Ok(out)
            }
            (Factor::Bf16(a), Factor::Bf16(b)) => {
                let out = self.pass(device, pass, &a.as_view(), &b.as_view())?;
                finish.apply_bf16(op, device, &out)
            }
            _ => bail!("{op}: factors of two types"),
        }
    }

    /// One pass over values in `f32`, or in `bf16` as their bits.
    fn pass<T: DeviceRepr>(
        &self,
        device: &CudaDevice,
        pass: Pass,
        a: &CudaView<'_, T>,
        b: &CudaView<'_, T>,
    ) -> Result<CudaSlice<T>> {
        let (op, s) = (self.op(), &self.shape);
        let len = match pass {
            Pass::Forward => s.n * s.y_len(),
            Pass::BackwardData => s.n * s.x_len(),
            Pass::BackwardWeight => s.w_len(),
        };
        let mut out = alloc::<T>(op, device, len)?;
        let context = Context::get(op, device)?;
        let plan = context.plan(key(op, s, pass, self.precision), || {
            Plan::new(op, &context, s, pass, self.precision)
        })?;
        {
            let stream = context.stream();
            let (a, _a) = a.device_ptr(stream);
            let (b, _b) = b.device_ptr(stream);
            let (out, _out) = out.device_ptr_mut(stream);
            let inputs = (a as *const c_void, b as *const c_void);
            // SAFETY: `check` has compared the sizes of input and weight with the shape, gradients
            // have the size of what they are gradients of, and `out` was allocated for this pass.
            // `T` is the plan's type: `factor` gives `u16` for `bf16` alone.
            unsafe { plan.run(&context, device, inputs, out as *mut c_void)? };
        }
        Ok(out)
    }

    fn forward(
        &self,
        x: (&CudaStorage, &Layout),
        w: (&CudaStorage, &Layout),
        bias: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let (op, device) = (self.op(), &x.0.device);
        let (x, w) = (view(op, x.0, x.1)?, view(op, w.0, w.1)?);
        let bias = bias.map(|(bias, layout)| view(op, bias, layout)).transpose()?;
        let [_, channels, h, w_out] = self.out();
        let (bias, leaky, plane) = (bias.as_ref(), self.leaky, h * w_out);
        let finish = Finish { bias, leaky, channels, plane };
        let pass = if self.transposed { Pass::BackwardData } else { Pass::Forward };
        let (x, w) = (self.factor(device, &x)?, self.factor(device, &w)?);
        let y = self.run(device, pass, &x, &w, finish)?;
        Ok((storage(y, device), self.out().to_vec().into()))
    }

    /// Computes the gradient before the leaky ReLU, whose output `y` has the sign of its input.
    fn before_leaky(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        match self.leaky {
            Some(slope) => before_leaky(self.op(), y, dy, slope),
            None => dy.contiguous(),
        }
    }

    /// Computes the gradients to the input and to the weight, each only if it is tracked.
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let op = self.op();
        let (mut dx, mut dw) = (None, None);
        with(op, dy, |device, dy| {
            let dy = self.factor(device, dy)?;
            if x.track_op() {
                let pass = if self.transposed { Pass::Forward } else { Pass::BackwardData };
                let values = with(op, w, |_, w| {
                    self.run(device, pass, &dy, &self.factor(device, w)?, Finish::default())
                })?;
                dx = Some(tensor(values, device, x.shape()));
            }
            if w.track_op() {
                let values = with(op, x, |_, x| {
                    let x = self.factor(device, x)?;
                    let (from, to) = if self.transposed { (&dy, &x) } else { (&x, &dy) };
                    self.run(device, Pass::BackwardWeight, from, to, Finish::default())
                })?;
                dw = Some(tensor(values, device, w.shape()));
            }
            Ok(())
        })?;
        Ok((dx, dw))
    }

    /// Sums of the gradient over images and positions, in `f32` whatever the precision.
    fn bias_gradient(&self, bias: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (op, [n, channels, h, w]) = (self.op(), self.out());
        with(op, dy, |device, dy| {
            let from = TensorDescriptor::new(op, FLOAT, [n, channels, h, w])?;
            let to = TensorDescriptor::new(op, FLOAT, [1, channels, 1, 1])?;
            let mut sums = alloc::<f32>(op, device, channels)?;
            let context = Context::get(op, device)?;
            let (one, zero) = (1f32, 0f32);
            let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
            {
                let (dy, _dy) = dy.device_ptr(context.stream());
                let (sums, _sums) = sums.device_ptr_mut(context.stream());
                let (dy, sums) = (dy as *const c_void, sums as *mut c_void);
                let (handle, from, to) = (context.handle(), from.raw(), to.raw());
                // SAFETY: handle and descriptions are alive; `dy` has the size of the operation's
                // result, `sums` one value for each channel.
                let status = unsafe {
                    sys::cudnnConvolutionBackwardBias(handle, one, from, dy, zero, to, sums)
                };
                check(op, "cudnnConvolutionBackwardBias", status)?;
            }
            Ok(tensor(sums, device, bias.shape()))
        })
    }
}

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        self.op()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{}: expected CUDA tensors", self.op())
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        w: &CudaStorage,
        w_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, x_layout), (w, w_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        first_order(self.op())?;
        self.gradients(x, w, &self.before_leaky(y, dy)?)
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        self.op()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{}: expected CUDA tensors", self.op())
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        w: &CudaStorage,
        w_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, x_layout), (w, w_layout), Some((b, b_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        first_order(self.op())?;
        let dy = self.before_leaky(y, dy)?;
        let (dx, dw) = self.gradients(x, w, &dy)?;
        let db = b.track_op().then(|| self.bias_gradient(b, &dy)).transpose()?;
        Ok((dx, dw, db))
    }
}
