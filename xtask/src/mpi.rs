//! `cargo xtask mpi`: several processes that train together.

mod check;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::{process, workspace};

/// Build for several processes with MPI, and check that they train as one.
#[derive(clap::Args)]
#[command(after_help = "See docs/gpus.md.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Install what a build needs from Debian's or Ubuntu's packages: Open MPI and libclang (needs root)
    Setup,
    /// Build deepsim with MPI: target/mpi/deepsim
    Build,
    /// Train with two processes, and lose one of them; takes about a minute after the build
    Check(check::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Subcommands::Setup => setup(),
        Subcommands::Build => build().map(|program| process::say(&program.display().to_string())),
        Subcommands::Check(arguments) => check::run(arguments, &build()?),
    }
}

/// Debian's packages for a build.
const PACKAGES: [&str; 3] = ["openmpi-bin", "libopenmpi-dev", "libclang-dev"];

fn setup() -> Result<()> {
    let install = [&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat();
    for arguments in [&["update"][..], &install] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut apt, "installing Open MPI")?;
    }
    Ok(())
}

/// Builds the program; returns where it is.
///
/// # Errors
/// If there is no MPI, or the build fails.
fn build() -> Result<PathBuf> {
    let mut version = Command::new("mpirun");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        bail!(
            "there is no `mpirun`; `cargo xtask mpi setup` installs {} where apt-get does, or install an \
             MPI and libclang another way (docs/gpus.md)",
            PACKAGES.join(", ")
        );
    }
    let mut cargo = workspace::cargo(&workspace::optimised("build"));
    cargo.args(["--bin", PROGRAM]);
    process::run(cargo.args(["--features", "deepsim/mpi"]), "building with MPI")?;
    let target = workspace::target_dir()?;
    // The next ordinary build replaces the program where cargo puts it.
    let program = target.join("mpi").join(PROGRAM);
    let folder = target.join("mpi");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let built = workspace::binary(&target, PROGRAM);
    std::fs::copy(&built, &program).with_context(|| format!("copying {}", built.display()))?;
    Ok(program)
}

const PROGRAM: &str = "deepsim";
