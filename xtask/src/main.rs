//! `cargo xtask`: the workspace's commands.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@deepsim`] | `cargo xtask reproduce`, `status`, `download`: starting the program |
//! | [`mod@test`] | `cargo xtask test` |
//! | [`ci`] | `cargo xtask ci` |
//! | [`mod@bench`] | `cargo xtask bench`: speed beside PyTorch's |
//! | [`cuda`] | `cargo xtask cuda`: building for NVIDIA GPUs |
//! | [`mpi`] | `cargo xtask mpi`: several processes that train together |
//! | [`process`] | starting programs and passing on how they ended |
//! | [`workspace`] | paths |

mod bench;
mod ci;
mod cuda;
mod deepsim;
mod folder;
mod mpi;
mod process;
mod prose;
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
    after_help = "Exit codes: 0 done, 1 failed, 2 bad arguments. A program that fails passes its own on."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reproduce tables and figures: train what is missing, evaluate, write a report
    Reproduce(deepsim::Arguments),
    /// Show where reproductions stand: steps, speed and measures of every run
    Status(deepsim::Arguments),
    /// Download data sets and weights, or verify those that are there
    Download(deepsim::Arguments),
    Cuda(cuda::Arguments),
    Mpi(mpi::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Ci(ci::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Reproduce(arguments) => deepsim::run("reproduce", &arguments),
        Command::Status(arguments) => deepsim::run("status", &arguments),
        Command::Cuda(arguments) => cuda::run(&arguments),
        Command::Mpi(arguments) => mpi::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Download(arguments) => deepsim::run("download", &arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::complain(&format!("error: {error:#}"));
            ExitCode::from(process::exit_code(&error))
        }
    }
}

#[cfg(test)]
#[path = "../../crates/deepsim/tests/support/printed.rs"]
mod printed;

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(words: &[String]) -> Result<(), clap::Error> {
        let name = std::iter::once("cargo xtask".to_owned());
        Arguments::try_parse_from(name.chain(words.iter().cloned())).map(drop)
    }

    #[test]
    fn every_command_of_xtask_that_a_page_prints_is_one() {
        let mut seen = 0;
        for (page, text) in printed::pages() {
            for command in printed::commands(&text).iter().filter(|command| command.xtask) {
                let kind = parse(&command.words).err().map(|error| (error.kind(), error));
                let fine = match &kind {
                    None => true,
                    Some((kind, _)) => {
                        let unfinished = [
                            ErrorKind::MissingRequiredArgument,
                            ErrorKind::MissingSubcommand,
                            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                        ];
                        command.inline && unfinished.contains(kind)
                    }
                };
                let words = command.words.join(" ");
                assert!(fine, "{}: {words}: {kind:?}", page.display());
                seen += 1;
            }
        }
        assert!(seen > 40, "only {seen} commands");
    }

    #[test]
    fn a_wrong_flag_of_xtask_is_found() {
        let words = ["bench", "step", "--roundss", "3"].map(str::to_owned);
        assert!(parse(&words).is_err());
    }
}
