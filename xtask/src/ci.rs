//! `cargo xtask ci`

use std::process::Stdio;
use std::time::Instant;

use anyhow::Result;

use crate::{process, prose, test, workspace};

/// Everything a change must pass: format, lints, tests, documentation, dependencies.
///
/// Cheapest checks first. `cargo deny` is skipped, with a line that says so, where it is not
/// installed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out `cargo xtask test`, for a script that has run it already
    #[arg(long)]
    without_tests: bool,
}

/// Runs every check; the first that fails ends it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    check("format", &["fmt", "--all", "--check"], &[])?;
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    check("lints", &clippy, &[])?;
    if !arguments.without_tests {
        process::say("== tests");
        test::run(&test::Arguments { words: Vec::new() })?;
    }
    // Unit tests take every instruction set of the machine; here all operations do.
    for isa in ["avx2", "portable"] {
        let ops = [&workspace::optimised("test")[..], &["--test", "ops"]].concat();
        check(&format!("tests with {isa} only"), &ops, &[("DEEPSIM_ISA", isa)])?;
    }
    // Features that are off by default, except those for GPUs and MPI. They are not optimised,
    // because the hub's 400 crates would take ten minutes on two cores; candle-nn is among them, so
    // that the feature `nn` costs little here. The build of the tests also runs the lints, because
    // checking all of these crates first would take another four minutes.
    let features = "deepsim/formats,deepsim/hub,deepsim-ops/nn";
    let packages =
        ["-p", "deepsim-data", "-p", "deepsim-fetch", "-p", "deepsim-ops", "-p", "deepsim"];
    let every = [&packages[..], &["--features", features]].concat();
    // Environment that `cargo clippy` sets.
    let lints = [("RUSTC_WORKSPACE_WRAPPER", "clippy-driver"), ("CLIPPY_ARGS", "-Dwarnings")];
    let tests =
        ["--lib", "--test", "decode", "--test", "parquet_files", "--test", "hub", "--test", "nn"];
    let tests = &[&tests[..], &["--bin", "deepsim", "--example", "nn_classifier"]].concat();
    for (what, of) in [("lints and tests", &tests[..]), ("examples", &["--doc"])] {
        let test = [&["test"][..], &every, of].concat();
        check(
            &format!("{what} of data, fetch, ops and the program with every feature"),
            &test,
            &lints,
        )?;
    }
    // Programs for candle, with times in turn with candle's own layers.
    check("examples", &["test", "--release", "-p", "deepsim-examples"], &lints)?;
    let doc = ["doc", "--release", "--no-deps", "--workspace"];
    check("documentation", &doc, &[("RUSTDOCFLAGS", "-D warnings")])?;
    if deny_is_installed() {
        // Not the advisories: they need the network, and change while the tree does not.
        check("dependencies", &["deny", "check", "bans", "licenses", "sources"], &[])?;
    } else {
        process::say("== dependencies: skipped, cargo-deny is not installed");
    }
    prose::tell()?;
    process::say("== all checks passed");
    Ok(())
}

fn check(what: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    process::say(&format!("== {what}"));
    let start = Instant::now();
    let mut command = workspace::cargo(arguments);
    command.envs(variables.iter().copied());
    process::run(&mut command, what)?;
    process::say(&format!("== {what}: {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

fn deny_is_installed() -> bool {
    let mut command = workspace::cargo(&["deny", "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
