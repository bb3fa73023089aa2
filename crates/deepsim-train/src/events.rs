//! Events of a run, requests to it, and its outcome.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use deepsim_run::log::Record;

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
    /// All steps are made.
    Finished,
    /// It was asked to stop, and saved a checkpoint at this step.
    Interrupted(u64),
}

/// Events of a running training.
#[derive(Debug)]
pub enum Event<'a> {
    /// The plan is settled; training starts after `from` of `steps` steps.
    Started {
        /// Description in a few lines of what is trained on what.
        heading: &'a [String],
        /// Steps of the whole run.
        steps: u64,
        /// Steps already made by an earlier session.
        from: u64,
    },
    /// A step was made.
    Step(&'a Record),
    /// A checkpoint was written at this step.
    Saved(u64),
    /// A warning; training continues.
    Warning(&'a str),
}
