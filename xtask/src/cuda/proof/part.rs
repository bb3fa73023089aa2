//! A part of the proof: programs with a budget of seconds, whose output is kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
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
        let create = || {
            File::create(path)?;
            // For appending, so that a program that outlives its part overwrites nothing.
            File::options().read(true).append(true).open(path)
        };
        Ok(Self(create().with_context(|| format!("creating {}", path.display()))?))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.0, "{text}").context("writing the log")
    }

    /// Returns the place at which it ends.
    fn end(&mut self) -> Result<u64> {
        self.0.seek(SeekFrom::End(0)).context("reading the log")
    }

    /// Returns what was said since a place.
    fn since(&mut self, from: u64) -> Result<String> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(from)).context("reading the log")?;
        self.0.read_to_end(&mut bytes).context("reading the log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Lines of a part's output in the summary.
const TAIL: usize = 12;
/// Pause between two looks at a program.
const PAUSE: Duration = Duration::from_millis(50);

/// Judgement of a part once all programs have ended, given what they said; an error fails it.
type Finding = Box<dyn Fn(&str) -> (Value, Result<()>)>;

/// Programs that run one after the other, within a budget of seconds.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) budget: Duration,
    commands: Vec<Command>,
    finding: Option<Finding>,
}

impl Part {
    /// A part that passes if all its programs do.
    pub(super) fn programs(
        name: impl Into<String>,
        budget: Duration,
        commands: Vec<Command>,
    ) -> Self {
        Self { name: name.into(), budget, commands, finding: None }
    }

    /// Adds what is found in the end, and whether it is as it should be.
    pub(super) fn finding(self, finding: impl Fn(&str) -> (Value, Result<()>) + 'static) -> Self {
        Self { finding: Some(Box::new(finding)), ..self }
    }

    /// Runs the programs until one fails or the time is over, at the latest `last`.
    ///
    /// # Errors
    /// If the log cannot be written; programs that fail are an [`End`].
    pub(super) fn run(self, log: &mut Log, last: Instant) -> Result<End> {
        let Self { name, budget, commands, finding } = self;
        let start = Instant::now();
        let deadline = last.min(start + budget);
        log.line(&format!("== {name}"))?;
        let from = log.end()?;
        let mut outcome = Outcome::Passed;
        for command in commands {
            log.line(&format!("$ {}", process::shown(&command)))?;
            outcome = run(command, log, deadline)?;
            if outcome != Outcome::Passed {
                break;
            }
        }
        let said = log.since(from)?;
        // Of a part that failed there may be something to find, too.
        let (found, as_it_should_be) = finding.map_or((Value::Null, Ok(())), |find| find(&said));
        if let (Outcome::Passed, Err(error)) = (&outcome, as_it_should_be) {
            outcome = Outcome::Failed(format!("{error:#}"));
        }
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(TAIL)..].iter().map(|&line| line.into());
        let last = last.collect();
        Ok(End { name, seconds: start.elapsed().as_secs_f64(), outcome, found, last })
    }
}

/// Runs one program until it ends or the time is over.
fn run(mut command: Command, log: &Log, deadline: Instant) -> Result<Outcome> {
    let output = || log.0.try_clone().context("the log");
    command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    // A group of its own, so that the programs it starts can be ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Outcome::Failed(format!("it cannot be started: {error}"))),
    };
    loop {
        match child.try_wait().context("waiting for a program")? {
            Some(status) if status.success() => return Ok(Outcome::Passed),
            Some(status) => return Ok(Outcome::Failed(status.to_string())),
            None if Instant::now() >= deadline => {
                let group = format!("-{}", child.id());
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
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
            Outcome::OutOfTime => format!("FAILED: out of time after {seconds:.1} s"),
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
            Part::programs(name, second, commands).run(&mut log, Instant::now() + 60 * second)
        };
        let good = end("good", &["echo one", "echo two >&2"])?;
        assert!(good.passed() && good.said().starts_with("passed in"));
        assert_eq!(good.last, ["$ sh -c 'echo one'", "one", "$ sh -c 'echo two >&2'", "two"]);
        // The second program is not run.
        let bad = end("bad", &["echo broken; exit 3", "echo never"])?;
        assert!(!bad.passed() && bad.said().ends_with("broken"), "{}", bad.said());
        assert_eq!(bad.json()["end"], "failed");
        let start = Instant::now();
        // What it has started ends with it.
        let slow = end("slow", &["echo begun; sleep 60 | cat; echo never"])?;
        assert!(start.elapsed() < 20 * second);
        assert_eq!((slow.json()["end"].as_str(), slow.last.len()), (Some("out of time"), 2));
        let missing = Part::programs("missing", second, vec![Command::new("no such program")]);
        let later = start + 600 * second;
        assert!(missing.run(&mut log, later)?.said().contains("cannot be started"));
        // The time of all parts together may be over before a part's own.
        let late = Part::programs("late", 60 * second, vec![shell("sleep 60")]);
        assert_eq!(late.run(&mut log, Instant::now())?.json()["end"], "out of time");

        // What is found decides in the end.
        let found = Part::programs("found", second, vec![shell("true")]);
        let found = found.finding(|_| (json!({ "difference": 0.5 }), Ok(())));
        let found = found.run(&mut log, later)?;
        assert!(found.said().contains("\"difference\":0.5"));
        let apart = Part::programs("apart", second, vec![shell("echo far")]);
        let judge = |said: &str| (json!(said.contains("far\n")), Err(anyhow::anyhow!("too far")));
        let apart = apart.finding(judge).run(&mut log, later)?;
        assert!(!apart.passed() && apart.said().contains("too far"));
        assert_eq!(apart.json()["found"], true);
        let text = std::fs::read_to_string(&path)?;
        assert!(text.contains("== slow") && text.contains("begun") && !text.contains("\nnever\n"));
        Ok(())
    }
}
