//! `cargo xtask cuda build`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::gpu::{Gpu, gpus};
use super::stand_ins;
use super::toolkit::{self, Toolkit};
use crate::process::{self, say};
use crate::workspace;

/// Build the program with CUDA.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Architecture of candle's kernels, e.g. 80 for an A100, 90 for an H100 or H200
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u16).range(70..))]
    compute_capability: u16,
    /// Build deepsim for several GPUs (docs/gpus.md); done anyway with a toolkit that was fetched
    #[arg(long)]
    nccl: bool,
    /// Build the tests that need a GPU too, and step_server, our side of `cargo xtask bench step`
    #[arg(long)]
    tests: bool,
    /// Folder for the programs [default: target/cuda/programs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Packages with tests that need a GPU.
const PACKAGES: [&str; 6] = ["-p", "deepsim-ops", "-p", "deepsim-train", "-p", "deepsim"];
/// Feature of the program and of the tests.
const FEATURE: &str = "deepsim/cuda";
/// Feature of the program, and of its test, for several GPUs.
const NCCL: &str = "deepsim/nccl";
/// Suffix of test names.
const TESTS: &str = "-tests";
const CUDA_VERSION: &str = "13000";
/// File beside the programs with what they were built from.
pub(super) const NOTE: &str = "built.json";

/// Builds and copies; existing files are kept.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = workspace::target_dir()?.join("cuda");
    let out = arguments.out.clone().unwrap_or_else(|| target.join("programs"));
    let capability = arguments.compute_capability.to_string();
    let nccl = arguments.nccl || needs_no_nccl();
    let mut programs = workspace::cargo(&["build", "--release", "--bins"]);
    match arguments.tests {
        // The packages of the tests, so that both share one build of their dependencies.
        true => programs.args(PACKAGES).args(["--example", "step_server"]),
        false => programs.args(["-p", "deepsim"]),
    };
    programs.args(features(nccl));
    copy(built(programs, &target, &capability)?, &out)?;
    if arguments.tests {
        copy(tests(&target, &capability, nccl)?, &out)?;
    }
    note(&out)
}

/// Writes down what the programs were built from, for a machine that cannot tell.
fn note(out: &Path) -> Result<()> {
    let rustc = Command::new("rustc").arg("-V").current_dir(workspace::root()).output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let note = json!({ "git_commit": workspace::git_commit(), "rustc": rustc.ok() });
    workspace::write_atomic(&out.join(NOTE), note.to_string().as_bytes())
}

/// The tests that need a GPU, by name.
pub(super) fn tests(target: &Path, capability: &str, nccl: bool) -> Result<Vec<(String, PathBuf)>> {
    let mut tests = workspace::cargo(&["test", "--release", "--no-run", "--test", "cuda"]);
    tests.args(PACKAGES).args(features(nccl));
    let mut files = built(tests, target, capability)?;
    // Cargo builds the programs of a package beside its tests.
    files.retain(|(name, _)| name.ends_with(TESTS));
    Ok(files)
}

/// Features of a build, with several GPUs or without.
fn features(nccl: bool) -> Vec<&'static str> {
    let several = if nccl { &["--features", NCCL][..] } else { &[] };
    [&["--features", FEATURE], several].concat()
}

/// Returns true if a program can be linked for several GPUs although NCCL is not installed.
pub(super) fn needs_no_nccl() -> bool {
    matches!(Toolkit::find(), Some(Toolkit::Fetched(_)))
}

/// Copies what was built, by name.
fn copy(files: Vec<(String, PathBuf)>, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("creating folder {}", out.display()))?;
    for (name, file) in files {
        let copy = out.join(name);
        std::fs::copy(&file, &copy).with_context(|| format!("copying {}", file.display()))?;
        // Strips debug information, which leaves a quarter of the size; without a tool for it the
        // file stays.
        let _ = Command::new("strip").arg(&copy).stderr(Stdio::null()).status();
        let size = copy.metadata().map_or(0, |data| data.len()) / (1 << 20);
        say(&format!("{} ({size} MiB)", copy.display()));
    }
    Ok(())
}

/// Runs a build; returns names for its executables and where they are.
fn built(mut cargo: Command, target: &Path, capability: &str) -> Result<Vec<(String, PathBuf)>> {
    cargo.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(target);
    prepare(&mut cargo, Some(capability))?;
    let child = cargo.stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let output = child.wait_with_output().context("waiting for cargo")?;
    if !output.status.success() {
        bail!("the build failed ({}): {}", output.status, process::shown(&cargo));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut files = Vec::new();
    for line in text.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let Some(file) = message["executable"].as_str() else { continue };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let test = message["profile"]["test"].as_bool() == Some(true);
        let package = message["package_id"].as_str().unwrap_or_default();
        let package = package.rsplit('/').next().unwrap_or_default();
        let package = package.split('#').next().unwrap_or_default();
        let name = if test { format!("{package}-{name}{TESTS}") } else { name.to_owned() };
        files.push((name, PathBuf::from(file)));
    }
    Ok(files)
}

/// Sets the environment of a build with CUDA: an installed toolkit, or a fetched one with stand-ins
/// for the libraries.
///
/// # Errors
/// If there is no compiler, or the stand-ins cannot be made.
pub(crate) fn prepare(cargo: &mut Command, capability: Option<&str>) -> Result<()> {
    if let Some(capability) = capability {
        cargo.env("CUDA_COMPUTE_CAP", capability);
    }
    let home = match Toolkit::find() {
        Some(Toolkit::Installed(_)) => return Ok(()),
        Some(Toolkit::Fetched(home)) => home,
        None => bail!(
            "building for a GPU needs NVIDIA's compiler, and there is no `nvcc` in NVCC, PATH, \
             CUDA_HOME/bin, CUDA_PATH/bin or /usr/local/cuda/bin. `cargo xtask cuda setup` fetches one; \
             or install CUDA's toolkit, and say where it is with CUDA_HOME (docs/gpus.md)"
        ),
    };
    let cudarc = cudarc()?;
    let name = cudarc.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let link = toolkit::folder().join("link").join(name);
    let lib = link.join("lib");
    if !stand_ins::made(&lib) {
        stand_ins::make(&cudarc, &home, &lib)?;
    }
    if capability.is_none() && std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
        // candle's build detects the architecture if there is a GPU.
        let capability = gpus().first().and_then(Gpu::architecture);
        cargo.env("CUDA_COMPUTE_CAP", capability.unwrap_or_else(|| "90".to_owned()));
    }
    cargo.env("CUDA_HOME", &home);
    cargo.env("CUDA_TOOLKIT_ROOT_DIR", &link);
    cargo.env("CUDARC_CUDA_VERSION", CUDA_VERSION);
    cargo.env("NVCC", workspace::root().join("xtask/cuda/nvcc.sh"));
    cargo.env("NVCC_REAL", home.join("bin/nvcc"));
    Ok(())
}

/// The sources of the cudarc that is built.
fn cudarc() -> Result<PathBuf> {
    let mut cargo = workspace::cargo(&["metadata", "--format-version", "1", "--features", FEATURE]);
    let output = cargo.stderr(Stdio::inherit()).output().context("starting cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed ({})", output.status);
    }
    let found: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata: not JSON")?;
    let packages = found["packages"].as_array().into_iter().flatten();
    let cudarc = packages.into_iter().find(|package| package["name"] == "cudarc");
    let manifest = cudarc.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    folder.map(Path::to_path_buf).context("cudarc is not among the packages of a build with CUDA")
}
