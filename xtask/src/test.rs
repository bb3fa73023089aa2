//! `cargo xtask test`

use anyhow::Result;

use crate::{process, workspace};

/// Run all tests: of every crate, of the documentation's examples, and across crates.
///
/// Optimised, because numeric code without optimisation is 50 times slower; the tests, the smoke
/// run and the program share one build. The tests of xtask and of the emulator of CUDA are quick as they are,
/// and share the build of this program. No test uses the network.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                  all tests
  cargo xtask test shared           only those that need real data (CONTRIBUTING.md), with what they print")]
pub(crate) struct Arguments {
    /// Run only tests whose names contain one of these, and show what they print
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

/// Runs `cargo test` for these, and for all others, to the end even where a test fails.
///
/// # Errors
/// If a test failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let words = &arguments.words[..];
    let mut here = workspace::cargo(&["test", "--no-fail-fast"]);
    here.args(["-p", "xtask", "-p", "cuda-emulator"]);
    let mut others = workspace::cargo(&workspace::optimised("test"));
    others.arg("--no-fail-fast");
    for command in [&mut here, &mut others] {
        if !words.is_empty() {
            command.args(["--", "--nocapture"]).args(words);
        }
    }
    let first = process::run(&mut here, "tests");
    process::run(&mut others, "tests").and(first)
}
