//! `deepsim probe`: linear SVMs on features of comparators.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_eval::measure;
use deepsim_eval::probe::Probe;
use deepsim_eval::svm::Protocol;

use super::data_options::Data;
use super::place::Place;
use super::show;

/// Train linear SVMs on features of comparators, by STL-10's folds
#[derive(Args)]
pub(crate) struct Arguments {
    /// Features to train on: pixels, NET:TAP, NET:TAP+TAP, NET:TAP@random
    #[arg(required = true, value_name = "FEATURES")]
    probes: Vec<Probe>,
    #[command(flatten)]
    data: Data,
    /// Values of C that the protocol tries
    #[arg(long, value_name = "N", default_value_t = 50)]
    svm_draws: usize,
    /// Seed of random weights, of the values of C, and of the data where they are drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for the results as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Trains, prints each accuracy, and writes them if a file is named.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (device, weights) = arguments.place.open()?;
    let protocol =
        Protocol { draws: arguments.svm_draws, seed: arguments.seed, ..Protocol::default() };
    let dataset = arguments.data.options()?.open(arguments.seed)?;
    println!("{}", dataset.description);
    let mut rows = Vec::new();
    for probe in &arguments.probes {
        rows.push(probe.accuracy(&dataset, weights.as_deref(), &protocol, &device)?);
        show::rows(&rows[rows.len() - 1..]);
    }
    if let Some(path) = &arguments.out {
        measure::write_rows(path, &rows)?;
    }
    Ok(())
}
