//! `cargo xtask test`

use anyhow::Result;

use crate::{process, workspace};

/// The command for all others. Which crates it names decides with which features what they rest on is built.
pub(crate) const OPTIMISED: [&str; 7] =
    ["test", "--release", "--workspace", "--exclude", "xtask", "--exclude", "cuda-emulator"];

/// Run all tests: of every crate, of the documentation's examples, and across crates.
///
/// Optimised, because numeric code without optimisation is 50 times slower; the tests, the smoke
/// run and the programs share one build. The tests of xtask, of its emulator of CUDA and of downloads are
/// quick as they are, and share that of this program. No test uses the network.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs `cargo test` for these, and for all others.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    let mut here = workspace::cargo(&["test", "-p", "xtask", "-p", "cuda-emulator"]);
    here.args(["-p", "deepsim-data", "--features", "deepsim-data/fetch"]);
    process::run(here.args(["--lib", "--bins", "--test", "fetch", "--test", "seeds"]), "tests")?;
    process::run(&mut workspace::cargo(&OPTIMISED), "tests")
}
