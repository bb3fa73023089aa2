//! Pooling.
//!
//! cuDNN rounds the number of windows down, so Caffe's rounding would need a padded copy. Two kernels
//! of this crate need none, and keep the index of each maximum, as on the CPU.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr, PushKernelArg};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::glue::{alloc, count, done, input, storage, tensor, view, with};
use super::kernels::{Kernel, blocks, threads};
use crate::glue::first_order;

/// `struct Pool` of `kernels.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct PoolSizes {
    h: u32,
    w: u32,
    oh: u32,
    ow: u32,
    kh: u32,
    kw: u32,
    sh: u32,
    sw: u32,
    ph: u32,
    pw: u32,
}

// SAFETY: ten 32-bit numbers, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for PoolSizes {}

/// Max-pooling of `(N, C, H, W)` with an output of `(oh, ow)`; the last windows may hang over the
/// border. Every window must see a part of the image, as the caller has checked.
pub(crate) fn max_pool(
    x: &Tensor,
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    (oh, ow): (usize, usize),
) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let size = |value: usize| count(MAX, value);
    let sizes = PoolSizes {
        h: size(h)?,
        w: size(w)?,
        oh: size(oh)?,
        ow: size(ow)?,
        kh: size(kernel.0)?,
        kw: size(kernel.1)?,
        sh: size(stride.0)?,
        sw: size(stride.1)?,
        ph: size(padding.0)?,
        pw: size(padding.1)?,
    };
    let sees = |windows: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
        // Larger kernels are mistakes, and sums with them might overflow.
        (padding + 1..=usize::from(u16::MAX)).contains(&kernel)
            && stride > 0
            && windows > 0
            && (windows - 1) * stride < size + padding
    };
    if !sees(oh, h, kernel.0, stride.0, padding.0) || !sees(ow, w, kernel.1, stride.1, padding.1) {
        bail!("{MAX}: windows {kernel:?}, {stride:?}, {padding:?} do not fit {:?}", x.dims());
    }
    input(MAX, "x", x)?.apply_op1(MaxPool { sizes, from: OnceLock::new() })
}

const MAX: &str = "max_pool2d";

struct MaxPool {
    sizes: PoolSizes,
    /// Index of each maximum in its plane.
    from: OnceLock<CudaSlice<u32>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        MAX
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{MAX}: expected a CUDA tensor")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, x) = (&x.device, view(MAX, x, layout)?);
        let (planes, channels, _, _) = layout.shape().dims4()?;
        let (oh, ow) = (self.sizes.oh as usize, self.sizes.ow as usize);
        let shape = Shape::from((planes, channels, oh, ow));
        let n = count(MAX, shape.elem_count())?;
        count(MAX, x.len())?;
        let mut y = alloc(MAX, device, shape.elem_count())?;
        let mut from = alloc(MAX, device, shape.elem_count())?;
        let kernel = Kernel::get(MAX, device, "max_pool")?;
        let mut arguments = kernel.arguments();
        arguments.arg(&x).arg(&mut y).arg(&mut from).arg(&self.sizes).arg(&n);
        // SAFETY: these are the parameters of `max_pool`; `y` and `from` have `n` values, `x` one
        // `h * w` plane for each of their planes.
        done(MAX, "max_pool", unsafe { arguments.launch(threads(n)) })?;
        // The op belongs to one application, so nothing can have been kept before.
        self.from.get_or_init(|| from);
        Ok((storage(y, device), shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(MAX)?;
        let Some(from) = self.from.get() else { bail!("{MAX}: backward before forward") };
        with(MAX, &dy.contiguous()?, |device, dy| {
            let n = count(MAX, x.elem_count())?;
            let mut dx = alloc(MAX, device, x.elem_count())?;
            let kernel = Kernel::get(MAX, device, "max_pool_gradient")?;
            let mut arguments = kernel.arguments();
            arguments.arg(dy).arg(from).arg(&mut dx).arg(&self.sizes).arg(&n);
            // SAFETY: these are the parameters of `max_pool_gradient`; `dx` has `n` values, `dy`
            // and `from` one `oh * ow` plane for each of its planes.
            done(MAX, "max_pool_gradient", unsafe { arguments.launch(threads(n)) })?;
            Ok(Some(tensor(dx, device, x.shape())))
        })
    }
}

/// Mean over all positions of `(N, C, H, W)`.
pub(crate) fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    input(AVG, "x", x)?.apply_op1(GlobalAvgPool { plane: count(AVG, h * w)? })
}

const AVG: &str = "global_avg_pool2d";

struct GlobalAvgPool {
    plane: u32,
}

impl CustomOp1 for GlobalAvgPool {
    fn name(&self) -> &'static str {
        AVG
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{AVG}: expected a CUDA tensor")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, x) = (&x.device, view(AVG, x, layout)?);
        let (images, channels, _, _) = layout.shape().dims4()?;
        let shape = Shape::from((images, channels));
        count(AVG, x.len())?;
        let planes = count(AVG, shape.elem_count())?;
        let mut y = alloc(AVG, device, shape.elem_count())?;
        let kernel = Kernel::get(AVG, device, "plane_mean")?;
        let mut arguments = kernel.arguments();
        arguments.arg(&x).arg(&mut y).arg(&self.plane);
        // SAFETY: these are the parameters of `plane_mean`, whose blocks each read `plane` values
        // of `x` and write one of `y`.
        done(AVG, "plane_mean", unsafe { arguments.launch(blocks(planes)) })?;
        Ok((storage(y, device), shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(AVG)?;
        with(AVG, &dy.contiguous()?, |device, dy| {
            let n = count(AVG, x.elem_count())?;
            let mut dx = alloc(AVG, device, x.elem_count())?;
            let kernel = Kernel::get(AVG, device, "plane_mean_gradient")?;
            let mut arguments = kernel.arguments();
            arguments.arg(dy).arg(&mut dx).arg(&self.plane).arg(&n);
            // SAFETY: these are the parameters of `plane_mean_gradient`; `dx` has `n` values, `dy`
            // one for each `plane` of them.
            done(AVG, "plane_mean_gradient", unsafe { arguments.launch(threads(n)) })?;
            Ok(Some(tensor(dx, device, x.shape())))
        })
    }
}
