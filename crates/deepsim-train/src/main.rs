//! `deepsim-train`: trains one generator, or one comparator, from a recipe.
#![expect(clippy::print_stderr, reason = "a program talks to its user")]

mod device;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use deepsim_train::TrainError;
use deepsim_train::comparator::{self, ComparatorRecipe};
use deepsim_train::log::Record;
use deepsim_train::recipe::Recipe;
use deepsim_train::run::{Event, Outcome, Requests, RunOptions, run};
use device::{DeviceError, DeviceKind};
use indicatif::{ProgressBar, ProgressStyle};

/// Train a DeePSiM generator.
///
/// The recipe says what is trained: sizes, the weights of the image, feature and adversarial terms,
/// the comparator, the optimiser. The run folder receives the checked plan (plan.toml), the log of
/// every term (log.jsonl, and TensorBoard event files), grids of reconstructions (grids/), a
/// checkpoints from which the run can be resumed bit for bit (checkpoints/), and the trained generator
/// (generator.safetensors).
///
/// Ctrl-C or SIGTERM saves a checkpoint and stops, a second one stops at once; the same command with
/// --resume goes on. SIGUSR1 saves a checkpoint and goes on.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 finished, 1 failed, 2 bad arguments or recipe, \
3 results could not be written, \
130 interrupted after saving a checkpoint, 131 interrupted twice, without saving."
)]
struct Arguments {
    /// What to train: a TOML file, see crates/deepsim-train/recipes
    recipe: PathBuf,
    /// Run folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Data in STL-10's binary format [default: built-in procedural scenes]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long, requires = "data")]
    without_duplicates: bool,
    /// Folder with comparators' weights [default: random weights]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Continue the run in the folder, if there is one
    #[arg(long)]
    resume: bool,
    /// Override a key of the recipe, e.g. --set steps=1000 --set adam.learning_rate=1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // candle spins a thread pool of its own beside rayon's; it costs more than it brings here.
    // SAFETY: no other thread has been started yet.
    #[expect(clippy::disallowed_methods, reason = "the only way to configure candle's pool")]
    unsafe {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    deepsim_ops::keep_freed_memory();
    match train(&arguments) {
        Ok(Outcome::Finished) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted(step)) => {
            eprintln!("interrupted: checkpoint saved at step {step}; go on with --resume");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<DeviceError>() {
        return error.code;
    }
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::Recipe { .. }) => 2,
        Some(TrainError::Write(_)) => 3,
        _ => 1,
    }
}

fn train(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let device = arguments.device.open()?;
    if let Some(folder) = &arguments.weights
        && !folder.is_dir()
    {
        anyhow::bail!("--weights {}: no such folder", folder.display());
    }
    let threads = arguments.threads.unwrap_or(0);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let recipe = AnyRecipe::read(&arguments.recipe, &arguments.set)?;
    let requests = Requests::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal, with the flag already set, ends the program at once.
        signal_hook::flag::register_conditional_shutdown(signal, 131, requests.stop.clone())?;
        signal_hook::flag::register(signal, requests.stop.clone())?;
    }
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, requests.save.clone())?;
    let options = RunOptions {
        out: arguments.out.clone(),
        data: arguments.data.clone(),
        without_duplicates: arguments.without_duplicates,
        weights: arguments.weights.clone(),
        resume: arguments.resume,
        device,
        workers: 1,
    };
    let mut progress = Progress::new();
    let tell = |event: Event<'_>| progress.tell(&event);
    let outcome = match &recipe {
        AnyRecipe::Generator(recipe) => run(recipe, &options, &requests, tell)?,
        AnyRecipe::Comparator(recipe) => comparator::run(recipe, &options, &requests, tell)?,
    };
    progress.finish();
    Ok(outcome)
}

/// What can be trained.
enum AnyRecipe {
    Generator(Box<Recipe>),
    Comparator(Box<ComparatorRecipe>),
}

impl AnyRecipe {
    fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        // A file that cannot be read is a generator's: its error says so.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Ok(match ComparatorRecipe::recognises(&text) {
            true => Self::Comparator(Box::new(ComparatorRecipe::read(path, overrides)?)),
            false => Self::Generator(Box::new(Recipe::read(path, overrides)?)),
        })
    }
}

/// A bar on a terminal, a line every few seconds elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    start: (Instant, u64),
    last_line: Option<Instant>,
}

impl Progress {
    const LINE_EVERY: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Self { bar: None, steps: 0, start: (Instant::now(), 0), last_line: None }
    }

    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { heading, steps, from } => self.started(heading, *steps, *from),
            Event::Step(record) => self.step(record),
            Event::Warning(text) => match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("warning: {text}")),
                None => eprintln!("warning: {text}"),
            },
            Event::Saved(step) => {
                if self.bar.is_none() {
                    eprintln!("checkpoint at step {step}");
                }
            }
        }
    }

    fn started(&mut self, heading: &[String], steps: u64, from: u64) {
        heading.iter().for_each(|line| eprintln!("{line}"));
        if from > 0 {
            eprintln!("resuming after step {from}");
        }
        self.steps = steps;
        self.start = (Instant::now(), from);
        if std::io::stderr().is_terminal() {
            let style = "{bar:30} {pos}/{len} {elapsed}<{eta} {msg}";
            let bar = ProgressBar::new(steps).with_position(from);
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()),
            );
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, record: &Record) {
        let text = format!("{:.0} images/s {}", record.items_per_s, record.summary());
        if let Some(bar) = &self.bar {
            bar.set_position(record.step);
            bar.set_message(text);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= Self::LINE_EVERY);
        if due || record.step == self.steps {
            let (start, from) = self.start;
            let per_step = start.elapsed().as_secs_f64() / (record.step - from).max(1) as f64;
            let eta = per_step * (self.steps - record.step) as f64;
            eprintln!("step {}/{} ETA {eta:.0} s, {text}", record.step, self.steps);
            self.last_line = Some(Instant::now());
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
