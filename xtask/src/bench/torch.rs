//! PyTorch for the benchmarks: finds or installs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{self, Failure, say};
use crate::{cuda, workspace};

/// The version that is installed, at first without the packages it names: on some systems these are
/// several gigabytes of GPU libraries that are not needed.
const TORCH: &str = "torch==2.15.0";
/// Further packages that it and the scripts need.
const BESIDES: [&str; 11] = [
    "typing_extensions",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "fsspec",
    "filelock",
    "setuptools",
    "numpy",
    "safetensors",
];

/// Parts of PyTorch that a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// PyTorch alone.
    Cpu,
    /// GPU libraries, and a GPU.
    Gpu,
    /// torchvision, for loading images.
    Vision,
}

impl Wants {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &[],
            // candle opens this library; PyTorch's own packages do not include it.
            Self::Gpu => &["nvidia-curand"],
            Self::Vision => &["torchvision==0.29.2", "pillow"],
        }
    }

    /// Returns the Python code with which a script checks its imports.
    fn test(self) -> &'static str {
        match self {
            Self::Cpu => "",
            Self::Gpu => GPU_TEST,
            Self::Vision => "import torchvision, PIL",
        }
    }
}

/// Python code that checks the needs of `torch.compile` on a GPU before anything is built or timed.
const GPU_TEST: &str = "\
import os, shutil, sysconfig, torch
assert torch.cuda.is_available(), 'PyTorch finds no GPU'
import triton
header = os.path.join(sysconfig.get_paths()['include'], 'Python.h')
assert os.path.exists(header), f'torch.compile needs the headers of Python (python3-dev), there is no {header}'
assert any(map(shutil.which, [os.environ.get('CC', 'cc'), 'gcc', 'clang'])), 'torch.compile needs a C compiler'";

/// Returns an interpreter with PyTorch and the packages that are needed besides: the given one, or else that of an
/// environment below the target folder, which is made if it does not exist.
///
/// # Errors
/// If a given interpreter lacks a package, or the environment cannot be made.
pub(super) fn interpreter(given: Option<&Path>, wants: Wants, target: &Path) -> Result<PathBuf> {
    if let Some(python) = given {
        return resolve(python, wants).map_err(|error| {
            let python = python.display();
            Failure::usage(format!("--python {python}: {error:#}"))
        });
    }
    let folder = target.join("bench-venv");
    let bin = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = folder.join(bin);
    if let Ok(found) = resolve(&python, wants) {
        return Ok(found);
    }
    say(&format!("== install PyTorch in {}", folder.display()));
    let system = if cfg!(windows) { "python" } else { "python3" };
    let mut command = Command::new(system);
    process::run(command.args(["-m", "venv"]).arg(&folder), "making a Python environment")?;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--no-deps", TORCH]).args(BESIDES).args(wants.packages());
    process::run(&mut command, "installing PyTorch")?;
    if let Ok(found) = resolve(&python, wants) {
        return Ok(found);
    }
    // On Linux with x86-64 the common package wants its GPU libraries even to start on a CPU.
    say(
        "== PyTorch does not start, or finds no GPU, without its GPU libraries: install them, several gigabytes",
    );
    let mut command = Command::new(&python);
    process::run(command.args(["-m", "pip", "install", TORCH]), "installing PyTorch's libraries")?;
    resolve(&python, wants).context(
        "PyTorch was installed but cannot be used; name an interpreter whose PyTorch can by --python",
    )
}

/// The program itself behind a shim or link, if it can import what the scripts need.
fn resolve(python: &Path, wants: Wants) -> Result<PathBuf> {
    let script = format!(
        "import sys, torch, numpy, safetensors.torch\n{}\nprint(sys.executable)",
        wants.test()
    );
    let mut command = Command::new(python);
    command.args(["-c", &script]).stdin(Stdio::null());
    let output =
        command.output().with_context(|| format!("starting {}", process::shown(&command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        bail!("{}", last.unwrap_or("no PyTorch there"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// CUDA numbers GPUs as `nvidia-smi` does, instead of the fastest first.
const DEVICE_ORDER: (&str, &str) = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID");

/// Folders of CUDA's libraries in the packages of an interpreter, so that both sides use the same; `None` if
/// there are none.
pub(super) fn libraries(python: &Path) -> Option<std::ffi::OsString> {
    const FOLDERS: &str = "\
import glob, nvidia, os
print(os.pathsep.join(sorted(f for p in nvidia.__path__ for f in glob.glob(p + '/*/lib'))))";
    let output = Command::new(python).args(["-c", FOLDERS]).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then(|| text.into())
}

/// A script of `xtask/bench`, ready to be given its arguments.
pub(super) fn script(python: &Path, name: &str, threads: usize) -> Command {
    let mut command = Command::new(python);
    command.arg(workspace::root().join("xtask/bench").join(name));
    command.args(["--threads", &threads.to_string()]);
    command.env("OMP_NUM_THREADS", threads.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env(DEVICE_ORDER.0, DEVICE_ORDER.1);
    command
}

/// The server of single operations.
pub(super) const OPS: (&str, &str) = ("deepsim-ops", "op_server");
/// The server of training steps.
pub(super) const STEP: (&str, &str) = ("deepsim-train", "step_server");

/// The server of perceptual losses.
pub(super) const PERCEPTUAL: (&str, &str) = ("deepsim-eval", "perceptual_server");

/// Returns the path at which cargo puts one of our own servers.
pub(super) fn path(target: &Path, name: &str) -> PathBuf {
    target.join("release/examples").join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// One of our own servers in the usual place with its threads.
pub(super) fn example(target: &Path, name: &str, threads: usize) -> Command {
    ours(&path(target, name), threads)
}

/// One of our own servers with its threads; candle's own pool only costs.
pub(super) fn ours(program: &Path, threads: usize) -> Command {
    let mut command = Command::new(program);
    command.env("RAYON_NUM_THREADS", threads.to_string()).env("CANDLE_NUM_THREADS", "1");
    command.env(DEVICE_ORDER.0, DEVICE_ORDER.1);
    command
}

/// Builds our servers, examples of packages, for a GPU too if it is one. Tests have built what they rest on.
pub(super) fn build(target: &Path, servers: &[(&str, &str)], gpu: bool) -> Result<()> {
    say("== build");
    let mut command = workspace::cargo(&workspace::optimised("build"));
    for (package, example) in servers {
        command.args(["--example", example]);
        if gpu {
            command.args(["--features", &format!("{package}/cuda")]);
        }
    }
    if gpu {
        cuda::prepare(&mut command, None)?;
    }
    process::run(command.arg("--target-dir").arg(target), "build")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_without_pytorch_is_a_bad_argument() {
        let error = interpreter(Some(Path::new("no such python")), Wants::Cpu, Path::new("target"));
        let error = error.expect_err("there is no such interpreter");
        assert_eq!(process::exit_code(&error), process::USAGE);
        assert!(error.to_string().contains("--python no such python"), "{error}");
    }
}
