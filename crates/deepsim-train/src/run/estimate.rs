//! Cost of a run: counted from its networks, and measured on some of its steps.

use std::time::Instant;

use deepsim_data::{Cursor, Loader};
use deepsim_run::cost::Cost;
use deepsim_run::recipe::Recipe;
use serde::Serialize;

use crate::TrainError;
use crate::comparator::{self, ComparatorRecipe};
use crate::run::data::{dataset, loader, training_images};
use crate::run::generator::{GeneratorSession, Samples};
use crate::run::options::RunOptions;
use crate::run::plan;
use crate::run::precision;
use crate::run::session::Session;
use crate::trainer::Trainer;

/// Checked plan with its cost.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// Name of the recipe.
    pub name: String,
    /// Steps of the whole run.
    pub steps: u64,
    /// Samples per step.
    pub batch: usize,
    /// Cost of a step for one sample, counted without running anything.
    pub cost: Cost,
    /// Cost of some steps on this machine, if any were made.
    pub measured: Option<Measured>,
    /// The plan as TOML.
    #[serde(skip)]
    pub plan: String,
}

/// Cost of a step on this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Median seconds of a step, with the wait for its batch.
    pub seconds: f64,
    /// Floating-point operations of convolutions and linear layers in the last step; 0 on a GPU, where
    /// they are not counted.
    pub operations: u64,
    /// Peak memory of the program in bytes, where the system reports it.
    pub peak_memory: Option<u64>,
}

/// Estimates the cost of a generator's recipe from its networks and `steps` measured steps; writes nothing.
///
/// # Errors
/// As of [`crate::run::run`].
pub fn generator(
    recipe: &Recipe,
    options: &RunOptions,
    steps: usize,
) -> Result<Estimate, TrainError> {
    let device = &options.device;
    precision::set(recipe.precision, device)?;
    let dataset = dataset(recipe, options)?;
    let weights = options.weights.as_deref();
    let (plan, frozen) = plan::settle(recipe, &dataset, weights, None, device)?;
    let estimate = Estimate {
        name: recipe.name.clone(),
        steps: recipe.steps,
        batch: recipe.batch,
        cost: Cost::of(recipe)?,
        measured: None,
        plan: plan.to_toml()?,
    };
    if steps == 0 {
        return Ok(estimate);
    }
    let mut trainer = Trainer::new(&plan.recipe, frozen, device)?;
    trainer.set_graphs(options.graphs);
    let samples = Samples::new(&dataset, plan.recipe.crop, device)?;
    let mut session = GeneratorSession::new(trainer, samples, &plan, device);
    let config = loader(&plan.recipe, options)?;
    let source = training_images(&plan.recipe, &dataset)?;
    let batches = Loader::new(source, config, Cursor::default())?;
    Ok(Estimate { measured: measure(&mut session, batches, steps)?, ..estimate })
}

/// Estimates the cost of a comparator's recipe from its network and `steps` measured steps; writes nothing.
///
/// # Errors
/// As of [`comparator::run`].
pub fn comparator(
    recipe: &ComparatorRecipe,
    options: &RunOptions,
    steps: usize,
) -> Result<Estimate, TrainError> {
    let (plan, mut session, phases, config) = comparator::prepare(recipe, options)?;
    // The last phase is the longest.
    let source = phases.last().map(|phase| phase.source.clone());
    let source = source.ok_or_else(|| TrainError::recipe("the data set is empty"))?;
    let batches = Loader::new(source, config, Cursor::default())?;
    Ok(Estimate {
        name: recipe.name.clone(),
        steps: recipe.steps,
        batch: recipe.batch,
        cost: Cost::of_comparator(recipe)?,
        measured: measure(&mut session, batches, steps)?,
        plan,
    })
}

/// Median of so many steps; nothing for none.
fn measure(
    session: &mut dyn Session,
    mut batches: Loader,
    steps: usize,
) -> Result<Option<Measured>, TrainError> {
    let (mut seconds, mut operations) = (Vec::new(), 0);
    // On a GPU the first steps are made otherwise than all others.
    let first = if steps > 0 { session.first_steps() } else { 0 };
    for batch in batches.by_ref().take(first) {
        session.step(&batch?, None)?;
    }
    for _ in 0..steps {
        let start = (Instant::now(), deepsim_ops::flops());
        let batch = batches.next().ok_or(TrainError::NoBatch)??;
        session.step(&batch, None)?;
        seconds.push(start.0.elapsed().as_secs_f64());
        operations = deepsim_ops::flops() - start.1;
    }
    seconds.sort_by(f64::total_cmp);
    let measured = seconds.get(seconds.len() / 2).map(|seconds| Measured {
        seconds: *seconds,
        operations,
        peak_memory: peak_memory(),
    });
    Ok(measured)
}

/// Peak resident memory, as Linux reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.plan)?;
        let Cost { flops, memory, networks, .. } = &self.cost;
        for network in networks.iter().filter(|network| network.trained) {
            writeln!(f, "# {}: {} weights", network.name, network.weights)?;
        }
        let weights = bytes(self.cost.weights_memory());
        writeln!(f, "# weights, gradients and moments: {weights}")?;
        let (gflop, image) = (flops / 1e9, memory / MIB);
        writeln!(f, "# one sample: {gflop:.3} GFLOP in a step, about {image:.1} MiB of memory")?;
        let Some(measured) = self.measured else {
            return write!(f, "# no step was measured");
        };
        if let Some(peak) = measured.peak_memory {
            writeln!(f, "# memory of the program at its peak: {}", bytes(peak as f64))?;
        }
        let speed = self.batch as f64 / measured.seconds;
        writeln!(f, "# one step: {:.3} s, {speed:.0} samples/s", measured.seconds)?;
        if measured.operations > 0 {
            let gflop = measured.operations as f64 / 1e9;
            let rate = gflop / measured.seconds;
            writeln!(f, "# one step: {gflop:.1} GFLOP in convolutions, {rate:.0} GFLOP/s")?;
        }
        let steps = self.steps;
        write!(
            f,
            "# {steps} steps: about {} at this speed",
            time(measured.seconds * steps as f64)
        )?;
        if measured.operations > 0 {
            let seconds = steps as f64 * measured.operations as f64 / (1e12 * H200);
            let time = time(seconds);
            write!(
                f,
                "\n# {steps} steps on an NVIDIA H200: about {time} at {H200} TFLOP/s, {:.0} % of its peak \
                 in TF32: an assumption, nothing was timed there",
                100.0 * H200 / H200_PEAK
            )?;
        }
        Ok(())
    }
}

/// 10¹² operations per second that estimates assume of an NVIDIA H200, and its peak for dense TF32
/// products.
const H200: f64 = 50.0;
const H200_PEAK: f64 = 494.0;

/// A duration as people read it.
fn time(seconds: f64) -> String {
    match seconds / 3600.0 {
        h if h < 1.5 => format!("{:.1} minutes", 60.0 * h),
        h if h < 48.0 => format!("{h:.1} hours"),
        h => format!("{:.1} days", h / 24.0),
    }
}

const MIB: f64 = 1024.0 * 1024.0;

fn bytes(n: f64) -> String {
    match n / MIB {
        mib if mib < 1024.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.2} GiB", mib / 1024.0),
    }
}
