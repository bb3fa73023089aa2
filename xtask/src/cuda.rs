//! `cargo xtask cuda`: building for NVIDIA GPUs, on machines with and without one.

mod build;
mod check;
mod gpu;
mod proof;
mod stand_ins;
mod test;
mod toolkit;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use build::prepare;
pub(crate) use gpu::{Gpu, first, gpus};

/// Variable with the folders in which programs look for CUDA's libraries first.
pub(crate) const LIBRARIES: &str = "DEEPSIM_CUDA_LIBRARIES";

/// Build for NVIDIA GPUs, and say what a machine lacks for it.
#[derive(clap::Args)]
#[command(after_help = "Neither a GPU nor a driver is needed to build; see docs/gpus.md.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch NVIDIA's compiler (104 MB, 271 MB unpacked), where none is installed
    Setup(toolkit::Arguments),
    /// Build the programs with CUDA; they start on machines without it too
    Build(build::Arguments),
    /// Run the tests of the GPU code: on the GPU, or without one on an emulator
    Test(test::Arguments),
    /// Look at this machine's GPU, driver and libraries
    Check,
    Proof(proof::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Setup(arguments) => toolkit::setup(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Check => check::run(),
        Command::Proof(arguments) => proof::run(arguments),
    }
}
