//! The conversation between a benchmark server and `cargo xtask bench`.
//!
//! A server says `ready {json}` once it is, then answers each line of its input with one line:
//! wall and CPU milliseconds of one call. It ends when its input does.

use std::error::Error;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Result of any part of a server.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Says `ready` with facts (JSON), then answers every line with the milliseconds `answer` gives.
///
/// # Errors
/// What `answer` fails with, or that the other side is gone.
pub(crate) fn serve(
    facts: &str,
    mut answer: impl FnMut(&str) -> Result<Milliseconds>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {facts}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let Milliseconds { wall, cpu } = answer(line?.trim())?;
        writeln!(out, "{wall:.4} {cpu:.4}")?;
        out.flush()?;
    }
    Ok(())
}

/// Exit code of a server; its error goes to standard error.
pub(crate) fn ended(server: &str, done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may listen.
            let _ = writeln!(std::io::stderr(), "{server}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Time of one call.
#[derive(Clone, Copy)]
pub(crate) struct Milliseconds {
    /// Wall-clock milliseconds.
    pub(crate) wall: f64,
    /// CPU milliseconds of all threads of this process.
    pub(crate) cpu: f64,
}

/// Calls `work` that often and gives the time of one call.
///
/// # Errors
/// What `work` fails with.
pub(crate) fn time(repeats: u32, mut work: impl FnMut() -> Result<()>) -> Result<Milliseconds> {
    let (wall, cpu) = (Instant::now(), cpu_time());
    for _ in 0..repeats {
        work()?;
    }
    let one = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(repeats);
    Ok(Milliseconds { wall: one(wall.elapsed()), cpu: one(cpu_time().saturating_sub(cpu)) })
}

/// CPU time of all threads of this process so far.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, which is all that the call writes to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Not known elsewhere.
#[cfg(not(unix))]
fn cpu_time() -> Duration {
    Duration::ZERO
}
