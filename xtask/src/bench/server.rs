//! Servers: programs that do the work, with one line for a request and one for the answer.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// A program that answers requests until it is dropped.
pub(super) struct Server {
    name: &'static str,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Facts that it printed when it was ready.
    pub(super) facts: Value,
    /// Seconds from its start to that line.
    pub(super) start_seconds: f64,
}

/// Time of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Milliseconds {
    /// Wall-clock milliseconds.
    pub(super) wall: f64,
    /// CPU milliseconds of all threads of the process.
    pub(super) cpu: f64,
}

impl Server {
    /// Starts a program and waits until it says that it is ready.
    ///
    /// # Errors
    /// If it cannot be started, ends, or says something else.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let start = Instant::now();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("starting {}", process::shown(command)))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("a server without output")?);
        let (facts, start_seconds) = (Value::Null, 0.0);
        let mut server = Self { name, child, requests, answers, facts, start_seconds };
        let line = server.read()?;
        server.start_seconds = start.elapsed().as_secs_f64();
        server.facts = parse_ready(&line).with_context(|| format!("{name} at its start"))?;
        Ok(server)
    }

    /// Sends one request and waits for its times.
    ///
    /// # Errors
    /// If the program has ended, or answers something else.
    pub(super) fn ask(&mut self, request: &str) -> Result<Milliseconds> {
        if let Some(requests) = &mut self.requests {
            // A server that has ended shows when its answer is read, with the reason.
            let _ = writeln!(requests, "{request}").and_then(|()| requests.flush());
        }
        let line = self.read()?;
        parse_times(&line).with_context(|| format!("{}'s answer to `{request}`", self.name))
    }

    /// Returns the largest memory that it has held so far, in bytes, if the system tells.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        parse_peak(&status)
    }

    fn read(&mut self) -> Result<String> {
        let mut line = String::new();
        let got = self.answers.read_line(&mut line);
        if got.with_context(|| format!("reading from {}", self.name))? == 0 {
            let status = self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
            bail!("{} ended before it answered ({status}); its own words are above", self.name);
        }
        Ok(line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The program may have ended already; both calls then fail without effect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse_ready(line: &str) -> Result<Value> {
    let Some(facts) = line.trim().strip_prefix("ready ") else {
        bail!("expected `ready {{..}}`, found `{}`", line.trim());
    };
    serde_json::from_str(facts).with_context(|| format!("expected JSON, found `{facts}`"))
}

fn parse_times(line: &str) -> Result<Milliseconds> {
    let mut numbers = line.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(wall)), Some(Ok(cpu)), None) if wall > 0.0 && cpu >= 0.0 && wall.is_finite() => {
            Ok(Milliseconds { wall, cpu })
        }
        _ => bail!("expected wall and CPU milliseconds, found `{}`", line.trim()),
    }
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_two_numbers() -> Result<()> {
        assert_eq!(parse_times("12.5 24\n")?, Milliseconds { wall: 12.5, cpu: 24.0 });
        for bad in ["", "12.5", "1 2 3", "one 2", "-1 2", "0 0", "NaN 1", "inf 1"] {
            let message = parse_times(bad).expect_err(bad).to_string();
            assert!(message.contains(&format!("found `{bad}`")), "{message}");
        }
        Ok(())
    }

    #[test]
    fn the_first_line_says_ready_with_facts() -> Result<()> {
        assert_eq!(parse_ready("ready {\"torch\": \"2\"}\n")?["torch"], "2");
        assert!(parse_ready("Traceback").expect_err("no ready").to_string().contains("Traceback"));
        assert!(parse_ready("ready {").is_err());
        Ok(())
    }

    #[test]
    fn peak_memory_is_read_from_the_systems_words() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS: 1 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }

    #[cfg(unix)]
    fn shell(script: &str) -> Result<Server> {
        Server::start("the server", Command::new("sh").args(["-c", script]))
    }

    #[cfg(unix)]
    #[test]
    fn a_server_answers_until_it_dies() -> Result<()> {
        let mut server = shell("echo 'ready {}'; read line; echo 1 2; read line; exit 3")?;
        assert_eq!(server.ask("one")?, Milliseconds { wall: 1.0, cpu: 2.0 });
        for _ in 0..2 {
            let message = server.ask("two").expect_err("it has ended").to_string();
            assert!(message.contains("the server ended") && message.contains('3'), "{message}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_server_that_never_gets_ready_is_an_error() {
        let Err(error) = shell("exit 7") else { panic!("a server that ended was started") };
        assert!(error.to_string().contains("ended before it answered"), "{error}");
        let Err(error) = shell("echo hello") else { panic!("hello is not ready") };
        assert!(format!("{error:#}").contains("found `hello`"), "{error:#}");
        let missing = Server::start("the server", &mut Command::new("no such program"));
        assert!(missing.is_err());
    }

    #[cfg(unix)]
    #[test]
    fn dropping_a_server_ends_it() -> Result<()> {
        let server = shell("echo 'ready {}'; exec sleep 600")?;
        let start = Instant::now();
        drop(server);
        assert!(start.elapsed().as_secs() < 60);
        Ok(())
    }
}
