//! Inputs of runs: data and weights that are downloaded, and comparators that are trained first.

use std::collections::BTreeSet;

use crate::ReproduceError;
use crate::catalogue::Run;
use crate::comparators::Comparator;
use crate::failures::Failures;
use crate::job::Job;
use crate::plan::Planned;

/// Something that runs need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    Stl10,
    /// Weights of a network that the registry has under its name.
    Weights(String),
    /// A comparator, trained here.
    Trained(Comparator),
}

/// The last file of a data set that is unpacked.
const LAST: &str = "class_names.txt";

impl Input {
    /// Name, in the registry if it is from there.
    fn name(&self) -> &str {
        match self {
            Self::Stl10 => "stl10",
            Self::Weights(net) => net,
            Self::Trained(net) => net.name(),
        }
    }

    /// True if a run needs it.
    fn serves(&self, run: &Run) -> bool {
        match self {
            Self::Stl10 => run.experiment.on_stl10(),
            Self::Weights(net) => run.networks().contains(net),
            Self::Trained(net) => net.serves(run),
        }
    }

    /// True if it is there already.
    fn there(&self, job: &Job<'_>) -> bool {
        match self {
            Self::Stl10 => job.options.stl10().is_some_and(|folder| folder.join(LAST).is_file()),
            Self::Weights(net) => job
                .options
                .weights(job.host)
                .is_some_and(|folder| folder.join(net).with_extension("safetensors").is_file()),
            Self::Trained(net) => net.trained(job),
        }
    }

    fn have(&self, job: &Job<'_>) -> Result<(), ReproduceError> {
        if let Self::Trained(net) = self {
            return net.train(job);
        }
        tracing::info!("== download {}", self.name());
        job.host.check("download")?;
        let files = (job.host.fetch)(self.name())?;
        if let Self::Weights(net) = self {
            let Some(file) = files.first() else {
                return Err(ReproduceError::Missing(format!("{net}: the registry has no file")));
            };
            let mut command = job.program("import");
            command.arg(file).args(["--net", net]);
            command.arg("--out").args(job.options.weights(job.host));
            job.host.run(&mut command, &format!("importing {net}"), None)?;
        }
        Ok(())
    }
}

/// Collects what the runs need first, each once.
pub(crate) fn of(job: &Job<'_>, runs: &[&Planned]) -> BTreeSet<Input> {
    let options = job.options;
    let mut all = BTreeSet::new();
    let mut needed = |input: Input| {
        if runs.iter().any(|planned| input.serves(&planned.run)) {
            all.insert(input);
        }
    };
    for net in Comparator::ALL.into_iter().filter(|net| net.wanted(job)) {
        needed(Input::Trained(net));
    }
    if options.fetch_to.is_some() && options.data.data.is_none() {
        needed(Input::Stl10);
    }
    if options.fetch_to.is_some() && options.weights.is_none() {
        // Weights that the registry does not have are the user's to bring.
        let nets = runs.iter().flat_map(|planned| planned.run.networks());
        all.extend(nets.filter(|net| job.host.title(net).is_some()).map(Input::Weights));
    }
    all
}

/// Returns lines of the plan.
pub(crate) fn lines(
    job: &Job<'_>,
    inputs: &BTreeSet<Input>,
) -> Result<Vec<String>, ReproduceError> {
    let mut lines = Vec::new();
    for input in inputs {
        let name = input.name();
        lines.push(match input {
            _ if input.there(job) => format!("{name}: there"),
            Input::Trained(net) => format!("{name}: {}", net.plan(job)?),
            _ => format!("{name}: to download: {}", job.host.title(name).unwrap_or_default()),
        });
    }
    for net in Comparator::ALL.into_iter().filter(|net| net.wanted(job)) {
        if !inputs.contains(&Input::Trained(net)) {
            lines.push(format!(
                "{}: not trained, as none of these runs compares with it",
                net.name()
            ));
        }
    }
    Ok(lines)
}

/// Gets what is not there. A run that needs what is not available is noted as failed.
///
/// # Errors
/// If a signal to stop came.
pub(crate) fn have(
    job: &Job<'_>,
    inputs: &BTreeSet<Input>,
    runs: &[&Planned],
    failures: &mut Failures,
) -> Result<(), ReproduceError> {
    if job.options.fetch_to.is_some() {
        ship(job)?;
    }
    // `deepsim train` looks at what was trained: it may be of another plan.
    let missing = |input: &&Input| !input.there(job) || matches!(input, Input::Trained(_));
    for input in inputs.iter().filter(missing) {
        let name = input.name();
        failures.note(name, input.have(job))?;
        if failures.has(name) {
            for planned in runs.iter().filter(|planned| input.serves(&planned.run)) {
                let why = ReproduceError::Missing(format!("{} needs {name}", planned.run.id));
                failures.note(&planned.run.id, Err(why))?;
            }
        }
    }
    Ok(())
}

/// Puts the comparator that comes with the project beside the weights that are downloaded.
fn ship(job: &Job<'_>) -> Result<(), ReproduceError> {
    let Some(weights) = job.options.weights(job.host) else { return Ok(()) };
    std::fs::create_dir_all(&weights).map_err(ReproduceError::io("creating folder", &weights))?;
    let Some(shipped) = &job.host.exemplar_cnn else { return Ok(()) };
    let copy = weights.join(Comparator::ExemplarCnn.name()).with_extension("safetensors");
    if !copy.exists() {
        std::fs::copy(shipped, &copy).map_err(ReproduceError::io("copying", shipped))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Experiment;
    use crate::host::tests::with;
    use crate::options::Options;

    fn options(targets: &[&str]) -> Options {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        Options { targets, out: "no/such/folder".into(), ..Options::default() }
    }

    #[test]
    fn runs_whose_data_or_weights_are_missing_are_noted_and_the_others_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let shipped = folder.path().join("shipped");
        std::fs::write(&shipped, "").expect("a file");
        let to = folder.path().join("to");
        let options = Options { fetch_to: Some(to.clone()), ..options(&["autoencoder"]) };
        with(|host| {
            let host = crate::Host { exemplar_cnn: Some(shipped), ..host.clone() };
            let job = Job::new(&options, &host).expect("good options");
            let plan = job.planned().expect("a plan");
            let plan: Vec<&Planned> = plan.iter().collect();
            // Weights that the registry does not have are nobody's business here.
            let names = |inputs: &BTreeSet<Input>| -> Vec<String> {
                inputs.iter().map(|input| input.name().to_owned()).collect()
            };
            assert_eq!(names(&of(&job, &plan)), ["stl10", "alexnet"]);

            // The data are there, the weights are not.
            let data = to.join("stl10_binary");
            std::fs::create_dir_all(&data).expect("a folder");
            std::fs::write(data.join(LAST), "").expect("a file");
            let inputs = of(&job, &plan);
            assert_eq!(inputs.iter().map(|i| i.there(&job)).collect::<Vec<_>>(), [true, false]);
            assert_eq!(options.data(Experiment::Autoencoder), Some(data));
            assert_eq!(options.data(Experiment::Inversion), None, "ILSVRC-2012 is not downloaded");
            let mut failures = Failures::default();
            have(&job, &inputs, &plan, &mut failures).expect("the rest continues");
            let failed: Vec<bool> =
                plan.iter().map(|planned| failures.has(&planned.run.id)).collect();
            assert_eq!(failed, [false, false, true, false], "only the run with AlexNet");
            // The shipped comparator comes along.
            assert!(to.join("weights/exemplar-cnn.safetensors").is_file());
        });
    }

    #[test]
    fn comparators_are_trained_for_the_runs_that_compare_with_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            train_exemplar_cnn: true,
            train_videonet: Some(folder.path().into()),
            out: folder.path().into(),
            ..options(&["autoencoder", "fig4", "table6"])
        };
        with(|host| {
            let job = Job::new(&options, host).expect("good options");
            let plan = job.planned().expect("a plan");
            let plan: Vec<&Planned> = plan.iter().collect();
            let both = Comparator::ALL.map(Input::Trained);
            assert_eq!(of(&job, &plan), BTreeSet::from(both.clone()));
            let trained = |planned: &&&Planned| Comparator::overrides(&job, &planned.run).is_some();
            let names = plan.iter().filter(trained).map(|planned| planned.run.id.as_str());
            let known =
                ["autoencoder-exemplar-cnn-conv3", "vae-videonet-conv5", "inversion-fc6-videonet"];
            assert_eq!(names.collect::<Vec<_>>(), known);
            let few = |id: &str| {
                let one = plan.iter().filter(|planned| planned.run.id == id).copied();
                of(&job, &one.collect::<Vec<_>>())
            };
            assert_eq!(few(known[0]), BTreeSet::from([both[0].clone()]));
            assert_eq!(few("autoencoder-se"), BTreeSet::new());
            for net in Comparator::ALL {
                let done = folder.path().join("comparators").join(net.name());
                std::fs::create_dir_all(&done).expect("a folder");
                assert!(!Input::Trained(net).there(&job));
                assert!(net.plan(&job).expect("a plan").contains("to train first"));
                std::fs::write(done.join("done.json"), "{}").expect("a file");
                assert!(Input::Trained(net).there(&job));
            }
        });
    }
}
