//! `cargo xtask cuda check`

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::LIBRARIES;
use super::gpu::{Gpu, gpus};
use super::stand_ins;
use super::toolkit::Toolkit;
use crate::process::say;

/// First driver that runs CUDA 13.
const DRIVER: u32 = 580;

/// Reports what is there and what is missing; fails if a program with CUDA would not find a GPU.
pub(super) fn run() -> Result<()> {
    say(&match Toolkit::find() {
        Some(Toolkit::Installed(nvcc)) => format!("compiler: {}, installed", nvcc.display()),
        Some(Toolkit::Fetched(home)) => format!("compiler: {}, fetched", home.display()),
        None => "compiler: none; to build here, `cargo xtask cuda setup` fetches one".to_owned(),
    });
    let mut missing = Vec::new();
    let gpus = gpus();
    if gpus.is_empty() {
        missing.push("a GPU with its driver (nvidia-smi names none)".to_owned());
    }
    for gpu in &gpus {
        say(&format!("GPU: {gpu}"));
        missing.extend(too_old(gpu));
    }
    let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let (folders, cache) = (folders(|name| env::var_os(name)), loader_cache());
    for (file, needed) in stand_ins::files() {
        match found(file, &folders, &cache) {
            Some(path) => say(&format!("library: {}", path.display())),
            None if needed => lacking.entry(source(file)).or_default().push(file),
            None if gpus.len() > 1 => {
                say(&format!(
                    "not found: {file}, {}; one run on several GPUs needs it",
                    source(file)
                ));
            }
            None => {}
        }
    }
    missing.extend(lacking.iter().map(|(source, files)| format!("{}, {source}", files.join(", "))));
    if missing.is_empty() {
        say("nothing is missing: programs of `cargo xtask cuda build` run on this machine's GPU");
        return Ok(());
    }
    bail!(
        "programs would not use a GPU here; missing:\n  {}\nLibraries elsewhere are found through \
         DEEPSIM_CUDA_LIBRARIES (folders with colons between them) or LD_LIBRARY_PATH",
        missing.join("\n  ")
    )
}

/// A sentence if the driver of a GPU cannot run CUDA 13.
fn too_old(gpu: &Gpu) -> Option<String> {
    let driver = &gpu.driver;
    let major: u32 = driver.split('.').next()?.parse().ok()?;
    (major < DRIVER)
        .then(|| format!("a driver of version {DRIVER} or later for CUDA 13 (here: {driver})"))
}

/// Folders in which libraries are looked for, beside those that the loader knows.
fn folders(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let named = [LIBRARIES, "LD_LIBRARY_PATH"].into_iter().filter_map(variable);
    let named = named.flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>());
    let usual = ["/usr/local/nvidia/lib64", "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"];
    named.chain(usual.map(PathBuf::from)).collect()
}

/// Returns the libraries that the loader knows.
fn loader_cache() -> String {
    let output = Command::new("ldconfig").arg("-p").output();
    let output = output.or_else(|_| Command::new("/sbin/ldconfig").arg("-p").output());
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn found(file: &str, folders: &[PathBuf], cache: &str) -> Option<PathBuf> {
    let line = cache.lines().find(|line| line.trim_start().starts_with(&format!("{file} ")));
    let cached = line.and_then(|line| Some(PathBuf::from(line.split_once("=> ")?.1)));
    let there = || folders.iter().map(|folder| folder.join(file)).find(|path| path.is_file());
    cached.filter(|path| Path::new(path).exists()).or_else(there)
}

/// Returns the origin of a library.
fn source(file: &str) -> &'static str {
    match file {
        "libcuda.so.1" => "of NVIDIA's driver",
        "libnccl.so.2" => "of NCCL (e.g. pip install nvidia-nccl-cu13)",
        "libcudnn.so.9" => "of cuDNN 9 (e.g. pip install nvidia-cudnn-cu13)",
        _ => "of CUDA 13 (e.g. pip install nvidia-cublas nvidia-curand nvidia-cuda-nvrtc)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_before_cuda_13_are_named() {
        let told = |driver: &str| {
            let line = format!("NVIDIA H200, {driver}, 9.0, 143771 MiB, 0 MiB, GPU-1");
            too_old(&Gpu::parse(&line).expect("a line of nvidia-smi"))
        };
        assert_eq!(told("580.65.06"), None);
        let told = told("535.129.03").expect("too old");
        assert!(told.contains("580 or later") && told.contains("535.129.03"), "{told}");
    }

    #[test]
    fn libraries_are_found_by_the_loader_or_in_folders() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("libcudnn.so.9");
        std::fs::write(&file, "")?;
        let cache = format!("\tlibcudnn.so.9 (libc6,x86-64) => {}\n", file.display());
        assert_eq!(found("libcudnn.so.9", &[], &cache), Some(file.clone()));
        assert_eq!(found("libcudnn.so.9", &[], ""), None);
        let value = folder.path().as_os_str().to_owned();
        let all = folders(|name| (name == "DEEPSIM_CUDA_LIBRARIES").then(|| value.clone()));
        assert_eq!(found("libcudnn.so.9", &all, ""), Some(file));
        // The loader's list may be out of date.
        assert_eq!(found("libx.so", &[], "\tlibx.so (libc6) => /no/such/libx.so\n"), None);
        Ok(())
    }
}
