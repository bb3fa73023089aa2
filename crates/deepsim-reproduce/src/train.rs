//! Training one run.

use crate::ReproduceError;
use crate::comparators::Comparator;
use crate::job::Job;
use crate::plan::{Planned, State};

/// Trains a run, or continues it.
pub(crate) fn train(job: &Job<'_>, planned: &Planned) -> Result<(), ReproduceError> {
    let (run, size, options) = (&planned.run, planned.size, job.options);
    let done = if planned.state == State::Finished { ": finished earlier" } else { "" };
    tracing::info!("== train {}{done}", run.label);
    let mut command = job.trainer(&run.recipe, &planned.folder);
    job.inputs(run.experiment, &mut command);
    // Not an input: kept pictures change the speed of training, and nothing else.
    if let Some(cache) = &options.data.cache {
        command.arg("--cache").arg(cache);
    }
    let sizes = [
        format!("steps={}", size.steps),
        format!("batch={}", size.batch),
        format!("seed={}", options.seed),
    ];
    let sets = run.overrides.iter().cloned().chain(Comparator::overrides(job, run));
    let own = options.sets().into_iter().filter(|set| run.takes(set));
    for set in sets.chain(sizes).chain(own) {
        command.arg("--set").arg(set);
    }
    job.lane
        .run(job.host, &mut command, &planned.folder, &format!("training {}", run.label))
        .inspect_err(|error| {
            if planned.state != State::New && error.exit_code() == 1 {
                tracing::info!(
                    "hint: {} already held a run. If it is one of another plan (scale, data, weights, seed, --set), \
                     choose another --out.",
                    planned.folder.display()
                );
            }
        })
}
