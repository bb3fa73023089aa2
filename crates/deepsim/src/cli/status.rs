//! `deepsim status`: where reproductions stand.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use deepsim_reproduce::status::{describe, reproductions};

use super::locate;

/// Show where reproductions stand: steps, speed and measures of every run
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of a reproduction (--out of reproduce) [default: all in DEEPSIM_OUT, else in out/]
    #[arg(value_name = "DIR")]
    out: Vec<PathBuf>,
}

/// Prints a table for each folder.
pub(crate) fn run(Arguments { out }: &Arguments) -> Result<()> {
    let all = locate::out();
    let folders = if out.is_empty() { reproductions(&all) } else { out.clone() };
    if folders.is_empty() {
        println!(
            "no reproduction has been started in {}; name its folder if it has another",
            all.display()
        );
    }
    for folder in &folders {
        println!("{}", describe(folder, SystemTime::now())?);
    }
    Ok(())
}
