//! `deepsim replay`: repeats a step that failed.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_train::run::failure::replay;

use super::place::Place;

/// Repeat the step at which a run stopped because a loss or gradient was not finite
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the failed step: RUN/failures/step-...
    folder: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Repeats the step; one that is not finite again is an error.
pub(crate) fn run(Arguments { folder, place }: &Arguments) -> Result<()> {
    let (device, weights) = place.open()?;
    let report = replay(folder, weights.as_deref(), &device)?;
    println!("step {} has finite losses and gradients here:", report.step);
    for term in &report.terms {
        println!("{}: {:e}, gradient {:e}", term.name, term.value, term.grad_norm);
    }
    for (net, norm) in &report.gradients {
        println!("gradient of the {net}'s weights: {norm:e}");
    }
    Ok(())
}
