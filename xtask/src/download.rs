//! `cargo xtask download`, and the downloads of `cargo xtask reproduce --fetch`.

mod progress;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use deepsim_fetch::{
    Artifact, Event, FetchError, Fetched, Fetcher, Need, Options, Registry, Selection, State, Watch,
};

use crate::process::{self, Failure, complain, say};
use crate::workspace;
use progress::Progress;

/// Download data sets and weights, or verify those that are there: starts `deepsim download`.
///
/// `cargo xtask download --help` lists its options.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of `deepsim download`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds the program and starts it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let target = workspace::target_dir()?;
    let mut build = workspace::cargo(&["build", "--release", "--quiet", "-p", "deepsim"]);
    process::run(build.arg("--target-dir").arg(&target), "build")?;
    let mut download = Command::new(workspace::binary(&target, "deepsim"));
    process::run(download.arg("download").args(&arguments.arguments), "download")
}

/// Where files come from and go to.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// Get files from here instead: URL, a slash, the file's name. They are verified all the same.
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    mirror: Option<String>,
    /// Accept the licences that are shown.
    #[arg(long, help_heading = HEADING)]
    accept_licence: bool,
    /// Where files go [default: data in the workspace].
    #[arg(long, value_name = "DIR", help_heading = HEADING)]
    to: Option<PathBuf>,
    /// Another registry than that of deepsim-fetch.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    registry: Option<PathBuf>,
}

const HEADING: &str = "Downloads";

impl Source {
    /// The folder that files go to.
    pub(crate) fn folder(&self) -> PathBuf {
        self.to.clone().unwrap_or_else(|| workspace::root().join("data"))
    }

    fn registry(&self) -> Result<Registry> {
        Ok(self.registry.as_deref().map_or_else(Registry::built_in, Registry::open)?)
    }

    fn fetcher(&self) -> Result<Fetcher> {
        let options = Options {
            mirror: self.mirror.clone(),
            accept_licence: self.accept_licence,
            ..Options::default()
        };
        Fetcher::new(&self.folder(), options).map_err(|e| Failure::usage(e.to_string()))
    }

    /// Gets what has this name in the registry, unless it is here; returns its files, or the folders that they
    /// were unpacked to.
    ///
    /// # Errors
    /// If there is no such name, or it cannot be had.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<PathBuf>> {
        process::check_interrupted()?;
        let (registry, fetcher) = (self.registry()?, self.fetcher()?);
        let selection = registry.select(name).map_err(|e| Failure::usage(e.to_string()))?;
        get(&fetcher, &[selection])
    }

    /// Whether the registry has this name, and what it says of it.
    pub(crate) fn title(&self, name: &str) -> Result<Option<String>> {
        let registry = self.registry()?;
        let artifacts = registry.artifacts().iter().map(|a| (&a.id, &a.title));
        let groups = registry.groups().iter().map(|g| (&g.id, &g.title));
        let mut all = artifacts.chain(groups);
        Ok(all.find(|(id, _)| *id == name).map(|(_, title)| title.clone()))
    }
}

/// Gets everything that was selected; returns where it is.
fn get(fetcher: &Fetcher, selections: &[Selection<'_>]) -> Result<Vec<PathBuf>> {
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
            for artifact in part.artifacts.iter().filter(|a| absent(fetcher, a)) {
                say(&format!("{}: {}. Licence: {}", artifact.id, artifact.title, artifact.licence));
            }
            let mut progress = Progress::default();
            let mut report = |event: Event<'_>| progress.show(&event);
            let mut watch = Watch { report: &mut report, stop };
            let result = fetcher.fetch_selection(&part, &mut watch);
            progress.clear();
            match result {
                Ok(fetched) => {
                    fetched.iter().for_each(tell);
                    paths.extend(fetched.into_iter().map(|fetched| fetched.path));
                }
                Err(error @ FetchError::Interrupted { .. }) => {
                    complain(&error.to_string());
                    process::check_interrupted()?;
                    return Err(error.into());
                }
                Err(error) => {
                    complain(&format!("error: {error}"));
                    failed.push(error);
                }
            }
        }
    }
    if failed.is_empty() {
        Ok(paths)
    } else if failed.iter().all(|error| matches!(error, FetchError::Licence { .. })) {
        Err(Failure::usage("--accept-licence says that you accept the licences above"))
    } else {
        bail!("{} of what was asked for is not there", failed.len())
    }
}

/// Whether a file that can be downloaded is not here.
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
    say(&format!("{}: {how}: {}", fetched.id, fetched.path.display()));
    for notice in &fetched.notices {
        complain(&format!("warning: {}: {notice}", fetched.id));
    }
}

/// What Ctrl-C and a request to terminate do while something is downloaded.
struct Signals {
    /// True after the first of them. A second one does not wait for the network.
    stop: Arc<AtomicBool>,
    handlers: Vec<signal_hook::SigId>,
}

impl Signals {
    fn new() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut signals = Self { stop: stop.clone(), handlers: Vec::new() };
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let code = i32::from(process::INTERRUPTED);
            let handling = || format!("handling signal {signal}");
            let ends = signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone());
            signals.handlers.push(ends.with_context(handling)?);
            let notes = signal_hook::flag::register(signal, stop.clone());
            signals.handlers.push(notes.with_context(handling)?);
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    /// What comes after the download has its own way to stop.
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
