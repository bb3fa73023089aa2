//! Timeouts of a process group.

use std::time::Duration;

/// Variable with the seconds that are waited for the other processes.
const VARIABLE: &str = "DEEPSIM_PATIENCE";
/// One of them may be writing a checkpoint, or reading from a slow disk.
const SECONDS: u64 = 30 * 60;

/// The longest wait.
pub(super) fn patience() -> Duration {
    let seconds = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(SECONDS))
}

/// Message after the timeout.
pub(super) fn no_answer(waited: Duration) -> String {
    format!(
        "no answer from another process for {} s: it is lost, or stopped. Go on from the last checkpoint with \
         --resume ({VARIABLE} sets the longest wait in seconds)",
        waited.as_secs()
    )
}
