//! `cargo xtask test`

use anyhow::Result;

use crate::{process, workspace};

/// Run all tests: of every crate, of the documentation's examples, and across crates.
///
/// Optimised, because numeric code without optimisation is 50 times slower; the tests, the smoke
/// run and the programs share one build. No test uses the network.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs `cargo test --release --workspace`.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    let mut command = workspace::cargo(&["test", "--release", "--workspace"]);
    process::run(&mut command, "tests")
}
