//! Our side of `cargo xtask bench step`: training steps for each line of input.
//!
//! A request is a number of steps. With `--check` it writes its initial weights and its images, makes two steps without dropout and
//! says what the losses were, so that the same steps can be made elsewhere and compared. With `--cost` it only prints
//! the layers and FLOPs of the recipe.

mod comparator;
#[path = "../../../deepsim/src/cli/device.rs"]
mod device;
mod generator;
mod learner;
#[path = "../../../deepsim-ops/examples/op_server/serve.rs"]
mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Device;
use clap::Parser;
use deepsim_run::cost::Cost;
use deepsim_train::comparator::ComparatorRecipe;
use deepsim_train::recipe::Recipe;
use device::DeviceKind;
use serde_json::{Map, Value};
use serve::Result;

#[derive(Parser)]
struct Arguments {
    /// What is trained
    #[arg(long)]
    recipe: PathBuf,
    /// Override a key of the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the cost of a step, counted from the layers, and end
    #[arg(long)]
    cost: bool,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Folder with images and fixed weights; `--check` fills it
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    #[arg(long)]
    check: bool,
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// f32, tf32 or bf16
    #[arg(long, default_value = "f32")]
    precision: String,
    /// On a GPU, no CUDA graphs
    #[arg(long)]
    without_graphs: bool,
}

impl Arguments {
    /// What is set in the recipe.
    fn sets(&self) -> Vec<String> {
        [&self.set[..], &[format!("precision={}", self.precision)]].concat()
    }
}

/// Networks, optimisers and data of a training. With `--check` the data and the weights of fixed
/// networks are drawn and written to the folder, and there is no dropout; else they are read from there.
trait Training {
    /// Writes the weights of the networks that are trained.
    fn save(&self) -> Result<()>;

    /// Numbers of weights by network.
    fn counts(&self) -> Vec<(&'static str, usize)>;

    /// One step. The losses are the discriminator's, `real` and `generated`, and the terms before
    /// weighting.
    fn step(&mut self) -> Result<Vec<(&'static str, f64)>>;
}

fn open(arguments: &Arguments, device: &Device) -> Result<Box<dyn Training>> {
    let text = std::fs::read_to_string(&arguments.recipe)?;
    Ok(match ComparatorRecipe::recognises(&text) {
        true => Box::new(learner::Learning::new(&text, arguments, device)?),
        false => Box::new(generator::Generating::new(&text, arguments, device)?),
    })
}

fn main() -> ExitCode {
    deepsim_ops::keep_freed_memory();
    serve::ended("step_server", run(&Arguments::parse()))
}

/// Cost of a step as JSON.
fn cost(arguments: &Arguments) -> Result<String> {
    let text = std::fs::read_to_string(&arguments.recipe)?;
    let cost = match ComparatorRecipe::recognises(&text) {
        true => Cost::of_comparator(&ComparatorRecipe::parse(&text, &arguments.sets())?)?,
        false => Cost::of(&Recipe::parse(&text, &arguments.sets())?)?,
    };
    Ok(serde_json::to_string(&cost)?)
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.cost {
        return Ok(writeln!(std::io::stdout(), "{}", cost(arguments)?)?);
    }
    let device = arguments.device.open(0)?;
    let mut training = open(arguments, &device)?;
    if arguments.check {
        training.save()?;
    }
    // On a GPU the first steps of each kind are made otherwise than the later ones.
    let steps = match (arguments.check, device.is_cpu()) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 8,
    };
    let losses = (0..steps).map(|_| Ok(named(training.step()?))).collect::<Result<Vec<_>>>()?;
    let facts = serde_json::json!({ "parameters": named(training.counts()), "losses": losses });
    serve::serve(&facts.to_string(), |request| {
        serve::time(request.parse()?, || {
            std::hint::black_box(training.step()?);
            // The generator's update comes after its losses were read.
            Ok(device.synchronize()?)
        })
    })
}

fn named<T: Into<Value>>(values: Vec<(&'static str, T)>) -> Map<String, Value> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
