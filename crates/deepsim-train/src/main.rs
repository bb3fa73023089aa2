//! `deepsim-train`: trains one generator, or one comparator, from a recipe.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to its user")]

mod device;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use candle_core::Device;
use clap::{Args, Parser, Subcommand};
use deepsim_train::TrainError;
use deepsim_train::comparator;
use deepsim_train::compare::{Comparison, compare};
use deepsim_train::estimate;
use deepsim_train::failure::replay;
use deepsim_train::recipe::AnyRecipe;
use deepsim_train::run::{Event, Outcome, Requests, RunOptions, run};
use deepsim_train::world::{self, LaunchError, World};
use device::{DeviceError, DeviceKind};
use progress::Progress;

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
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Exit codes: 0 finished, 1 failed, 2 bad arguments or recipe, \
3 results could not be written, \
4 a loss or gradient is not finite, 5 the runs compared differ, \
130 interrupted after saving a checkpoint, 131 interrupted twice, without saving."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: Train,
}

#[derive(Args)]
struct Train {
    /// Run folder to write to
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Continue the run in the folder, if there is one
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    what: What,
}

/// What is trained on what, and where.
#[derive(Args)]
struct What {
    /// What to train: a TOML file, or the name of a built-in recipe (crates/deepsim-run/recipes)
    // Required, and yet absent where a subcommand is given: the parser sees to both.
    #[arg(required = true)]
    recipe: Option<PathBuf>,
    /// Folder with STL-10 in its binary format or ILSVRC-2012 [default: built-in procedural scenes]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long, requires = "data")]
    without_duplicates: bool,
    /// Override a key of the recipe, e.g. --set steps=1000 --set adam.learning_rate=1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// On a GPU, make each step of a generator one operation after the other, and not as a CUDA graph
    #[arg(long)]
    without_graphs: bool,
    #[command(flatten)]
    place: Place,
}

/// Where it is computed, with which weights.
#[derive(Args)]
struct Place {
    /// Folder with comparators' weights [default: random weights]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    /// Print the checked plan of a recipe and what it costs, from some of its steps; writes nothing
    Plan {
        #[command(flatten)]
        what: What,
        /// Steps to measure; with 0 only the plan is checked
        #[arg(long, value_name = "N", default_value_t = 5)]
        measure: usize,
        /// Print one JSON object instead: name, steps, batch, cost with every layer, measured steps
        #[arg(long)]
        json: bool,
    },
    /// Make the step again at which a run stopped because a loss or gradient was not finite
    Replay {
        /// Folder that the run named: RUN/failures/step-...
        folder: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Say where two runs first differ, or that they are identical
    Compare {
        /// A run folder
        a: PathBuf,
        /// Another one
        b: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // candle spins a thread pool of its own beside rayon's; it costs more than it brings here. And NCCL cannot
    // lend memory of a CUDA graph to another process.
    #[expect(clippy::disallowed_methods, reason = "the only way to configure them")]
    for (name, value) in [("CANDLE_NUM_THREADS", "1"), ("NCCL_GRAPH_REGISTER", "0")] {
        // SAFETY: no other thread has been started yet.
        unsafe { std::env::set_var(name, value) };
    }
    deepsim_ops::keep_freed_memory();
    match run_command(&arguments) {
        Ok(code) => ExitCode::from(code),
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
    if let Some(LaunchError::Refused(_)) = error.downcast_ref() {
        return 2;
    }
    match error.downcast_ref::<TrainError>() {
        Some(error) if error.is_recipe() => 2,
        Some(TrainError::Write(_)) => 3,
        Some(TrainError::NonFinite(_)) => 4,
        _ => 1,
    }
}

/// Does what is asked; returns the exit code.
fn run_command(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.command {
        Some(Command::Plan { what, measure, json }) => print_plan(what, *measure, *json),
        Some(Command::Replay { folder, place }) => replay_step(folder, place),
        Some(Command::Compare { a, b }) => Ok(print_comparison(&compare(a, b)?)),
        None => {
            let device = arguments.train.what.place.open()?;
            let world = world::join(&device)?;
            match train(&arguments.train, device, &world) {
                Err(error) if world.size() > 1 => failed_together(&*world, error),
                other => other,
            }
        }
    }
}

/// Ends the other processes, which would wait for this one for ever, unless they all have the same error:
/// then the first one tells it.
fn failed_together(world: &dyn World, error: anyhow::Error) -> anyhow::Result<u8> {
    if !matches!(error.downcast_ref(), Some(TrainError::NonFinite(_))) {
        eprintln!("error: process {} of {}: {error:#}", world.rank(), world.size());
        world.abort(exit_code(&error));
    }
    if world.leads() { Err(error) } else { Ok(exit_code(&error)) }
}

impl Place {
    /// Opens the device and sets the number of threads.
    fn open(&self) -> anyhow::Result<Device> {
        let device = self.device.open(world::local_gpu())?;
        if let Some(folder) = &self.weights
            && !folder.is_dir()
        {
            anyhow::bail!("--weights {}: no such folder", folder.display());
        }
        let threads = self.threads.unwrap_or(0);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        Ok(device)
    }
}

impl What {
    fn on(
        &self,
        device: Device,
        out: &Path,
        resume: bool,
    ) -> anyhow::Result<(AnyRecipe, RunOptions)> {
        let recipe = AnyRecipe::open(&self.recipe.clone().unwrap_or_default(), &self.set)
            .map_err(TrainError::from)?;
        let options = RunOptions {
            data: self.data.clone(),
            without_duplicates: self.without_duplicates,
            weights: self.place.weights.clone(),
            resume,
            device,
            graphs: !self.without_graphs,
            ..RunOptions::new(out)
        };
        Ok((recipe, options))
    }
}

fn train(arguments: &Train, device: Device, world: &Rc<dyn World>) -> anyhow::Result<u8> {
    let out = arguments.out.clone().unwrap_or_default();
    let (recipe, options) = arguments.what.on(device, &out, arguments.resume)?;
    let options = RunOptions { world: world.clone(), ..options };
    let requests = Requests::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal, with the flag already set, ends the program at once.
        signal_hook::flag::register_conditional_shutdown(signal, 131, requests.stop.clone())?;
        signal_hook::flag::register(signal, requests.stop.clone())?;
    }
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, requests.save.clone())?;
    let mut progress = Progress::new();
    let tell = |event: Event<'_>| {
        if world.leads() {
            progress.tell(&event);
        }
    };
    let outcome = match &recipe {
        AnyRecipe::Generator(recipe) => run(recipe, &options, &requests, tell)?,
        AnyRecipe::Comparator(recipe) => comparator::run(recipe, &options, &requests, tell)?,
    };
    progress.finish();
    Ok(match outcome {
        Outcome::Finished => 0,
        Outcome::Interrupted(step) => {
            if world.leads() {
                eprintln!("interrupted: checkpoint saved at step {step}; go on with --resume");
            }
            130
        }
    })
}

fn print_plan(what: &What, steps: usize, json: bool) -> anyhow::Result<u8> {
    let (recipe, options) = what.on(what.place.open()?, Path::new(""), false)?;
    let estimate = match &recipe {
        AnyRecipe::Generator(recipe) => estimate::generator(recipe, &options, steps)?,
        AnyRecipe::Comparator(recipe) => estimate::comparator(recipe, &options, steps)?,
    };
    match json {
        true => println!("{}", serde_json::to_string(&estimate)?),
        false => println!("{estimate}"),
    }
    Ok(0)
}

fn replay_step(folder: &Path, place: &Place) -> anyhow::Result<u8> {
    let report = replay(folder, place.weights.as_deref(), &place.open()?)?;
    println!("step {} has finite losses and gradients here:", report.step);
    for term in &report.terms {
        println!("{}: {:e}, gradient {:e}", term.name, term.value, term.grad_norm);
    }
    for (net, norm) in &report.gradients {
        println!("gradient of the {net}'s weights: {norm:e}");
    }
    Ok(0)
}

fn print_comparison(comparison: &Comparison) -> u8 {
    for line in &comparison.plans {
        println!("plan: {line}");
    }
    if let Some(first) = &comparison.first {
        let show = |value: Option<f64>| value.map_or("nothing".into(), |x| format!("{x:e}"));
        let [a, b] = first.values.map(show);
        println!("first difference: step {}, {}: {a} and {b}", first.step, first.what);
    } else {
        println!("no difference in {} steps that both logs have", comparison.steps);
    }
    match &comparison.checkpoint {
        None => println!("their newest checkpoints are of different steps, and were not compared"),
        Some((step, files)) if files.is_empty() => println!("equal checkpoints at step {step}"),
        Some((step, files)) => {
            println!("different checkpoints at step {step}: {}", files.join(", "));
        }
    }
    if let Some(weights) = comparison.weights {
        println!("relative difference of the weights: {weights:.1e}");
    }
    if comparison.identical() {
        println!("identical");
        0
    } else {
        5
    }
}
