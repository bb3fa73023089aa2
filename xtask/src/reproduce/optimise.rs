//! The baseline that needs no run: inversion by optimisation.

use anyhow::Result;

use super::Job;
use crate::process::{self, say};
use crate::runs::inversion::Layer;
use crate::targets::Experiment;

/// Inverts layers by optimisation; those that are there are left as they are.
pub(super) fn optimise(job: &Job<'_>, layers: &[Layer]) -> Result<()> {
    if layers.is_empty() {
        return Ok(());
    }
    say("== Mahendran & Vedaldi");
    let size = job.arguments.size(Experiment::Inversion)?;
    let (pictures, iterations) = size.optimised;
    let mut command = job.program("optimise");
    command.args(["--net", &job.arguments.encoder().name]);
    command.args(["--resize", "256", "--random-weights"]);
    for layer in layers {
        command.args(["--tap", layer.name()]);
    }
    job.inputs(Experiment::Inversion, &mut command);
    let numbers = [
        ("--seed", Some(job.arguments.seed)),
        ("--limit", Some(pictures as u64)),
        ("--iterations", iterations.map(|n| n as u64)),
        ("--pairs", size.limit.map(|n| n as u64)),
    ];
    for (option, number) in numbers {
        if let Some(number) = number {
            command.args([option, &number.to_string()]);
        }
    }
    if let Some(threads) = job.arguments.threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    command.arg("--out").arg(job.optimised_folder());
    process::run(&mut command, "inverting by optimisation")
}
