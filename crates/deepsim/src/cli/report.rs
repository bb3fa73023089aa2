//! `deepsim report`: the page of measured runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_eval::report;

/// Write index.html and results.json from measured runs
#[derive(Args)]
pub(crate) struct Arguments {
    /// A measured run, e.g. "SE=out/runs/autoencoder-se"
    #[arg(long, value_name = "LABEL=DIR", required = true)]
    run: Vec<String>,
    /// Folder of `deepsim optimise`, to compare with
    #[arg(long, value_name = "DIR")]
    optimised: Option<PathBuf>,
    /// table3, table4, fig3, fig4, fig4-small, table6, fig1, fig5 to fig9, presamples or neighbours
    #[arg(long, required = true)]
    target: Vec<String>,
    /// Description of what was run: JSON written by cargo xtask reproduce
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the page and prints its path.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { run, optimised, target, plan, out } = arguments;
    let page = report::write(run, optimised.as_deref(), target, plan.as_deref(), out)?;
    println!("{}", page.display());
    Ok(())
}
