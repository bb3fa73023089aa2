//! Between candle's tensors and the engines' slices.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, bail};

/// The values of a contiguous `f32` storage.
pub(crate) fn slice<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{op}: wanted a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the values of a contiguous `f32` CPU tensor.
pub(crate) fn with<R>(
    op: &'static str,
    tensor: &Tensor,
    f: impl FnOnce(&[f32]) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(op, storage, layout)?),
        _ => bail!("{op}: wanted a CPU tensor, got one on {:?}", tensor.device()),
    }
}

/// Refuses what the engines cannot handle, and makes the tensor contiguous.
pub(crate) fn input(op: &'static str, tensor: &Tensor) -> Result<Tensor> {
    if tensor.dtype() != DType::F32 {
        bail!("{op}: wanted f32, got {:?}", tensor.dtype());
    }
    let device = tensor.device();
    if !(device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda()) {
        bail!("{op}: wanted a CPU tensor, got one on {:?}", tensor.device());
    }
    tensor.contiguous()
}

/// A tensor of freshly computed values shaped like another.
pub(crate) fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), &Device::Cpu)
}
