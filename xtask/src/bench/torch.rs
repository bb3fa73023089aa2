//! Finding or installing PyTorch.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{self, Failure, say};
use crate::workspace;

/// The version that is installed, at first without the packages it names: on some systems these are
/// several gigabytes of GPU libraries that are not needed.
const TORCH: &str = "torch==2.15.0";
/// What it and the scripts need besides.
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

/// What the comparison of loaders needs too.
pub(super) const VISION: &[&str] = &["torchvision==0.29.2", "pillow"];

/// The interpreter that has PyTorch, and `extra` packages: the one that was given, else that of an environment below the
/// target folder, which is made if it is not there.
///
/// # Errors
/// If a given interpreter lacks a package, or the environment cannot be made.
pub(super) fn interpreter(given: Option<&Path>, extra: &[&str], target: &Path) -> Result<PathBuf> {
    if let Some(python) = given {
        return resolve(python, extra).map_err(|error| {
            let python = python.display();
            Failure::usage(format!("--python {python}: {error:#}"))
        });
    }
    let folder = target.join("bench-venv");
    let bin = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = folder.join(bin);
    if let Ok(found) = resolve(&python, extra) {
        return Ok(found);
    }
    say(&format!("== install PyTorch in {}", folder.display()));
    let system = if cfg!(windows) { "python" } else { "python3" };
    let mut command = Command::new(system);
    process::run(command.args(["-m", "venv"]).arg(&folder), "making a Python environment")?;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--no-deps", TORCH]).args(BESIDES).args(extra);
    process::run(&mut command, "installing PyTorch")?;
    if let Ok(found) = resolve(&python, extra) {
        return Ok(found);
    }
    // On Linux with x86-64 the common package wants its GPU libraries even to start on a CPU.
    say("== PyTorch does not start without its GPU libraries: install them, several gigabytes");
    let mut command = Command::new(&python);
    process::run(command.args(["-m", "pip", "install", TORCH]), "installing PyTorch's libraries")?;
    resolve(&python, extra).context(
        "PyTorch was installed but does not start; name an interpreter that has it by --python",
    )
}

/// The program itself behind a shim or link, if it can import what the scripts need.
fn resolve(python: &Path, extra: &[&str]) -> Result<PathBuf> {
    let vision = if extra.is_empty() { "" } else { ", torchvision, PIL" };
    let script =
        format!("import sys, torch, numpy, safetensors.torch{vision}; print(sys.executable)");
    let mut command = Command::new(python);
    command.args(["-c", &script]).stdin(Stdio::null());
    let output =
        command.output().with_context(|| format!("starting {}", process::shown(&command)))?;
    process::check_interrupted()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        bail!("{}", last.unwrap_or("no PyTorch there"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// A script of `xtask/bench`, ready to be given its arguments.
pub(super) fn script(python: &Path, name: &str, threads: usize) -> Command {
    let mut command = Command::new(python);
    command.arg(workspace::root().join("xtask/bench").join(name));
    command.args(["--threads", &threads.to_string()]);
    command.env("OMP_NUM_THREADS", threads.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The server of single operations.
pub(super) const OPS: (&str, &str) = ("deepsim-ops", "op_server");
/// The server of training steps.
pub(super) const STEP: (&str, &str) = ("deepsim-train", "step_server");

/// One of our own servers with its threads; candle's own pool only costs.
pub(super) fn example(target: &Path, name: &str, threads: usize) -> Command {
    let path = target.join("release/examples").join(name);
    let mut command = Command::new(path.with_extension(env::consts::EXE_EXTENSION));
    command.env("RAYON_NUM_THREADS", threads.to_string()).env("CANDLE_NUM_THREADS", "1");
    command
}

/// Builds our servers: packages and their examples.
pub(super) fn build(target: &Path, servers: &[(&str, &str)]) -> Result<()> {
    say("== build");
    let mut command = workspace::cargo(&["build", "--release"]);
    for (package, example) in servers {
        command.args(["-p", package, "--example", example]);
    }
    process::run(command.arg("--target-dir").arg(target), "build")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_without_pytorch_is_a_bad_argument() {
        let error = interpreter(Some(Path::new("no such python")), &[], Path::new("target"));
        let error = error.expect_err("there is no such interpreter");
        assert_eq!(process::exit_code(&error), process::USAGE);
        assert!(error.to_string().contains("--python no such python"), "{error}");
    }
}
