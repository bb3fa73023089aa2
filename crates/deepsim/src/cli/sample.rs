//! `deepsim sample`: pictures from the prior of a variational autoencoder.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_eval::measure::Model;
use deepsim_eval::prior::{self, SampleOptions};

use super::place::On;

/// Draw pictures from the prior of a variational autoencoder
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Number of pictures
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    n: usize,
    /// Pictures in a row of the grid
    #[arg(long, value_name = "N", default_value_t = 8)]
    columns: usize,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Redraw code values that are further from 0 than this: less variety, fewer failures
    #[arg(long, value_name = "T")]
    truncation: Option<f64>,
    /// PNG file for the grid; an earlier one is replaced
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    #[command(flatten)]
    on: On,
}

/// Draws, writes the grid and prints its path.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { n, columns, seed, truncation, .. } = *arguments;
    let options = SampleOptions { n, columns, seed, truncation };
    options.check()?;
    let model = Model::open(&arguments.run, None, &arguments.on.open()?)?;
    let sheet = prior::sheet(prior::vae(&model, "sample")?, &options)?;
    sheet.write_png(&arguments.out)?;
    println!("{}", arguments.out.display());
    Ok(())
}
