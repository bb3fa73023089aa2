//! Training and measuring runs, one after the other or several at the same time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::ReproduceError;
use crate::evaluate::evaluate;
use crate::failures::Failures;
use crate::job::Job;
use crate::lane::Lane;
use crate::plan::Planned;
use crate::train::train;

/// Trains and measures every run except those that failed already; returns what failed.
///
/// # Errors
/// If a signal to stop came.
pub(crate) fn run(
    job: &Job<'_>,
    chosen: &[&Planned],
    failures: Failures,
) -> Result<Failures, ReproduceError> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let lanes = Lane::all(job.options, job.cores(), visible.as_deref());
    if lanes.len() > 1 {
        let files = job.options.out.join("runs/RUN.txt");
        tracing::info!("the output of each run is in {}", files.display());
    }
    // Those that begin with the weights of others come after all others.
    let (then, first): (Vec<&Planned>, Vec<&Planned>) =
        chosen.iter().partition(|planned| planned.begins_with().is_some());
    let failures = all(job, &lanes, first, failures)?;
    all(job, &lanes, then, failures)
}

/// Trains and measures runs of which none needs another.
fn all(
    job: &Job<'_>,
    lanes: &[Lane],
    runs: Vec<&Planned>,
    failures: Failures,
) -> Result<Failures, ReproduceError> {
    let possible = runs.into_iter().filter(|planned| !failures.has(&planned.run.id));
    let queue: Mutex<VecDeque<&Planned>> = Mutex::new(possible.collect());
    let failures = Mutex::new(failures);
    let work = |lane: Lane| -> Result<(), ReproduceError> {
        let job = Job { lane, ..job.clone() };
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(planned) = next else { return Ok(()) };
            let done = train(&job, planned).and_then(|()| evaluate(&job, planned));
            let noted = failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(&planned.run.id, done)
                .and_then(|()| job.host.check("reproduction"));
            if noted.is_err() {
                // One that was told to stop stops all, after what they are at.
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return noted;
            }
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        let lanes = lanes.iter().cloned().map(|lane| scope.spawn(move || work(lane)));
        let lanes: Vec<_> = lanes.collect();
        let ended = lanes.into_iter().map(|lane| match lane.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // Every lane has ended before an interruption is returned.
        ended.collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()
    })?;
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}
