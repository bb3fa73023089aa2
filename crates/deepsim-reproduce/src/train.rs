//! Training one run.

use std::path::Path;

use deepsim_run::files::{DONE, GENERATOR};

use crate::ReproduceError;
use crate::catalogue::Run;
use crate::comparators::Comparator;
use crate::job::Job;
use crate::plan::{Planned, State};

/// Trains a run, or continues it.
pub(crate) fn train(job: &Job<'_>, planned: &Planned) -> Result<(), ReproduceError> {
    let (run, size, options) = (&planned.run, planned.size, job.options);
    let init = planned.begins_with().map(|folder| first(run, &folder)).transpose()?;
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
    let sets = size.sets.iter().map(|set| (*set).to_owned()).filter(|set| run.takes(set));
    let sets = run.overrides.iter().cloned().chain(Comparator::overrides(job, run)).chain(sets);
    let own = options.sets().into_iter().filter(|set| run.takes(set));
    for set in sets.chain(sizes).chain(init).chain(own) {
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

/// Override by which a run begins with the weights of a run folder.
///
/// # Errors
/// If its training has not ended.
fn first(run: &Run, folder: &Path) -> Result<String, ReproduceError> {
    let generator = folder.join(GENERATOR);
    if !generator.is_file() || !folder.join(DONE).is_file() {
        return Err(ReproduceError::Missing(format!(
            "{}: expected a trained generator to begin {} with, found none; train that run first",
            folder.display(),
            run.id
        )));
    }
    let path = std::path::absolute(&generator).unwrap_or(generator);
    Ok(format!("init={}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Encoder, Layer, runs};

    #[test]
    fn a_run_begins_with_the_weights_of_a_finished_one_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let encoder = Encoder { name: "alexnet".into(), calibrated: true };
        let run = runs(&Layer::ALL, &encoder).remove(1);
        let refused = || first(&run, folder.path()).expect_err("not finished").to_string();
        assert!(refused().starts_with(&folder.path().display().to_string()), "{}", refused());
        // A training that was continued replaces the generator only at its end.
        std::fs::write(folder.path().join(GENERATOR), "").expect("a file");
        assert!(refused().contains(&format!("to begin {} with, found none", run.id)));
        std::fs::write(folder.path().join(DONE), "").expect("a file");
        let given = first(&run, folder.path()).expect("finished");
        assert_eq!(given, format!("init={}", folder.path().join(GENERATOR).display()));
    }
}
