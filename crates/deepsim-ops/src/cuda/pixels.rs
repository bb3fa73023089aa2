//! Conversion of image bytes to values.

use candle_core::cuda_backend::cudarc::driver::{CudaView, DeviceRepr, PushKernelArg};
use candle_core::{CudaDevice, Result, Storage, Tensor, bail};

use super::glue::{alloc, count, done, tensor};
use super::kernels::{Kernel, threads};
use crate::pixels::PixelFormat;

/// `struct Planes` of `kernels.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct DevicePlanes {
    from: [u32; 3],
    mean: [f32; 3],
    scale: [f32; 3],
}

// SAFETY: numbers alone, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for DevicePlanes {}

/// Converts bytes `(N, 3, H, W)` on a GPU to values.
pub(crate) fn pixels(bytes: &Tensor, format: PixelFormat) -> Result<Tensor> {
    const OP: &str = "pixels";
    let (storage, layout) = bytes.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("{OP}: expected a CUDA tensor") };
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{OP}: expected a contiguous tensor")
    };
    let values = storage.as_cuda_slice::<u8>()?.slice(start..end);
    convert(OP, &storage.device, &values, bytes.dims4()?, format)
}

/// Converts bytes in device memory to values of these sizes.
pub(super) fn convert(
    op: &'static str,
    device: &CudaDevice,
    bytes: &CudaView<'_, u8>,
    dims: (usize, usize, usize, usize),
    format: PixelFormat,
) -> Result<Tensor> {
    let (n, plane) = (count(op, bytes.len())?, count(op, dims.2 * dims.3)?);
    let mut values = alloc::<f32>(op, device, bytes.len())?;
    let from = [0, 1, 2].map(|channel| format.channel(channel) as u32);
    let planes = DevicePlanes { from, mean: format.mean, scale: format.scale };
    let kernel = Kernel::get(op, device, "pixels")?;
    let mut arguments = kernel.arguments();
    arguments.arg(bytes).arg(&mut values).arg(&planes).arg(&plane).arg(&n);
    // SAFETY: these are the parameters of `pixels`; both have `n` values in whole images.
    done(op, "pixels", unsafe { arguments.launch(threads(n)) })?;
    Ok(tensor(values, device, &dims.into()))
}
