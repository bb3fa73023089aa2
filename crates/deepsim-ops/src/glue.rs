//! Conversions between candle's tensors and the engines' slices.

use std::fmt;
use std::sync::LazyLock;

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, bail};

/// Returns the values of a contiguous `f32` storage.
pub(crate) fn slice<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{op}: expected a contiguous tensor, found strides {:?}", layout.stride()),
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
        _ => bail!("{op}: expected a CPU tensor, found one on {:?}", tensor.device()),
    }
}

/// Refuses tensors that the engines cannot handle, and makes the tensor contiguous. `name` is the argument's.
pub(crate) fn input(op: &'static str, name: &str, tensor: &Tensor) -> Result<Tensor> {
    check(op, name, tensor)?;
    tensor.contiguous()
}

/// Refuses tensors that the engines cannot handle; the error names the argument.
pub(crate) fn check(op: impl fmt::Display, name: &str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype() != DType::F32 {
        bail!("{op}: {name}: expected f32, found {}", tensor.dtype().as_str());
    }
    let device = tensor.device();
    if !(device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda()) {
        bail!("{op}: {name}: expected a CPU tensor, found one on {device:?}");
    }
    Ok(())
}

/// Refuses a backward pass that is differentiated itself. candle keeps the graph of gradients only if
/// `CANDLE_GRAD_DO_NOT_DETACH` is set, and gradients of this crate would be missing in it.
pub(crate) fn first_order(op: impl fmt::Display) -> Result<()> {
    static SECOND: LazyLock<bool> = LazyLock::new(|| {
        std::env::var("CANDLE_GRAD_DO_NOT_DETACH").is_ok_and(|set| !set.is_empty() && set != "0")
    });
    if *SECOND {
        bail!("{op}: gradients of gradients are not available; unset CANDLE_GRAD_DO_NOT_DETACH");
    }
    Ok(())
}

/// Operation that an error message begins with: alone, or as a step of a sequence.
#[derive(Clone, Copy)]
pub(crate) struct OpName {
    /// Name of the operation that was called.
    pub(crate) op: &'static str,
    /// Number of the step, from 1, and its operation.
    pub(crate) step: Option<(usize, &'static str)>,
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            None => f.write_str(self.op),
            Some((number, name)) => write!(f, "{}, step {number} ({name})", self.op),
        }
    }
}

/// Returns a tensor of freshly computed values with the shape of another.
pub(crate) fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), &Device::Cpu)
}
