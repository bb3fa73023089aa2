//! Ctrl-C and requests to terminate, for commands that save or write something when they are stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::exit;

/// Handlers of Ctrl-C and of a request to terminate, until dropped.
pub(crate) struct Signals {
    /// True after the first of them. A second one ends the program at once.
    pub(crate) stop: Arc<AtomicBool>,
    handlers: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Sets the handlers.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub(crate) fn new() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut signals = Self { stop: stop.clone(), handlers: Vec::new() };
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let (code, handling) =
                (i32::from(exit::INTERRUPTED), || format!("handling signal {signal}"));
            let ends = signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone());
            signals.handlers.push(ends.with_context(handling)?);
            let notes = signal_hook::flag::register(signal, stop.clone());
            signals.handlers.push(notes.with_context(handling)?);
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    /// Steps that follow have their own way to stop.
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
