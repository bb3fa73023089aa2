//! `--device`. The example `step_server` of deepsim-train includes this file.

use candle_core::Device;
use clap::ValueEnum;

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The processor
    Cpu,
    /// An NVIDIA GPU: the first, or of several processes on a machine each its own; needs a program built with `--features cuda`
    Cuda,
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--device cuda: {reason}")]
pub(crate) struct DeviceError {
    /// Exit code of the program.
    pub(crate) code: u8,
    reason: String,
}

impl DeviceKind {
    /// Opens the device; of several GPUs the one with this number.
    pub(crate) fn open(self, number: usize) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => gpu(number),
        }
    }
}

#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Result<Device, DeviceError> {
    let open = || {
        let device = Device::new_cuda(number)?;
        deepsim_ops::keep_freed_device_memory(&device)?;
        Ok(device)
    };
    open().map_err(|error: candle_core::Error| {
        let reason = deepsim_ops::error_message(&error);
        DeviceError { code: 1, reason: format!("no GPU can be used: {reason}") }
    })
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Result<Device, DeviceError> {
    const NAME: &str = env!("CARGO_PKG_NAME");
    let build = format!("cargo build --release -p {NAME} --features cuda");
    let reason = format!("{NAME} was built without CUDA; build it with `{build}` (docs/gpus.md)");
    Err(DeviceError { code: 2, reason })
}
