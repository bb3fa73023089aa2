//! Retry policy, as data.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::FetchError;

/// Number of retries of an address and the waits between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Failures in a row after which the next address is tried. The count restarts after a try that
    /// got at least a mebibyte further than all before it.
    pub attempts: u32,
    /// Wait after the first failure.
    pub first_wait: Duration,
    /// Factor by which each wait is longer than the one before.
    pub factor: f64,
    /// Longest wait. If a server asks for a longer one (`Retry-After`), the next address is tried.
    pub max_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_secs(1),
            factor: 3.0,
            max_wait: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// Returns the wait before another try after `failures` in a row, the last one being `error`;
    /// `None` if a retry cannot help or the limit is reached.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use deepsim_fetch::{FetchError, Retry};
    ///
    /// let error = |status, retry_after| {
    ///     FetchError::Status { url: "http://example.org/a".into(), status, retry_after }
    /// };
    /// let retry = Retry::default();
    /// assert_eq!(retry.wait(2, &error(503, None)), Some(Duration::from_secs(3)));
    /// assert_eq!(retry.wait(5, &error(503, None)), None); // enough
    /// assert_eq!(retry.wait(1, &error(404, None)), None); // no point
    /// let seven = Duration::from_secs(7);
    /// assert_eq!(retry.wait(1, &error(429, Some(seven))), Some(seven)); // the server's wish
    /// ```
    pub fn wait(&self, failures: u32, error: &FetchError) -> Option<Duration> {
        if failures >= self.attempts || !error.is_transient() {
            return None;
        }
        if let FetchError::Status { retry_after: Some(wait), .. } = error {
            return (*wait <= self.max_wait).then_some(*wait);
        }
        let power = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first_wait.as_secs_f64() * self.factor.max(1.0).powi(power);
        // A wait too long for a `Duration` is also longer than `max_wait`.
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(self.max_wait);
        Some(wait.min(self.max_wait))
    }
}

/// Clock for waits; tests pass one that does not wait.
pub trait Clock: Send + Sync {
    /// Waits for `wait`, less if `stop` becomes true meanwhile.
    fn sleep(&self, wait: Duration, stop: &AtomicBool);
}

/// System clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn sleep(&self, wait: Duration, stop: &AtomicBool) {
        const STEP: Duration = Duration::from_millis(100);
        let mut left = wait;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
    }
}
