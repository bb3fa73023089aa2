//! A part of the proof: programs with a budget of seconds, whose output is kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process;

/// Output of all parts, one after the other.
pub(super) struct Log(File);

impl Log {
    /// Begins an empty file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path);
        Ok(Self(file.with_context(|| format!("creating {}", path.display()))?))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.0, "{text}").context("writing the log")
    }

    /// Returns the place at which it ends.
    fn end(&mut self) -> Result<u64> {
        self.0.seek(SeekFrom::End(0)).context("reading the log")
    }

    /// Returns the last lines since a place.
    fn tail(&mut self, from: u64) -> Result<Vec<String>> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(from)).context("reading the log")?;
        self.0.read_to_end(&mut bytes).context("reading the log")?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        Ok(lines[lines.len().saturating_sub(TAIL)..].iter().map(|&line| line.into()).collect())
    }
}

/// Lines of a part's output in the summary.
const TAIL: usize = 12;
/// Pause between two looks at a program.
const PAUSE: Duration = Duration::from_millis(50);

/// What is found once all programs have ended.
type Finding = Box<dyn Fn() -> Result<Value>>;

/// Programs that run one after the other, within a budget of seconds.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) budget: Duration,
    commands: Vec<Command>,
    finding: Option<Finding>,
    /// Folders that are removed at the end.
    folders: Vec<PathBuf>,
}

impl Part {
    /// A part that passes if all its programs do.
    pub(super) fn programs(
        name: impl Into<String>,
        budget: Duration,
        commands: Vec<Command>,
    ) -> Self {
        Self { name: name.into(), budget, commands, finding: None, folders: Vec::new() }
    }

    /// Adds what is found in the end: an error fails the part.
    pub(super) fn finding(self, finding: impl Fn() -> Result<Value> + 'static) -> Self {
        Self { finding: Some(Box::new(finding)), ..self }
    }

    /// Removes a folder at the end.
    pub(super) fn without(mut self, folder: PathBuf) -> Self {
        self.folders.push(folder);
        self
    }

    /// Runs the programs until one fails or the time is over.
    ///
    /// # Errors
    /// If the log cannot be written; programs that fail are an [`End`].
    pub(super) fn run(self, log: &mut Log) -> Result<End> {
        let Self { name, budget, commands, finding, folders } = self;
        let start = Instant::now();
        log.line(&format!("== {name}"))?;
        let from = log.end()?;
        let mut outcome = Outcome::Passed;
        for command in commands {
            log.line(&format!("$ {}", process::shown(&command)))?;
            outcome = run(command, log, start + budget)?;
            if outcome != Outcome::Passed {
                break;
            }
        }
        let mut found = Value::Null;
        if let Some(finding) = finding.filter(|_| outcome == Outcome::Passed) {
            match finding() {
                Ok(value) => found = value,
                Err(error) => outcome = Outcome::Failed(format!("{error:#}")),
            }
        }
        for folder in folders {
            // A failure is harmless.
            let _ = std::fs::remove_dir_all(folder);
        }
        let last = log.tail(from)?;
        log.end()?;
        Ok(End { name, seconds: start.elapsed().as_secs_f64(), outcome, found, last })
    }
}

/// Runs one program until it ends or the time is over.
fn run(mut command: Command, log: &Log, deadline: Instant) -> Result<Outcome> {
    let output = || log.0.try_clone().context("the log");
    command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Outcome::Failed(format!("it cannot be started: {error}"))),
    };
    loop {
        match child.try_wait().context("waiting for a program")? {
            Some(status) if status.success() => return Ok(Outcome::Passed),
            Some(status) => return Ok(Outcome::Failed(status.to_string())),
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Outcome::OutOfTime);
            }
            None => std::thread::sleep(PAUSE),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    OutOfTime,
}

/// End of a part.
pub(super) struct End {
    pub(super) name: String,
    seconds: f64,
    outcome: Outcome,
    found: Value,
    last: Vec<String>,
}

impl End {
    pub(super) fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// A line for the user.
    pub(super) fn said(&self) -> String {
        let Self { seconds, outcome, found, last, .. } = self;
        match outcome {
            Outcome::Passed if found.is_null() => format!("passed in {seconds:.1} s"),
            Outcome::Passed => format!("passed in {seconds:.1} s: {found}"),
            Outcome::OutOfTime => format!("stopped: out of time after {seconds:.1} s"),
            Outcome::Failed(reason) => {
                let last = last.last().map_or("", String::as_str);
                format!("FAILED after {seconds:.1} s ({reason}): {last}")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let Self { name, seconds, outcome, found, last } = self;
        let (end, reason) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::OutOfTime => ("out of time", None),
            Outcome::Failed(reason) => ("failed", Some(reason)),
        };
        json!({
            "part": name,
            "end": end,
            "reason": reason,
            "seconds": seconds,
            "found": found,
            "last_lines": last,
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn parts_end_in_one_of_three_ways_and_keep_what_was_said() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        let mut log = Log::create(&path)?;
        let second = Duration::from_secs(1);
        let mut end = |name: &str, words: &[&str]| {
            let commands = words.iter().map(|text| shell(text)).collect();
            Part::programs(name, second, commands).run(&mut log)
        };
        let good = end("good", &["echo one", "echo two >&2"])?;
        assert!(good.passed() && good.said().starts_with("passed in"));
        assert_eq!(good.last, ["$ sh -c 'echo one'", "one", "$ sh -c 'echo two >&2'", "two"]);
        // The second program is not run.
        let bad = end("bad", &["echo broken; exit 3", "echo never"])?;
        assert!(!bad.passed() && bad.said().ends_with("broken"), "{}", bad.said());
        assert_eq!(bad.json()["end"], "failed");
        let start = Instant::now();
        let slow = end("slow", &["echo begun; exec sleep 60"])?;
        assert!(start.elapsed() < 20 * second);
        assert_eq!((slow.json()["end"].as_str(), slow.last.len()), (Some("out of time"), 2));
        let missing = Part::programs("missing", second, vec![Command::new("no such program")]);
        assert!(missing.run(&mut log)?.said().contains("cannot be started"));

        // What is found decides in the end, and folders go.
        let left = folder.path().join("left");
        std::fs::create_dir(&left)?;
        let found = Part::programs("found", second, vec![shell("true")]).without(left.clone());
        let found = found.finding(|| Ok(json!({ "difference": 0.5 }))).run(&mut log)?;
        assert!(found.said().contains("\"difference\":0.5") && !left.exists());
        let apart = Part::programs("apart", second, vec![shell("true")]);
        let apart = apart.finding(|| anyhow::bail!("too far")).run(&mut log)?;
        assert!(!apart.passed() && apart.said().contains("too far"));
        let text = std::fs::read_to_string(&path)?;
        assert!(text.contains("== slow") && text.contains("begun") && !text.contains("never\n$"));
        Ok(())
    }
}
