//! `cargo xtask`: the workspace's commands.
//!
//! | module | holds |
//! |---|---|
//! | [`reproduce`] | `cargo xtask reproduce`: trains, evaluates, reports |
//! | [`mod@test`] | `cargo xtask test` |
//! | [`ci`] | `cargo xtask ci` |
//! | [`download`] | `cargo xtask download`: data and weights, verified |
//! | [`mod@bench`] | `cargo xtask bench`: speed beside PyTorch's |
//! | [`cuda`] | `cargo xtask cuda`: building for NVIDIA GPUs |
//! | [`mpi`] | `cargo xtask mpi`: several processes that train together |
//! | [`runs`] | generators to train |
//! | [`status`] | `cargo xtask status`: where a reproduction stands |
//! | [`targets`] | tables and figures, and the runs they need |
//! | [`scale`] | how long each scale trains |
//! | [`plan`] | what is there already, what is to be done, what it costs |
//! | [`process`] | starting programs and passing on how they ended |
//! | [`workspace`] | paths |

mod bench;
mod ci;
mod cuda;
mod download;
mod mpi;
mod plan;
mod process;
mod reproduce;
mod runs;
mod scale;
mod status;
mod targets;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Commands of the DeePSiM workspace.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad arguments, 130 interrupted. A program that \
fails passes its own exit code on."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Reproduce(Box<reproduce::Arguments>),
    Status(status::Arguments),
    Cuda(cuda::Arguments),
    Mpi(mpi::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Ci(ci::Arguments),
    Download(download::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Cuda(arguments) => cuda::run(&arguments),
        Command::Mpi(arguments) => mpi::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Download(arguments) => download::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::complain(&format!("error: {error:#}"));
            ExitCode::from(process::exit_code(&error))
        }
    }
}
