//! The program around a reproduction, and starting it for single steps.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deepsim_fetch::Registry;

use crate::ReproduceError;
use crate::error::INTERRUPTED;

/// Number of the signal SIGTERM.
const TERMINATE: usize = 15;

/// Downloads what has a name in the registry; returns its files.
pub type Fetch<'a> = dyn Fn(&str) -> Result<Vec<PathBuf>, ReproduceError> + Sync + 'a;

/// The program around a reproduction.
#[derive(Clone)]
pub struct Host<'a> {
    /// Program that trains, measures and imports: `deepsim`.
    pub program: PathBuf,
    /// Command line as typed, for the record.
    pub command: String,
    /// Commit of the sources, for the record.
    pub commit: Option<String>,
    /// Folder of weights that is used where the options name none.
    pub weights: Option<PathBuf>,
    /// File with the weights of Exemplar-CNN that come with the project.
    pub exemplar_cnn: Option<PathBuf>,
    /// Names of the machine's GPUs.
    pub gpus: Vec<String>,
    /// Registry of downloads.
    pub registry: Registry,
    /// Downloads it.
    pub fetch: &'a Fetch<'a>,
    /// Number of the signal that was received last, 0 for none.
    ///
    /// On Ctrl-C the terminal tells the started programs too; this one must stay until they have saved their work.
    pub signal: &'a AtomicUsize,
    /// Options of every program that is started.
    pub arguments: &'a [&'a str],
}

impl Host<'_> {
    /// Returns the registry's title for a name.
    pub(crate) fn title(&self, name: &str) -> Option<&str> {
        let artifacts = self.registry.artifacts().iter().map(|a| (&a.id, &a.title));
        let groups = self.registry.groups().iter().map(|g| (&g.id, &g.title));
        let mut all = artifacts.chain(groups);
        all.find(|(id, _)| *id == name).map(|(_, title)| title.as_str())
    }

    /// Fails if a signal was received.
    pub(crate) fn check(&self, what: &str) -> Result<(), ReproduceError> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(ReproduceError::Interrupted(what.into())),
        }
    }

    /// Runs a program to its end. It writes to this program's streams, or to `log`.
    ///
    /// # Errors
    /// If it cannot be started or does not succeed. Also if a signal was received meanwhile, even where the program
    /// succeeded: no next step follows.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        what: &str,
        log: Option<&Path>,
    ) -> Result<(), ReproduceError> {
        if let Some(path) = log {
            let opening = |cause| ReproduceError::io("opening", path)(cause);
            let file = File::options().create(true).append(true).open(path).map_err(opening)?;
            command.stdout(file.try_clone().map_err(opening)?).stderr(file);
        }
        self.check(what)?;
        let program = PathBuf::from(command.get_program());
        let child = command.spawn().map_err(ReproduceError::io("starting", &program))?;
        let status = self.wait(child).map_err(ReproduceError::io("waiting for", &program))?;
        self.check(what)?;
        match status.code() {
            Some(0) => Ok(()),
            // The second one is that of a training interrupted twice.
            Some(code) if [INTERRUPTED, INTERRUPTED + 1].map(i32::from).contains(&code) => {
                Err(ReproduceError::Interrupted(what.into()))
            }
            _ => {
                Err(ReproduceError::Program { what: what.into(), status, command: shown(command) })
            }
        }
    }

    /// Waits for a child, and hands a request to terminate on to it.
    fn wait(&self, mut child: Child) -> std::io::Result<ExitStatus> {
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if !told && self.signal.load(Ordering::Relaxed) == TERMINATE {
                told = true;
                // A child that has ended meanwhile is what was wanted.
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let word = |word: &std::ffi::OsStr| {
        let text = word.to_string_lossy();
        if text.is_empty() || text.contains([' ', '=', '"', '\'']) {
            format!("'{text}'")
        } else {
            text.into_owned()
        }
    };
    let words = std::iter::once("deepsim".as_ref()).chain(command.get_args());
    words.map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs `test` with a host that starts nothing of ours and downloads nothing.
    pub(crate) fn with<T>(test: impl FnOnce(&Host<'_>) -> T) -> T {
        let signal = AtomicUsize::new(0);
        let host = Host {
            program: "deepsim".into(),
            command: "deepsim reproduce".into(),
            commit: None,
            weights: None,
            exemplar_cnn: None,
            gpus: Vec::new(),
            registry: Registry::built_in().expect("a registry"),
            fetch: &|name| Err(ReproduceError::Missing(format!("{name}: no network"))),
            signal: &signal,
            arguments: &[],
        };
        test(&host)
    }

    #[test]
    #[cfg(unix)]
    fn exit_codes_are_handed_on_and_interruptions_win() {
        with(|host| {
            let run = |code: &str| {
                host.run(Command::new("sh").args(["-c", &format!("exit {code}")]), "trying", None)
            };
            assert!(run("0").is_ok());
            let failed = run("3").expect_err("it failed");
            assert_eq!(failed.exit_code(), 3);
            assert!(failed.to_string().contains("trying failed"), "{failed}");
            for told in ["130", "131"] {
                assert_eq!(run(told).expect_err("it was told to stop").exit_code(), INTERRUPTED);
            }
            let killed = host.run(Command::new("sh").args(["-c", "kill -9 $$"]), "trying", None);
            assert_eq!(killed.expect_err("it was killed").exit_code(), 1);
            let missing = host.run(&mut Command::new("no such program"), "trying", None);
            let missing = missing.expect_err("it is missing");
            assert_eq!(missing.exit_code(), 1);
            assert!(missing.to_string().contains("no such program"), "{missing}");
            host.signal.store(TERMINATE, Ordering::Relaxed);
            assert_eq!(run("0").expect_err("a signal came").exit_code(), INTERRUPTED);
            // Nothing is started after a signal.
            let missing = host.run(&mut Command::new("no such program"), "trying", None);
            assert_eq!(missing.expect_err("a signal came").exit_code(), INTERRUPTED);
        });
    }
}
