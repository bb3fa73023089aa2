//! Device, precision and contestants of the step benchmark.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::super::server::Server;
use super::super::torch;
use crate::cuda::{self, Gpu};
use crate::process::Failure;

/// Device to compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Device {
    /// The processor
    Cpu,
    /// An NVIDIA GPU; see docs/gpus.md for what a build needs
    Cuda,
}

/// Type of the factors that convolutions multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Precision {
    /// Single precision
    F32,
    /// Rounded to 10 bits of mantissa; GPUs only
    Tf32,
    /// Rounded to 16 bits, 8 of them of mantissa; GPUs only
    Bf16,
}

impl Precision {
    /// Returns the name in recipes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Returns the largest relative difference of losses between both sides.
    pub(super) fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 1e-3,
            Self::Tf32 => 1e-2,
            Self::Bf16 => 0.1,
        }
    }
}

/// PyTorch as a user would run it.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// Options of its script.
    pub(super) flags: &'static [&'static str],
}

const CPU: [Contestant; 2] = [
    Contestant { name: "PyTorch", flags: &[] },
    Contestant { name: "PyTorch, best", flags: &["--best"] },
];
const CUDA: [Contestant; 2] = [
    Contestant { name: "PyTorch, eager", flags: &["--best"] },
    Contestant { name: "PyTorch, compiled", flags: &["--best", "--compiled"] },
];

/// Device and precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) device: Device,
    pub(super) precision: Precision,
    /// True if PyTorch's compiled side is a contestant on a GPU.
    pub(super) compiled: bool,
}

impl Platform {
    /// Checks that there is such a device.
    ///
    /// # Errors
    /// If the CPU is asked for another precision than its own, or there is no GPU.
    pub(super) fn new(device: Device, precision: Precision, compiled: bool) -> Result<Self> {
        if device == Device::Cpu && precision != Precision::F32 {
            let precision = precision.name();
            let text = format!("--precision {precision} needs --device cuda: the CPU has f32");
            return Err(Failure::usage(text));
        }
        if device == Device::Cuda && cuda::gpus().is_empty() {
            bail!("--device cuda: nvidia-smi names no GPU; see `cargo xtask cuda check`");
        }
        Ok(Self { device, precision, compiled })
    }

    /// Returns the contestants beside ours.
    pub(super) fn contestants(self) -> &'static [Contestant] {
        match (self.device, self.compiled) {
            (Device::Cpu, _) => &CPU,
            (Device::Cuda, true) => &CUDA,
            (Device::Cuda, false) => &CUDA[..1],
        }
    }

    /// Returns the precisions in which both sides must agree.
    pub(super) fn checked(self) -> Vec<Precision> {
        let mut all = vec![Precision::F32, self.precision];
        all.dedup();
        all
    }

    /// Returns the number of steps of a request, more than one on a GPU, which is slow after the
    /// host has waited for it.
    pub(super) fn steps(self) -> usize {
        if self.device == Device::Cpu { 1 } else { 10 }
    }

    /// Returns the default number of times that each contestant is timed.
    pub(super) fn rounds(self) -> u16 {
        if self.device == Device::Cpu { 15 } else { 30 }
    }

    /// Returns the options for either side's program.
    pub(super) fn flags(self, precision: Precision) -> [&'static str; 4] {
        let device = if self.device == Device::Cpu { "cpu" } else { "cuda" };
        ["--device", device, "--precision", precision.name()]
    }

    /// Starts a program that multiplies matrices on this device, to show its peak speed, and
    /// returns the request for it.
    pub(super) fn product(
        self,
        target: &Path,
        python: &Path,
        threads: usize,
    ) -> Result<(Server, String)> {
        let side = self.side().to_string();
        Ok(match self.device {
            Device::Cpu => {
                let mut command = torch::example(target, "op_server", threads);
                (Server::start("sgemm", &mut command)?, format!("sgemm {side}"))
            }
            Device::Cuda => {
                let mut command = torch::script(python, "product.py", threads);
                command.args(["--side", &side]).args(self.flags(self.precision));
                (Server::start("product", &mut command)?, self.steps().to_string())
            }
        })
    }

    /// Side of the matrices of [`Platform::product`].
    pub(super) fn side(self) -> usize {
        if self.device == Device::Cpu { 1536 } else { 8192 }
    }

    /// The GPU that is used; `None` on the CPU.
    pub(super) fn gpu(self) -> Option<Gpu> {
        let visible = env::var("CUDA_VISIBLE_DEVICES").ok();
        (self.device == Device::Cuda).then(|| cuda::first(cuda::gpus(), visible.as_deref()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn the_cpu_has_one_precision() -> Result<()> {
        let cpu = Platform::new(Device::Cpu, Precision::F32, true)?;
        assert_eq!(cpu.checked(), [Precision::F32]);
        assert_eq!(cpu.gpu(), None);
        let error =
            Platform::new(Device::Cpu, Precision::Bf16, true).expect_err("no bf16 on the CPU");
        assert_eq!(process::exit_code(&error), process::USAGE);
        let gpu = Platform { device: Device::Cuda, precision: Precision::Bf16, compiled: false };
        assert_eq!((cpu.contestants().len(), gpu.contestants().len()), (2, 1));
        assert_eq!(gpu.checked(), [Precision::F32, Precision::Bf16]);
        assert_eq!(gpu.flags(Precision::F32), ["--device", "cuda", "--precision", "f32"]);
        Ok(())
    }
}
