//! Conversions between candle's tensors and device memory.

use std::fmt::Display;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};

/// Refuses tensors that the kernels cannot handle, and makes the tensor contiguous. `name` is the argument's.
pub(super) fn input(op: &'static str, name: &str, tensor: &Tensor) -> Result<Tensor> {
    if tensor.dtype() != DType::F32 {
        bail!("{op}: {name}: expected f32, found {}", tensor.dtype().as_str());
    }
    if !tensor.device().is_cuda() {
        bail!("{op}: {name}: expected a CUDA tensor, found one on {:?}", tensor.device());
    }
    tensor.contiguous()
}

/// Returns the values of a contiguous `f32` storage.
pub(super) fn view<'a>(
    op: &'static str,
    storage: &'a CudaStorage,
    layout: &Layout,
) -> Result<CudaView<'a, f32>> {
    let values = storage.as_cuda_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(values.slice(start..end)),
        None => bail!("{op}: expected a contiguous tensor, found strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the device and the values of a contiguous `f32` CUDA tensor.
pub(super) fn with<R>(
    op: &'static str,
    tensor: &Tensor,
    f: impl FnOnce(&CudaDevice, &CudaView<'_, f32>) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => f(&storage.device, &view(op, storage, layout)?),
        _ => bail!("{op}: expected a CUDA tensor, found one on {:?}", tensor.device()),
    }
}

/// Wraps freshly computed values in a storage.
pub(super) fn storage(values: CudaSlice<f32>, device: &CudaDevice) -> CudaStorage {
    CudaStorage::wrap_cuda_slice(values, device.clone())
}

/// Wraps freshly computed values in a tensor.
pub(super) fn tensor(values: CudaSlice<f32>, device: &CudaDevice, shape: &Shape) -> Tensor {
    let storage = Storage::Cuda(storage(values, device));
    Tensor::from_storage(storage, shape, BackpropOp::none(), false)
}

/// Allocates device memory with arbitrary contents.
pub(super) fn alloc<T: DeviceRepr>(
    op: &'static str,
    device: &CudaDevice,
    len: usize,
) -> Result<CudaSlice<T>> {
    // SAFETY: every caller hands the memory to a kernel that writes all of it before anything
    // reads it.
    done(op, "allocation", unsafe { device.alloc::<T>(len) })
}

/// Checks a number of values, which kernels count in 32 bits; cuDNN has the same limit.
pub(super) fn count(op: &'static str, values: usize) -> Result<u32> {
    if values > i32::MAX as usize {
        bail!("{op}: expected at most {} values in a tensor, found {values}", i32::MAX);
    }
    Ok(values as u32)
}

/// Converts an error of the driver to one that names the operation and the call.
pub(super) fn done<T, E: Display>(
    op: &'static str,
    step: &str,
    result: std::result::Result<T, E>,
) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => bail!("{op}: {step} failed: {error}"),
    }
}
