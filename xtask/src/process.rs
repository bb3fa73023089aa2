//! Starting programs and passing on how they ended.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};

pub(crate) const USAGE: u8 = 2;

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
/// If it cannot be started or does not succeed; the error carries its exit code.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    // 256 and more, as on Windows, must not wrap around to success.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failure::error(code, format!("{what} failed ({status}): {}", shown(command))))
}

/// Becomes another program, which then gets the signals that this one would have got.
///
/// # Errors
/// If it cannot be started, or, where programs cannot become others, fails.
pub(crate) fn hand_over(command: &mut Command) -> Result<()> {
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(command))
        .with_context(|| format!("starting {}", shown(command)));
    #[cfg(not(unix))]
    run(command, "deepsim")
}

#[cfg(test)]
mod tests {
    use super::*;

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
