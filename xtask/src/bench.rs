//! `cargo xtask bench`
//!
//! | module | holds |
//! |---|---|
//! | [`cost`] | layers, weights and FLOPs, as the library counts them |
//! | [`trainings`] | trainings by name, with their recipes |
//! | [`statistics`] | medians, ratios and their spread |
//! | [`server`] | talking to the programs that do the work |
//! | [`torch`] | finding or installing PyTorch |
//! | [`rounds`] | asking all servers in turn |
//! | [`step`] | `cargo xtask bench step` |
//! | [`ops`] | `cargo xtask bench ops` |
//! | [`perceptual`] | `cargo xtask bench perceptual` |
//! | [`data`] | `cargo xtask bench data` |
//! | [`report`] | machine, versions, tables, files |

mod cost;
mod data;
mod machine;
mod ops;
mod perceptual;
mod report;
mod rounds;
mod server;
mod statistics;
mod step;
mod torch;
mod trainings;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

/// Compare speed with PyTorch, alternately in one run.
///
/// PyTorch is installed below cargo's target folder if no --python is given. Numbers from a machine
/// that does anything else at the same time are worthless; see docs/benchmarks/README.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Step(step::Arguments),
    Ops(ops::Arguments),
    Perceptual(perceptual::Arguments),
    Data(data::Arguments),
}

/// Options of every benchmark.
#[derive(clap::Args)]
struct Common {
    /// Number of times each contestant is timed; medians are reported [default: 15 of step, 7 of
    /// the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Python interpreter that has torch, numpy and safetensors; torchvision for data [default: one is set up]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Write the numbers to docs/benchmarks too
    #[arg(long)]
    save: bool,
}

/// Folders of CUDA's libraries in the packages of an interpreter; `None` if there are none.
pub(crate) fn cuda_libraries(python: &std::path::Path) -> Option<std::ffi::OsString> {
    torch::libraries(python)
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Step(arguments) => step::run(arguments),
        Command::Ops(arguments) => ops::run(arguments),
        Command::Perceptual(arguments) => perceptual::run(arguments),
        Command::Data(arguments) => data::run(arguments),
    }
}
