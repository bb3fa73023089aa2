//! Timeouts of a process group.

use std::time::Duration;

/// Environment variable with the timeout in seconds.
const VARIABLE: &str = "DEEPSIM_PATIENCE";
/// Default timeout: another process may be writing a checkpoint, or reading from a slow disk.
const SECONDS: u64 = 30 * 60;

/// Returns the timeout.
pub(super) fn patience() -> Duration {
    let seconds = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(SECONDS))
}

/// Message after the timeout.
pub(super) fn no_answer(waited: Duration) -> String {
    format!(
        "no answer from another process for {} s: it is lost, or stopped. Continue from the last checkpoint with \
         --resume ({VARIABLE} sets the timeout in seconds)",
        waited.as_secs()
    )
}
