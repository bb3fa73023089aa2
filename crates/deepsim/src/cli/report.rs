//! `deepsim report`: the page of measured runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use deepsim_reproduce::catalogue::{TARGETS, select};
use deepsim_reproduce::record::Record;
use deepsim_reproduce::report;

use super::show;

/// Write index.html and results.json from measured runs
#[derive(Args)]
pub(crate) struct Arguments {
    /// Measured run, e.g. "SE=out/runs/autoencoder-se"
    #[arg(long, value_name = "LABEL=DIR", required = true)]
    run: Vec<String>,
    /// Folder of `deepsim optimise`, to compare with
    #[arg(long, value_name = "DIR")]
    optimised: Option<PathBuf>,
    /// Table or figure; may be repeated
    #[arg(long, required = true, value_parser = targets())]
    target: Vec<String>,
    /// Record of what was run: plan.json of a reproduction
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn targets() -> PossibleValuesParser {
    TARGETS.iter().map(|target| target.id).collect::<Vec<_>>().into()
}

/// Writes the page and prints its path.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { run, optimised, target, plan, out } = arguments;
    let record = plan.as_deref().map(Record::read).transpose()?.unwrap_or_default();
    let (runs, targets) = (show::entries(run)?, select(target)?);
    let page = report::write(&runs, optimised.as_deref(), &targets, &record, out)?;
    println!("{}", page.display());
    Ok(())
}
