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
    mut failures: Failures,
) -> Result<Failures, ReproduceError> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let lanes = Lane::all(job.options, job.cores(), visible.as_deref());
    if lanes.len() > 1 {
        let files = job.options.out.join("runs/RUN.txt");
        tracing::info!("the output of each run is in {}", files.display());
    }
    // Runs that begin with the weights of another come after it.
    let mut waiting = chosen.to_vec();
    while !waiting.is_empty() {
        let waits = |planned: &&Planned| {
            let first = planned.begins_with();
            first.is_some_and(|first| waiting.iter().any(|other| other.folder == first))
        };
        let (then, now): (Vec<&Planned>, Vec<&Planned>) =
            waiting.iter().partition(|planned| waits(planned));
        debug_assert!(!now.is_empty(), "runs that wait for one another");
        failures = all(job, &lanes, now, failures)?;
        waiting = then;
    }
    Ok(failures)
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::host::{Host, tests::with};
    use crate::options::Options;

    /// A program that notes the folder it trains or measures, and trains nothing in `fails`.
    fn program(folder: &Path, fails: &str) -> std::path::PathBuf {
        let program = folder.join("deepsim");
        let script = format!(
            "#!/bin/sh\n\
             if [ $1 = eval ]; then exit 0; fi\n\
             while [ $1 != --out ]; do shift; done\n\
             name=$(basename $2)\n\
             if [ $name = autoencoder-se ]; then sleep 0.3; fi\n\
             if [ $name = '{fails}' ]; then exit 1; fi\n\
             mkdir -p $2/eval; touch $2/generator.safetensors $2/done.json\n\
             echo $name >> {}/order\n",
            folder.display()
        );
        std::fs::write(&program, script).expect("a file");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("a program");
        program
    }

    /// Runs of a target trained in this order, those that failed, and all of them.
    fn order(target: &str, jobs: u16, fails: &str) -> (Vec<String>, Failures, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            targets: vec![target.to_owned()],
            jobs,
            out: folder.path().join("out"),
            ..Options::default()
        };
        with(|host| {
            let host = Host { program: program(folder.path(), fails), ..host.clone() };
            let job = Job::new(&options, &host).expect("good options");
            let planned = job.planned().expect("a plan");
            let chosen: Vec<&Planned> = planned.iter().collect();
            let failures = run(&job, &chosen, Failures::default()).expect("no signal");
            let order = std::fs::read_to_string(folder.path().join("order")).unwrap_or_default();
            let all = planned.iter().map(|planned| planned.run.id.clone()).collect();
            (order.lines().map(str::to_owned).collect(), failures, all)
        })
    }

    #[test]
    fn runs_that_begin_with_the_weights_of_another_wait_for_it() {
        for jobs in [1, 2] {
            let (trained, failures, mut all) = order("autoencoder", jobs, "");
            assert_eq!(trained[0], "autoencoder-se", "{jobs} at the same time");
            assert!(all.len() > 2 && failures.settle().is_ok());
            let mut trained = trained;
            trained.sort();
            all.sort();
            assert_eq!(trained, all);
        }
    }

    #[test]
    fn pre_images_wait_for_the_papers_loss_and_that_for_squared_error() {
        let (trained, failures, all) = order("preimages", 2, "");
        assert!(failures.settle().is_ok());
        assert_eq!(trained[..2], ["inversion-small-conv5-image", "inversion-small-conv5"]);
        assert_eq!(trained.len(), all.len());
        let (trained, failures, _) = order("preimages", 2, "inversion-small-conv5");
        assert_eq!(trained, ["inversion-small-conv5-image"]);
        for id in ["preimages", "preimages-noise", "preimages-mode-seeking"] {
            assert!(failures.has(id), "{id}");
        }
        assert!(!failures.has("inversion-small-conv5-image"));
    }

    #[test]
    fn runs_fail_by_name_where_the_one_they_begin_with_did() {
        let (trained, failures, all) = order("autoencoder", 2, "autoencoder-se");
        assert!(trained.is_empty(), "{trained:?}");
        assert!(all.iter().all(|id| failures.has(id)), "{failures:?}");
    }
}
