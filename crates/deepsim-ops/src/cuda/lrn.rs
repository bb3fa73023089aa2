//! Local response normalisation across channels by cuDNN.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::descriptors::{FLOAT, LrnDescriptor, TensorDescriptor};
use super::glue::{alloc, count, input, storage, tensor, view, with};
use super::handle::{Context, check};
use crate::glue::first_order;
use crate::norm::LrnConfig;

/// `x / (k + alpha/size Σ x²)^beta`, the sum over neighbouring channels.
pub(crate) fn lrn(x: &Tensor, config: LrnConfig) -> Result<Tensor> {
    // cuDNN's limits, `CUDNN_LRN_*` of its header.
    let LrnConfig { size, beta, k, .. } = config;
    if !(1..=16).contains(&size) || beta < 0.01 || k < 1e-5 {
        bail!(
            "{OP}: expected a window of 1..=16, beta >= 0.01 and k >= 1e-5 (limits of cuDNN), found {config:?}"
        );
    }
    let (n, c, h, w) = x.dims4()?;
    input(OP, "x", x)?.apply_op1(Lrn { config, dims: [n, c, h, w] })
}

const OP: &str = "local_response_norm";
const ACROSS: sys::cudnnLRNMode_t = sys::cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1;

struct Lrn {
    config: LrnConfig,
    dims: [usize; 4],
}

impl Lrn {
    fn descriptors(&self) -> Result<(LrnDescriptor, TensorDescriptor)> {
        let LrnConfig { size, alpha, beta, k } = self.config;
        let normalisation = LrnDescriptor::new(OP, size, alpha, beta, k)?;
        Ok((normalisation, TensorDescriptor::new(OP, FLOAT, self.dims)?))
    }
}

impl CustomOp1 for Lrn {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: expected a CUDA tensor")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, x) = (&x.device, view(OP, x, layout)?);
        count(OP, x.len())?;
        let (normalisation, image) = self.descriptors()?;
        let mut y = alloc::<f32>(OP, device, x.len())?;
        let context = Context::get(OP, device)?;
        // Factors of the result and of what `y` held, on the host.
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        {
            let (x, _x) = x.device_ptr(context.stream());
            let (y, _y) = y.device_ptr_mut(context.stream());
            let (image, normalisation) = (image.raw(), normalisation.raw());
            // SAFETY: handle and descriptions are alive; `x` and `y` have the described size.
            let status = unsafe {
                sys::cudnnLRNCrossChannelForward(
                    context.handle(),
                    normalisation,
                    ACROSS,
                    one,
                    image,
                    x as *const c_void,
                    zero,
                    image,
                    y as *mut c_void,
                )
            };
            check(OP, "cudnnLRNCrossChannelForward", status)?;
        }
        Ok((storage(y, device), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(OP)?;
        let (normalisation, image) = self.descriptors()?;
        let (normalisation, image) = (&normalisation, &image);
        let dy = dy.contiguous()?;
        with(OP, x, |device, x_values| {
            with(OP, y, |_, y| {
                with(OP, &dy, |_, dy| {
                    let mut dx = alloc::<f32>(OP, device, x_values.len())?;
                    let context = Context::get(OP, device)?;
                    let (one, zero) = (1f32, 0f32);
                    let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
                    {
                        let (x, _x) = x_values.device_ptr(context.stream());
                        let (y, _y) = y.device_ptr(context.stream());
                        let (dy, _dy) = dy.device_ptr(context.stream());
                        let (dx, _dx) = dx.device_ptr_mut(context.stream());
                        let image = image.raw();
                        // SAFETY: handle and descriptions are alive; all four have the described
                        // size.
                        let status = unsafe {
                            sys::cudnnLRNCrossChannelBackward(
                                context.handle(),
                                normalisation.raw(),
                                ACROSS,
                                one,
                                image,
                                y as *const c_void,
                                image,
                                dy as *const c_void,
                                image,
                                x as *const c_void,
                                zero,
                                image,
                                dx as *mut c_void,
                            )
                        };
                        check(OP, "cudnnLRNCrossChannelBackward", status)?;
                    }
                    Ok(Some(tensor(dx, device, x.shape())))
                })
            })
        })
    }
}
