//! `--device`: where to compute.

use candle_core::Device;
use clap::ValueEnum;

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The processor
    Cpu,
    /// The first NVIDIA GPU; needs a program built with `--features cuda`
    Cuda,
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--device cuda: {reason}")]
pub(crate) struct DeviceError {
    /// Exit code to end with.
    pub(crate) code: u8,
    reason: String,
}

impl DeviceKind {
    /// Opens the device.
    pub(crate) fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => gpu(),
        }
    }
}

#[cfg(feature = "cuda")]
fn gpu() -> Result<Device, DeviceError> {
    let open = || {
        let device = Device::new_cuda(0)?;
        deepsim_ops::keep_freed_device_memory(&device)?;
        Ok(device)
    };
    open().map_err(|error: candle_core::Error| {
        let reason = deepsim_ops::error_message(&error);
        DeviceError { code: 1, reason: format!("no GPU can be used: {reason}") }
    })
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> Result<Device, DeviceError> {
    const NAME: &str = env!("CARGO_PKG_NAME");
    let build = format!("cargo build --release -p {NAME} --features cuda");
    let reason = format!("{NAME} was built without CUDA; build it with `{build}` (docs/cuda.md)");
    Err(DeviceError { code: 2, reason })
}
