//! `deepsim diff-runs`: the first difference of two runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_train::run::compare::{Comparison, compare};

use super::exit;

/// Print where two runs first differ, or that they are identical
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder
    a: PathBuf,
    /// Run folder to compare with it
    b: PathBuf,
}

/// Compares plans, logs and checkpoints; returns the exit code.
pub(crate) fn run(Arguments { a, b }: &Arguments) -> Result<u8> {
    let comparison = compare(a, b)?;
    print(&comparison);
    Ok(if comparison.identical() { exit::DONE } else { exit::DIFFERENT })
}

fn print(comparison: &Comparison) {
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
    }
}
