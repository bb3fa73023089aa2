//! How much of a run's time is not its training steps, and how much of a step are its guards.
//!
//! `cargo run --release -p deepsim-train --example overhead [STEPS [DATA]]`
//!
//! Runs of the autoencoder recipe, with the recipe's own log, grids and checkpoints, alternate with the
//! same steps on the same batches made bare, with the batches already there. The guards of a step are timed by
//! themselves: the copy of the discriminator that undoing a step needs, and the norms of all gradients.
#![expect(clippy::print_stdout, reason = "a benchmark talks to its user")]

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use candle_core::{Device, Tensor};
use deepsim_data::dataset::DataOptions;
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
use deepsim_nets::{Images, PixelFormat};
use deepsim_run::recipe::Recipe;
use deepsim_run::recipes;
use deepsim_train::run::plan;
use deepsim_train::run::{Requests, RunOptions, run};
use deepsim_train::trainer::Trainer;

const RECIPE: &str = "autoencoder-alexnet-conv3";
const ROUNDS: usize = 3;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> anyhow::Result<()> {
    deepsim_ops::keep_freed_memory();
    let steps: u64 = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    let sets = [format!("steps={steps}")];
    // Without DATA, scenes are drawn while a run goes on, which costs more than reading photographs.
    let data = std::env::args().nth(2).map(std::path::PathBuf::from);
    let recipe = Recipe::parse(recipes::text(RECIPE).context(RECIPE)?, &sets)?;
    let device = Device::Cpu;
    let dataset = Dataset::open(data.as_deref(), recipe.seed)?;
    let (batch, seed, crop) = (recipe.batch, recipe.seed, Crop::Random(recipe.crop));
    let config = LoaderConfig { batch, crop, seed, ..LoaderConfig::default() };
    let batches = Loader::new(dataset.unlabeled.clone(), config, Cursor::default())?
        .take(steps as usize)
        .map(|batch| {
            let batch = batch?;
            let (n, h, w) = (batch.n, batch.height, batch.width);
            Ok(Images::from_u8(&batch.pixels, n, h, w, PixelFormat::CAFFE_BGR, &device)?)
        })
        .collect::<anyhow::Result<Vec<Images>>>()?;

    let (mut bare, mut whole, mut guards) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (plan, fixed) = plan::settle(&recipe, &dataset, None, None, &device)?;
        let mut trainer = Trainer::new(&plan.recipe, fixed, &device)?;
        let start = Instant::now();
        for batch in &batches {
            trainer.step(batch)?;
        }
        bare.push(start.elapsed().as_secs_f64() / steps as f64);
        guards.push(guard_seconds(&trainer)?);

        let folder = std::env::temp_dir().join(format!("deepsim-overhead-{}", std::process::id()));
        let data = DataOptions { data: data.clone(), ..DataOptions::default() };
        let options = RunOptions { data, ..RunOptions::new(&folder) };
        run(&recipe, &options, &Requests::default())?;
        whole.push(seconds_of_a_run(&folder)? / steps as f64);
        std::fs::remove_dir_all(&folder)?;
        println!(
            "round {}: bare step {:.1} ms, step of a run {:.1} ms, guards {:.2} ms",
            round + 1,
            1e3 * bare[round],
            1e3 * whole[round],
            1e3 * guards[round]
        );
    }
    let (bare, whole, guards) = (median(bare), median(whole), median(guards));
    println!("around the steps: {:+.2} % of a step", 100.0 * (whole / bare - 1.0));
    println!("guards within it: {:.2} % of a step", 100.0 * guards / bare);
    Ok(())
}

/// Copies of the discriminator's weights and moments, and the norms of as many values as there are
/// gradients.
fn guard_seconds(trainer: &Trainer) -> anyhow::Result<f64> {
    let adversary = trainer.adversary().ok_or_else(|| anyhow::anyhow!("no discriminator"))?;
    let mut seconds = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        let weights = adversary.net.params().iter().map(|(_, var)| var.as_tensor().copy());
        let copies = (weights.collect::<Result<Vec<Tensor>, _>>()?, adversary.adam.clone());
        let mut sum = 0.0;
        for params in [adversary.net.params(), trainer.generator().params()] {
            for (_, var) in params.iter() {
                sum += deepsim_ops::sum_of_squares(var.as_tensor())?;
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
        anyhow::ensure!(sum.is_finite() && !copies.0.is_empty(), "weights are finite");
    }
    Ok(median(seconds))
}

/// What `done.json` says: with everything that is written, without the start of the program.
fn seconds_of_a_run(folder: &Path) -> anyhow::Result<f64> {
    let done: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("done.json"))?)?;
    done["seconds"].as_f64().ok_or_else(|| anyhow::anyhow!("done.json has no seconds"))
}
