//! Starting programs and passing on how they ended.

use std::fmt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};

/// Bad arguments.
pub(crate) const USAGE: u8 = 2;
/// Ended by Ctrl-C or a request to terminate.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// An error that ends with `code`.
    pub(crate) fn error(code: u8, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code, message: message.into() })
    }

    /// Bad arguments.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::error(USAGE, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error: its [`Failure`]'s, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(1, |failure| failure.code)
}

/// A line for the user.
#[expect(clippy::print_stdout, reason = "a program talks to its user")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// A line about something that went wrong.
#[expect(clippy::print_stderr, reason = "a program talks to its user")]
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let word = |word: &std::ffi::OsStr| {
        let text = word.to_string_lossy();
        if text.is_empty() || text.contains([' ', '=', '"', '\'']) {
            format!("'{text}'")
        } else {
            text.into_owned()
        }
    };
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end. It writes to this program's streams.
///
/// # Errors
/// If it cannot be started or does not succeed; the error carries its exit code. Also if this
/// program was told to stop meanwhile, even where the other one succeeded: no next step follows.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    signals();
    let child = command.spawn().with_context(|| format!("starting {}", shown(command)))?;
    let status = wait(child)?;
    match ending(status.code(), signals().load(Ordering::Relaxed) != 0) {
        0 => Ok(()),
        INTERRUPTED => {
            let message = format!("{what}: interrupted; the same command goes on");
            Err(Failure::error(INTERRUPTED, message))
        }
        code => {
            let message = format!("{what} failed ({status}): {}", shown(command));
            Err(Failure::error(code, message))
        }
    }
}

/// Becomes another program, which then gets the signals that this one would have got.
///
/// # Errors
/// If it cannot be started.
#[cfg(unix)]
pub(crate) fn hand_over(command: &mut Command) -> Result<()> {
    let error = std::os::unix::process::CommandExt::exec(command);
    Err(error).with_context(|| format!("starting {}", shown(command)))
}

/// Runs another program to its end, and ends with its exit code.
///
/// # Errors
/// If it cannot be started.
#[cfg(not(unix))]
pub(crate) fn hand_over(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    std::process::exit(status.code().unwrap_or(1));
}

/// Fails if this program was told to stop: for work that waits for other programs by itself.
///
/// # Errors
/// With the exit code of an interruption.
pub(crate) fn check_interrupted() -> Result<()> {
    match signals().load(Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Failure::error(INTERRUPTED, "interrupted")),
    }
}

/// The exit code to end with after a program ended with `code`, or with none because a signal ended
/// it.
fn ending(code: Option<i32>, interrupted: bool) -> u8 {
    match code {
        _ if interrupted => INTERRUPTED,
        Some(code) => u8::try_from(code).unwrap_or(1),
        None => 1,
    }
}

/// The signal that was received last, 0 for none.
///
/// On Ctrl-C the terminal tells this program's children too; this one must stay until they have
/// saved their work.
fn signals() -> &'static AtomicUsize {
    static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    RECEIVED.get_or_init(|| {
        let received = Arc::new(AtomicUsize::new(0));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let number = usize::try_from(signal).unwrap_or_default();
            if let Err(error) = signal_hook::flag::register_usize(signal, received.clone(), number)
            {
                complain(&format!("warning: signal {signal} cannot be handled: {error}"));
            }
        }
        received
    })
}

/// Waits for a child, and hands a request to terminate on to it.
fn wait(mut child: Child) -> Result<ExitStatus> {
    const TERMINATE: usize = signal_hook::consts::SIGTERM as usize;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().context("waiting for a program")? {
            return Ok(status);
        }
        if !told && signals().load(Ordering::Relaxed) == TERMINATE {
            told = true;
            // A child that has ended meanwhile is what was wanted.
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_passed_on_and_interruptions_win() {
        assert_eq!(ending(Some(0), false), 0);
        assert_eq!(ending(Some(2), false), USAGE);
        assert_eq!(ending(Some(130), false), INTERRUPTED);
        assert_eq!(ending(None, false), 1);
        // 256 and more, as on Windows, must not wrap around to success.
        assert_eq!((ending(Some(256), false), ending(Some(-1), false)), (1, 1));
        assert_eq!(ending(Some(0), true), INTERRUPTED);
        assert_eq!(ending(None, true), INTERRUPTED);
    }

    #[test]
    fn a_program_that_fails_gives_its_code_and_one_that_is_missing_its_name() {
        let mut cargo = crate::workspace::cargo(&["no-such-command"]);
        cargo.stderr(std::process::Stdio::null());
        let error = run(&mut cargo, "trying").expect_err("cargo has no such command");
        assert_eq!(exit_code(&error), 101);
        assert!(error.to_string().contains("trying failed"), "{error}");
        let error = run(&mut Command::new("no such program"), "trying").expect_err("missing");
        assert_eq!(exit_code(&error), 1);
        assert!(error.to_string().contains("'no such program'"), "{error}");
    }
}
