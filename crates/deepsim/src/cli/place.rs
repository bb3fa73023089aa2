//! `--device`, `--weights` and `--threads`: where and with which weights to compute.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use deepsim_train::dist;

use super::device::DeviceKind;
use super::exit::Failure;
use super::locate;

/// Weights, device and threads of a computation.
#[derive(Args)]
pub(crate) struct Place {
    /// Folder with the networks' weights, or one file as hf://OWNER/NAME/PATH [default: those that come with the
    /// project; features, generate, invert, optimise and sample also look in `weights` of the data folder. Other networks
    /// get random ones, except in these, compare and probe]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) on: On,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Device of a computation.
#[derive(Args)]
pub(crate) struct On {
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
}

impl Place {
    /// Opens the device, sets the number of threads and finds the folder of weights, if one is named.
    ///
    /// # Errors
    /// If the device cannot be used, or the folder does not exist.
    pub(crate) fn open(&self) -> Result<(Device, Option<PathBuf>)> {
        let device = self.on.open()?;
        let weights = self.weights.as_deref().map(locate::folder).transpose()?;
        if let Some(folder) = weights.as_ref().filter(|folder| !folder.is_dir()) {
            anyhow::bail!("--weights {}: no such folder", folder.display());
        }
        let threads = self.threads.unwrap_or(0);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        Ok((device, weights))
    }

    /// As [`Place::open`]; where no folder of weights is named, that of the data folder is taken, unless weights may be
    /// random.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub(crate) fn open_with_data(&self, random: bool) -> Result<(Device, Option<PathBuf>)> {
        let (device, weights) = self.open()?;
        let found = || locate::DataFolders::new().find("weights").filter(|_| !random);
        Ok((device, weights.or_else(found)))
    }
}

impl On {
    /// Opens the device; of several processes each gets its own GPU.
    ///
    /// # Errors
    /// If there is no GPU, or this program was built without CUDA.
    pub(crate) fn open(&self) -> Result<Device> {
        Ok(self.device.open(dist::local_gpu())?)
    }
}

/// Returns the name of the CPU's kernels.
///
/// # Errors
/// If `DEEPSIM_ISA` names some that this machine does not have.
pub(crate) fn kernels() -> Result<&'static str> {
    deepsim_ops::kernels().map_err(|error| Failure::usage(error.to_string()).into())
}

/// Configures the libraries that training rests on. Call it before a thread is started.
pub(crate) fn prepare_training() {
    // candle spins a thread pool of its own beside rayon's; it costs more than it brings here. And NCCL cannot
    // lend memory of a CUDA graph to another process.
    #[expect(clippy::disallowed_methods, reason = "the only way to configure them")]
    for (name, value) in [("CANDLE_NUM_THREADS", "1"), ("NCCL_GRAPH_REGISTER", "0")] {
        // SAFETY: no other thread has been started yet.
        unsafe { std::env::set_var(name, value) };
    }
}
