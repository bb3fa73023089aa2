//! `deepsim curves`: training curves of runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_reproduce::report;

use super::show;

/// Write a page with the training curves of runs, of generators or of comparators
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run, e.g. "Exemplar-CNN=out/exemplar-cnn"
    #[arg(required = true, value_name = "LABEL=DIR")]
    run: Vec<String>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the page.
pub(crate) fn run(Arguments { run, out }: &Arguments) -> Result<()> {
    Ok(report::curves(&show::entries(run)?, out)?)
}
