//! `deepsim`: trains, measures, draws, downloads and reports.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to its user")]

mod cli;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cli::{
    compare, curves, data, diff_runs, download, eval, exit, features, generate, help, import,
    invert, optimise, place, plan, probe, recipes, replay, report, reproduce, sample, status,
    telemetry, train,
};

/// Training and evaluation of image generators with perceptual similarity metrics.
#[derive(Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    telemetry: telemetry::Options,
}

/// One command, and the module of its name in `cli`, per line. A new one needs a group in `cli/help.rs` too.
#[derive(Subcommand)]
enum Command {
    Train(train::Arguments),
    Plan(plan::Arguments),
    Recipes(recipes::Arguments),
    Replay(replay::Arguments),
    DiffRuns(diff_runs::Arguments),
    Curves(curves::Arguments),
    Eval(eval::Arguments),
    Compare(compare::Arguments),
    Probe(probe::Arguments),
    Invert(invert::Arguments),
    Sample(sample::Arguments),
    Features(features::Arguments),
    Generate(generate::Arguments),
    Optimise(Box<optimise::Arguments>),
    Reproduce(Box<reproduce::Arguments>),
    Status(status::Arguments),
    Report(report::Arguments),
    Data(data::Arguments),
    Download(download::Arguments),
    Import(import::Arguments),
}

/// Runs a command; returns its exit code.
fn run(Arguments { command, telemetry }: &Arguments) -> anyhow::Result<u8> {
    match command {
        Command::Train(arguments) => return train::run(arguments),
        Command::DiffRuns(arguments) => return diff_runs::run(arguments),
        Command::Data(arguments) => return data::run(arguments),
        Command::Optimise(arguments) => return optimise::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Recipes(arguments) => recipes::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Curves(arguments) => curves::run(arguments),
        Command::Eval(arguments) => eval::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Invert(arguments) => invert::run(arguments),
        Command::Sample(arguments) => sample::run(arguments),
        Command::Features(arguments) => features::run(arguments),
        Command::Generate(arguments) => generate::run(arguments),
        Command::Reproduce(arguments) => reproduce::run(arguments, telemetry.log_format),
        Command::Status(arguments) => status::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Download(arguments) => download::run(arguments),
        Command::Import(arguments) => import::run(arguments),
    }?;
    Ok(exit::DONE)
}

fn main() -> ExitCode {
    let matches = help::complete(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Before the trace has a thread.
    if matches!(arguments.command, Command::Train(_) | Command::Plan(_) | Command::Replay(_)) {
        place::prepare_training();
    }
    let checked = place::kernels();
    let telemetry = match checked.and_then(|_| telemetry::start(&arguments.telemetry)) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(exit::code(&error));
        }
    };
    deepsim_ops::keep_freed_memory();
    let code = run(&arguments).unwrap_or_else(|error| {
        telemetry::failed(&error);
        exit::code(&error)
    });
    drop(telemetry);
    ExitCode::from(code)
}

#[cfg(test)]
#[path = "../tests/support/printed.rs"]
mod printed;

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// Commands of `cargo xtask` that start this program with the same arguments.
    const HANDED_ON: [&str; 3] = ["reproduce", "status", "download"];

    /// Parses the words of a command line, and checks recipes, their keys, measures and their options.
    fn parse(words: &[String]) -> Result<(), anyhow::Error> {
        let words = std::iter::once("deepsim").chain(words.iter().map(String::as_str));
        let matches = help::complete(Arguments::command()).try_get_matches_from(words)?;
        match Arguments::from_arg_matches(&matches)?.command {
            Command::Train(arguments) => arguments.check(),
            Command::Plan(arguments) => arguments.check(),
            Command::Eval(arguments) => arguments.measures().map(drop),
            _ => Ok(()),
        }
    }

    #[test]
    fn every_command_that_a_page_prints_is_one_of_this_program() {
        let mut seen = 0;
        for (page, text) in printed::pages() {
            for command in printed::commands(&text) {
                if command.xtask && !HANDED_ON.contains(&command.words[0].as_str()) {
                    continue;
                }
                let Err(error) = parse(&command.words) else {
                    seen += 1;
                    continue;
                };
                let kind = error.downcast_ref::<clap::Error>().map(clap::Error::kind);
                let unfinished = [
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::MissingSubcommand,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ];
                let fine = command.inline && kind.is_some_and(|kind| unfinished.contains(&kind));
                assert!(fine, "{}: {}: {error}", page.display(), command.words.join(" "));
            }
        }
        assert!(seen > 60, "only {seen} commands");
    }

    #[test]
    fn a_wrong_flag_recipe_key_or_measure_in_a_page_is_found() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in [
            "train autoencoder-se --outt RUN",
            "train autoencoder-sf --out RUN",
            "train autoencoder-se --out RUN --set stepps=1",
            "eval errors --run RUN",
            "eval grid --run RUN --set grid.image=1",
            "reproduce table33",
            "evals error",
        ] {
            assert!(parse(&words(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples_that_parse() {
        let command = help::complete(Arguments::command());
        assert_eq!(help::EXAMPLES.len(), command.get_subcommands().count());
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            let examples = help::EXAMPLES.iter().find(|(of, _)| *of == name);
            let (_, examples) = examples.unwrap_or_else(|| panic!("{name} has no example"));
            assert!(examples.iter().all(|example| example.starts_with(&format!("deepsim {name}"))));
            let within = subcommand.get_subcommands();
            for command in within.filter(|own| own.get_name() != "help").chain([subcommand]) {
                let end = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(end.contains(&format!("\n\nExamples:\n  deepsim {name}")), "{end}");
            }
        }
        let all = help::EXAMPLES.iter().flat_map(|(_, examples)| examples.iter());
        for example in all.chain(&help::FIRST) {
            // An explanation follows two spaces.
            let line = example.split("  ").next().unwrap_or_default();
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            parse(&words[1..]).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }

    #[test]
    fn every_command_is_in_exactly_one_group_of_the_help() {
        let command = Arguments::command();
        for name in command.get_subcommands().map(clap::Command::get_name) {
            let all = help::GROUPS.iter().flat_map(|(_, names)| names.iter());
            assert_eq!(all.filter(|&&known| known == name).count(), 1, "{name}");
        }
        let grouped = help::GROUPS.iter().map(|(_, names)| names.len()).sum::<usize>();
        assert_eq!(grouped, command.get_subcommands().count(), "a group names what is no command");
    }

    #[test]
    fn commands_are_well_formed_and_each_says_in_one_line_what_it_does() {
        let command = help::complete(Arguments::command());
        command.clone().debug_assert();
        for subcommand in command.get_subcommands() {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((10..=100).contains(&about.len()), "{}: {about}", subcommand.get_name());
        }
    }
}
