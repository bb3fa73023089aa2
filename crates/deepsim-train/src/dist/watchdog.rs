//! Notices that nothing is heard any more.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Calls `lost` once nothing was sent for longer than `patience`; never, once the sender is gone.
pub(super) fn watch(
    patience: Duration,
    lost: impl FnOnce(Duration) + Send + 'static,
) -> std::io::Result<Sender<()>> {
    let slice = patience.clamp(Duration::from_millis(1), Duration::from_secs(1));
    let (heard, hears) = channel();
    let watcher = std::thread::Builder::new().name("watch".into());
    watcher.spawn(move || {
        let mut waited = Duration::ZERO;
        loop {
            let start = Instant::now();
            match hears.recv_timeout(slice) {
                Ok(()) => waited = Duration::ZERO,
                Err(RecvTimeoutError::Disconnected) => return,
                // A job that was suspended as a whole did not wait all that time.
                Err(RecvTimeoutError::Timeout) => waited += start.elapsed().min(2 * slice),
            }
            if waited > patience {
                return lost(waited);
            }
        }
    })?;
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_and_an_end_is_not_silence() -> std::io::Result<()> {
        let (told, lost) = channel();
        let heard = watch(Duration::from_secs(1), move |waited| told.send(waited).unwrap_or(()))?;
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(5));
            heard.send(()).expect("it watches");
        }
        let waited = lost.recv_timeout(Duration::from_secs(20)).expect("silence is noticed");
        assert!(waited > Duration::from_secs(1));
        let (told, lost) = channel();
        drop(watch(Duration::from_millis(1), move |waited| told.send(waited).unwrap_or(()))?);
        assert!(
            lost.recv_timeout(Duration::from_secs(20))
                .is_err_and(|e| e == RecvTimeoutError::Disconnected)
        );
        Ok(())
    }
}
