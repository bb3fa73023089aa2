//! `cargo xtask reproduce`, `status` and `download`: build the program and start it with the same arguments.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cuda;
use crate::process;
use crate::workspace;

/// Arguments passed to the program unchanged.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the program; --help describes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    words: Vec<OsString>,
}

/// Builds the program, for a GPU if the arguments ask for one, and runs its subcommand.
///
/// # Errors
/// If it cannot be built, or fails: with its exit code.
pub(crate) fn run(subcommand: &str, Arguments { words }: &Arguments) -> Result<()> {
    let target = workspace::target_dir()?;
    let mut build = workspace::cargo(&workspace::optimised("build"));
    build.args(["--bin", "deepsim"]).arg("--target-dir").arg(&target);
    if wants_gpu(words) {
        build.args(["--features", "deepsim/cuda"]);
        cuda::prepare(&mut build, None).context("--device cuda")?;
    }
    process::run(&mut build, "build")?;
    let mut program = Command::new(workspace::binary(&target, "deepsim"));
    program.arg(subcommand).args(words);
    let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    program.env("DEEPSIM_COMMAND", format!("cargo xtask {}", typed.collect::<Vec<_>>().join(" ")));
    program.envs(workspace::git_commit().map(|commit| ("DEEPSIM_COMMIT", commit)));
    // Results are in the workspace, wherever the command is given.
    let elsewhere = std::env::current_dir().is_ok_and(|folder| folder != workspace::root());
    if elsewhere && std::env::var_os("DEEPSIM_OUT").is_none() {
        program.env("DEEPSIM_OUT", workspace::root().join("out"));
    }
    process::hand_over(&mut program)
}

/// True for `--device cuda` and `--device=cuda`, unless nothing is computed.
fn wants_gpu(words: &[OsString]) -> bool {
    if words.iter().any(|word| ["--dry-run", "--help", "-h"].iter().any(|idle| word == idle)) {
        return false;
    }
    let pair = words.windows(2).any(|pair| pair[0] == "--device" && pair[1] == "cuda");
    pair || words.iter().any(|word| word == "--device=cuda")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_asked_for_in_two_ways() {
        let wants =
            |words: &[&str]| wants_gpu(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(wants(&["all", "--device", "cuda"]) && wants(&["--device=cuda"]));
        assert!(!wants(&["--device", "cpu"]) && !wants(&["cuda"]));
        assert!(!wants(&["--device", "cuda", "--dry-run"]) && !wants(&["--device=cuda", "--help"]));
    }
}
