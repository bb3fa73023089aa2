//! Requests to a run, and its outcome.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Requests to a running training, from another thread or a signal.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Save and stop after the step that is being made.
    pub stop: Arc<AtomicBool>,
    /// Save after the step that is being made; cleared once that is done.
    pub save: Arc<AtomicBool>,
}

/// End of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every step is made.
    Finished,
    /// The run stopped on request, with a checkpoint at this step.
    Interrupted(u64),
}
