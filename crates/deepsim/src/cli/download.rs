//! `deepsim download`: data sets and weights, verified.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use deepsim_fetch::{
    Artifact, FetchError, Fetched, Fetcher, Need, Options, Registry, Selection, State,
};
use indicatif::HumanBytes;

use super::exit::{self, Failure};
use super::locate::DataFolders;
use super::signals::Signals;

/// Download data sets and weights, or verify those that are there
///
/// Interrupted downloads are resumed. A file gets its name only after its size and hashes match the
/// registry. See docs/data.md.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Data and weights to download; `--list` shows their names
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// List what is available, and what is already here
    #[arg(long)]
    list: bool,
    /// Use no network: verify what is here, report what is missing
    #[arg(long, conflicts_with = "mirror")]
    offline: bool,
    #[command(flatten)]
    source: Source,
    /// Read files again that were verified before and have not changed since
    #[arg(long)]
    verify: bool,
}

/// Source and target of downloads.
#[derive(Args)]
pub(crate) struct Source {
    /// Take every file from URL/FILE instead; it is verified all the same
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    mirror: Option<String>,
    /// Accept the licences that are shown
    #[arg(long, help_heading = HEADING)]
    accept_licence: bool,
    /// Folder to write to [default: the folder that DEEPSIM_DATA names, else data in the checkout]
    #[arg(long, value_name = "DIR", help_heading = HEADING)]
    to: Option<PathBuf>,
    /// Another registry than that of deepsim-fetch
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    registry: Option<PathBuf>,
}

const HEADING: &str = "Downloads";

impl Source {
    /// Opens the registry that is named, or the built-in one.
    ///
    /// # Errors
    /// If it is broken.
    pub(crate) fn registry(&self) -> Result<Registry> {
        Ok(self.registry.as_deref().map_or_else(Registry::built_in, Registry::open)?)
    }

    fn fetcher(&self, offline: bool, verify_again: bool) -> Result<Fetcher> {
        let options = Options {
            offline,
            mirror: self.mirror.clone(),
            accept_licence: self.accept_licence,
            verify_again,
            ..Options::default()
        };
        Fetcher::new(&self.folder()?, options)
            .map_err(|error| Failure::usage(error.to_string()).into())
    }

    /// Returns the folder that files go to.
    ///
    /// # Errors
    /// If none is named and there is no checkout.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        match &self.to {
            Some(folder) => Ok(folder.clone()),
            None => Ok(DataFolders::new().to_write()?.to_path_buf()),
        }
    }

    /// Gets what has this name in the registry, unless it is here; returns its files, or the folders that they were
    /// unpacked to.
    ///
    /// # Errors
    /// If there is no such name, or it is not available.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<PathBuf>> {
        let (registry, fetcher) = (self.registry()?, self.fetcher(false, false)?);
        let selection = registry.select(name).map_err(|error| Failure::usage(error.to_string()))?;
        get(&fetcher, &[selection], false)
    }
}

/// Gets everything that was named; what fails does not keep the rest from being tried.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let source = &arguments.source;
    let (registry, fetcher) =
        (source.registry()?, source.fetcher(arguments.offline, arguments.verify)?);
    if arguments.list {
        list(&registry, &fetcher);
        return Ok(());
    }
    let select =
        |name: &String| registry.select(name).map_err(|error| Failure::usage(error.to_string()));
    // Checks every name before the first download, which may take an hour.
    let selections = arguments.names.iter().map(select).collect::<Result<Vec<_>, Failure>>()?;
    get(&fetcher, &selections, arguments.offline).map(|_| ())
}

/// Gets everything that was selected; returns where it is.
fn get(fetcher: &Fetcher, selections: &[Selection<'_>], offline: bool) -> Result<Vec<PathBuf>> {
    let Signals { stop, .. } = &Signals::new()?;
    let (mut paths, mut failed) = (Vec::new(), Vec::new());
    for selection in selections {
        // One that does instead of all is the library's choice; otherwise each is tried.
        let parts: Vec<Selection<'_>> = match selection.need {
            Need::Any => vec![selection.clone()],
            Need::All => {
                let one = |a| Selection { artifacts: vec![a], ..selection.clone() };
                selection.artifacts.iter().copied().map(one).collect()
            }
        };
        for part in parts {
            for artifact in part.artifacts.iter().filter(|a| !offline && absent(fetcher, a)) {
                println!("{}: {}. Licence: {}", artifact.id, artifact.title, artifact.licence);
            }
            match fetcher.fetch_selection(&part, stop) {
                Ok(fetched) => {
                    fetched.iter().for_each(tell);
                    paths.extend(fetched.into_iter().map(|fetched| fetched.path));
                }
                Err(error @ FetchError::Interrupted { .. }) => {
                    return Err(Failure::new(exit::INTERRUPTED, error.to_string()).into());
                }
                Err(error) => {
                    tracing::error!("{error}");
                    failed.push(error);
                }
            }
        }
    }
    if failed.is_empty() {
        Ok(paths)
    } else if failed.iter().all(|error| matches!(error, FetchError::Licence { .. })) {
        Err(Failure::usage("--accept-licence says that you accept the licences above").into())
    } else {
        bail!("{} of what was asked for is not there", failed.len())
    }
}

/// Returns whether a file that can be downloaded is not here.
fn absent(fetcher: &Fetcher, artifact: &Artifact) -> bool {
    artifact.manual.is_none() && fetcher.state(artifact) != State::Present
}

fn tell(fetched: &Fetched) {
    // A pinned file is not verified: its notice says what it is.
    let how = match (fetched.notices.is_empty(), fetched.downloaded) {
        (false, _) => "see the warning",
        (true, true) => "downloaded and verified",
        (true, false) => "there and verified",
    };
    println!("{}: {how}: {}", fetched.id, fetched.path.display());
    for notice in &fetched.notices {
        tracing::warn!("{}: {notice}", fetched.id);
    }
}

fn list(registry: &Registry, fetcher: &Fetcher) {
    let names = registry.artifacts().iter().map(|a| a.id.len());
    let width = names.chain(registry.groups().iter().map(|g| g.id.len())).max().unwrap_or(0);
    println!("{:width$}  {:>11}  {:<12}  what", "name", "size", "here");
    for artifact in registry.artifacts() {
        let size = artifact.sums.bytes.map_or("?".into(), |bytes| HumanBytes(bytes).to_string());
        let here = match fetcher.state(artifact) {
            State::Present => "yes".into(),
            State::Partial(bytes) => format!("{} of it", HumanBytes(bytes)),
            State::Absent if artifact.manual.is_some() => "no, by hand".into(),
            State::Absent => "no".to_owned(),
        };
        println!("{:width$}  {size:>11}  {here:<12}  {}", artifact.id, artifact.title);
        let accept = if artifact.accept { " (--accept-licence)" } else { "" };
        println!("{:width$}  licence{accept}: {}", "", artifact.licence);
    }
    println!("\ngroups");
    for group in registry.groups() {
        let need = if group.need == Need::All { "all of" } else { "any of" };
        let members = group.members.join(", ");
        println!("{:width$}  {}: {need} {members}", group.id, group.title);
    }
}

#[cfg(test)]
mod tests;
