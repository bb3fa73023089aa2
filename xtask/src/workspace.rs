//! Paths of the workspace, and cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Returns the root of the workspace. `cargo run` tells the folder of this package, also after a
/// built workspace was moved.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    package.parent().unwrap_or(&package).to_path_buf()
}

/// Returns the folder that cargo builds in: `CARGO_TARGET_DIR`, or `target` in the workspace.
///
/// # Errors
/// If the current folder is gone.
pub(crate) fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).context("CARGO_TARGET_DIR"),
        None => Ok(root().join("target")),
    }
}

/// Returns the cargo command that started this program, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Packages that every optimised build names. Features are unified over these, so that programs,
/// tests and benchmarks share one build of their dependencies. Of the packages that are left out,
/// `deepsim-examples` needs candle-nn, and the others share the build of this program.
const SELECTION: [&str; 7] = [
    "--workspace",
    "--exclude",
    "xtask",
    "--exclude",
    "cuda-emulator",
    "--exclude",
    "deepsim-examples",
];

/// Arguments of a cargo command on the optimised packages.
pub(crate) fn optimised(command: &str) -> Vec<&str> {
    [&[command, "--release"], &SELECTION[..]].concat()
}

/// Path of a release binary in a target folder.
pub(crate) fn binary(target: &Path, name: &str) -> PathBuf {
    target.join("release").join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// The commit that is checked out, `+dirty` if files differ from it; `None` outside of git.
pub(crate) fn git_commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    Some(if dirty { commit + "+dirty" } else { commit })
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}
