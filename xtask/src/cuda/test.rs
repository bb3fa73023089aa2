//! `cargo xtask cuda test`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::gpu::{Gpu, gpus};
use super::{build, stand_ins, toolkit};
use crate::process::{self, say};
use crate::workspace;

/// Run the tests of the GPU code.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Use the emulator even where there is a GPU
    #[arg(long)]
    emulate: bool,
    /// Test several GPUs too, with an installed toolkit that has NCCL; done anyway with one that was fetched
    #[arg(long)]
    nccl: bool,
    /// Only tests whose names contain this
    filter: Option<String>,
}

/// Builds the tests as `cuda build --tests` does, and runs them.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = workspace::target_dir()?.join("cuda");
    let gpus = gpus();
    let gpu = gpus.first().filter(|_| !arguments.emulate);
    let capability = gpu.and_then(Gpu::architecture);
    let nccl = arguments.nccl || build::needs_no_nccl();
    let tests = build::tests(&target, capability.as_deref().unwrap_or("90"), nccl)?;
    let libraries = match gpu {
        Some(gpu) => {
            say(&format!("on {gpu}"));
            None
        }
        None => {
            say("on an emulator of CUDA: nothing here says anything of speed (docs/gpus.md)");
            Some(emulator(&target)?)
        }
    };
    for (name, file) in tests {
        let mut test = Command::new(file);
        test.args(&arguments.filter).arg("--nocapture");
        test.current_dir(workspace::root());
        if let Some(libraries) = &libraries {
            test.env("LD_LIBRARY_PATH", libraries).env("CUDA_EMULATOR_COUNTS", "1");
        }
        process::run(&mut test, &name)?;
    }
    Ok(())
}

/// Builds the emulator under the names of CUDA's libraries; returns folders for the loader, with NVRTC's.
pub(super) fn emulator(target: &Path) -> Result<OsString> {
    let nvrtc = toolkit::nvrtc()?;
    let mut cargo = workspace::cargo(&["build", "--release", "-p", "cuda-emulator"]);
    cargo.arg("--target-dir").arg(target);
    process::run(&mut cargo, "building the emulator of CUDA")?;
    let library = target.join("release/libcuda_emulator.so");
    let folder = target.join("emulator");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("creating folder {}", folder.display()))?;
    for (name, _) in stand_ins::files().filter(|(name, _)| !name.starts_with("libnvrtc")) {
        // Links and not copies: the loader must see one library, with one device.
        let link = folder.join(name);
        let _ = std::fs::remove_file(&link);
        std::fs::hard_link(&library, &link)
            .with_context(|| format!("linking {}", link.display()))?;
    }
    let folders: [PathBuf; 2] = [folder, nvrtc];
    std::env::join_paths(folders).context("a folder's name contains a colon")
}
