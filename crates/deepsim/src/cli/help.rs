//! The help: commands in groups by what people want to do.

use clap::Command;

use super::exit;

/// Groups of commands, in the order of the help.
pub(crate) const GROUPS: [(&str, &[&str]); 5] = [
    ("Train", &["train", "plan", "replay", "diff-runs", "curves"]),
    ("Measure", &["eval", "compare", "probe"]),
    ("Make pictures", &["invert", "sample", "optimise"]),
    ("Reproduce the paper", &["reproduce", "status", "report"]),
    ("Get data and weights", &["download", "import", "data"]),
];

/// Adds the groups, and the exit codes to the help of every command.
pub(crate) fn complete(command: Command) -> Command {
    let groups = groups(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\
         `deepsim help COMMAND` describes a command.\n\nOptions:\n{{options}}{{after-help}}"
    );
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let add = |command: Command, name: String| {
        command.mut_subcommand(name, |command| command.after_help(exit::help()))
    };
    names.into_iter().fold(command.help_template(template).after_help(exit::help()), add)
}

/// One paragraph for each group, one line for each command.
fn groups(command: &Command) -> String {
    let width = command.get_subcommands().map(|command| command.get_name().len()).max();
    let width = width.unwrap_or(0);
    let line = |name: &&str| {
        let about = command.find_subcommand(name).and_then(Command::get_about);
        format!("  {name:width$}  {}\n", about.map(ToString::to_string).unwrap_or_default())
    };
    let group = |(title, names): &(&str, &[&str])| {
        format!("{title}:\n{}\n", names.iter().map(line).collect::<String>())
    };
    GROUPS.iter().map(group).collect()
}
