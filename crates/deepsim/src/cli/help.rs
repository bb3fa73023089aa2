//! The help: commands in groups by what people want to do, each with examples.

use clap::Command;

use super::exit;

/// Groups of commands, in the order of the help.
pub(crate) const GROUPS: [(&str, &[&str]); 5] = [
    ("Train", &["train", "recipes", "plan", "replay", "diff-runs", "curves"]),
    ("Measure", &["eval", "compare", "probe"]),
    ("Make pictures", &["invert", "sample", "features", "generate", "optimise"]),
    ("Reproduce the paper", &["reproduce", "status", "report"]),
    ("Get data and weights", &["download", "import", "data"]),
];

/// Examples of each command, with which its help ends.
pub(crate) const EXAMPLES: [(&str, &[&str]); 20] = [
    (
        "train",
        &[
            "deepsim train autoencoder-se --out run                    on the photographs that come with the project",
            "deepsim train autoencoder-exemplar-cnn-conv3 --data photos --out run --resume",
            "deepsim train inversion-conv5 --data ILSVRC --weights DIR --out run --set batch=8",
        ],
    ),
    (
        "plan",
        &[
            "deepsim plan vae-small-se                                 with five measured steps",
            "deepsim plan inversion-fc6 --measure 0 --json             counted only",
        ],
    ),
    (
        "recipes",
        &[
            "deepsim recipes",
            "deepsim recipes autoencoder-se                            its text, to begin a recipe of your own",
            "deepsim recipes --keys",
        ],
    ),
    ("replay", &["deepsim replay run/failures/step-0000123"]),
    ("diff-runs", &["deepsim diff-runs run other"]),
    ("curves", &["deepsim curves SE=out/quick/runs/autoencoder-se --out curves.html"]),
    (
        "eval",
        &[
            "deepsim eval error sharpness grid --run run",
            "deepsim eval error --run run --space efficientnet-lite0:STAGE5 --limit 100",
            "deepsim eval svm --run run --data photos --set svm.draws=10",
        ],
    ),
    (
        "compare",
        &[
            "deepsim compare a.png b.png",
            "deepsim compare a.png b.png --weights DIR --measure lpips-alex --map where.png",
            "deepsim compare photos reconstructions --csv pairs.csv    two folders, pair by pair",
            "deepsim compare photos samples --distribution efficientnet-lite0:STAGE5",
        ],
    ),
    ("probe", &["deepsim probe pixels exemplar-cnn:CONV3 exemplar-cnn:CONV3@random"]),
    (
        "invert",
        &[
            "deepsim invert PHOTO.jpg --side 256",
            "deepsim invert PHOTO.jpg --run run --weights DIR",
        ],
    ),
    ("sample", &["deepsim sample --run run -n 64 --truncation 0.8 --out samples.png"]),
    (
        "features",
        &[
            "deepsim features photos --net alexnet --tap CONV3,CONV5 --weights DIR -o f.safetensors",
            "deepsim features photos --tap CONV5 --weights DIR --statistics conv5.safetensors --per-channel",
        ],
    ),
    (
        "generate",
        &[
            "deepsim generate --run run --features f.npy -o pictures",
            "deepsim generate --generator generator-fc6 --weights DIR --features decoded.npy -o pictures",
        ],
    ),
    (
        "optimise",
        &[
            "deepsim optimise --net alexnet --tap CONV1 --tap CONV5 --weights DIR --out inverted",
            "deepsim optimise --generator run --target PHOTO.jpg --tap CONV3,CONV5=2 --weights DIR --out found",
            "deepsim optimise --generator run --unit squeezenet:LOGITS:281 --weights DIR --out found",
        ],
    ),
    (
        "reproduce",
        &[
            "deepsim reproduce                                         section 4.1, in minutes",
            "deepsim reproduce table3 fig3 --data photos --cache kept",
            "deepsim reproduce --scale paper --fetch --dry-run",
        ],
    ),
    ("status", &["deepsim status", "deepsim status out/paper"]),
    ("report", &["deepsim report --run SE=out/se --target table3 --out out/report"]),
    (
        "data",
        &[
            "deepsim data check photos --json",
            "deepsim data pack photos --shards shards --resize 256 --test-share 0.1",
        ],
    ),
    ("download", &["deepsim download --list", "deepsim download stl10 alexnet"]),
    (
        "import",
        &[
            "deepsim import bvlc_reference_caffenet.caffemodel --net caffenet",
            "deepsim import checkpoint.pth --list",
        ],
    ),
];

/// Examples with which the help of the program ends.
pub(crate) const FIRST: [&str; 3] = [
    "deepsim reproduce                                         section 4.1 of the paper, in minutes",
    "deepsim train autoencoder-exemplar-cnn-conv3 --data photos --out run",
    "deepsim eval error sharpness grid --run run --data photos",
];

/// Returns the end of a help: the exit codes, then examples.
fn ending(examples: impl Iterator<Item = &'static str>) -> String {
    let lines: String = examples.map(|example| format!("\n  {example}")).collect();
    format!("{}\n\nExamples:{lines}", exit::help())
}

/// Returns the examples of a command.
fn examples(name: &str) -> impl Iterator<Item = &'static str> {
    let own = EXAMPLES.iter().find(|(of, _)| *of == name);
    own.into_iter().flat_map(|(_, examples)| examples.iter().copied())
}

/// Returns the names of the commands within a command.
fn names(command: &Command) -> Vec<String> {
    command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Adds the groups, and exit codes and examples to the help of every command.
pub(crate) fn complete(command: Command) -> Command {
    let groups = groups(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\
         `deepsim help COMMAND` describes a command.\n\nOptions:\n{{options}}{{after-help}}"
    );
    let names = names(&command);
    let first = ending(FIRST.into_iter());
    let command = command.help_template(template).after_help(first);
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(&name, |own| with_end(&name, own)))
}

/// Adds the end of the help to a command and to those within it.
fn with_end(name: &str, command: Command) -> Command {
    let within = names(&command);
    within.into_iter().fold(command.after_help(ending(examples(name))), |command, part| {
        let start = format!("deepsim {name} {part} ");
        let own = examples(name).filter(|example| example.starts_with(&start));
        let end = ending(own);
        command.mut_subcommand(part, |part| part.after_help(end))
    })
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
