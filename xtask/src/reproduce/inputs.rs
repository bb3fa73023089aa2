//! What runs need before they are trained: data and weights, downloaded with `--fetch`, and comparators that are
//! trained with `--train-exemplar-cnn` and `--train-videonet`.

use anyhow::{Context, Result};
use std::collections::BTreeSet;

use super::comparators::Comparator;
use super::{Failures, Job};
use crate::plan::Planned;
use crate::process::{self, say};
use crate::runs::Run;
use crate::workspace;

/// Something that runs need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    /// The data set.
    Stl10,
    /// Weights of a network that the registry has under its name.
    Weights(String),
    /// A comparator, trained here.
    Trained(Comparator),
}

/// A data set's last file.
const LAST: &str = "class_names.txt";

impl Input {
    /// Its name, in the registry if it is from there.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Stl10 => "stl10",
            Self::Weights(net) => net,
            Self::Trained(net) => net.name(),
        }
    }

    /// Whether a run needs it.
    fn serves(&self, run: &Run) -> bool {
        match self {
            Self::Stl10 => run.experiment.on_stl10(),
            Self::Weights(net) => run.networks().contains(net),
            Self::Trained(net) => net.serves(run),
        }
    }

    /// Whether it is there already.
    fn there(&self, job: &Job<'_>) -> bool {
        match self {
            Self::Stl10 => job.arguments.stl10().join(LAST).is_file(),
            Self::Weights(net) => job
                .arguments
                .weights()
                .is_some_and(|folder| folder.join(net).with_extension("safetensors").is_file()),
            Self::Trained(net) => net.trained(job),
        }
    }

    /// Gets it.
    fn have(&self, job: &Job<'_>) -> Result<()> {
        if let Self::Trained(net) = self {
            return net.train(job);
        }
        let source = &job.arguments.source;
        say(&format!("== download {}", self.name()));
        let files = source.get(self.name())?;
        if let Self::Weights(net) = self {
            let file = files.first().with_context(|| format!("{net}: the registry has no file"))?;
            let mut command = job.program("import");
            command.arg(file).args(["--net", net]).arg("--out").args(job.arguments.weights());
            process::run(&mut command, &format!("importing {net}"))?;
        }
        Ok(())
    }
}

/// What the runs need that is to be had first, each once.
pub(super) fn of(job: &Job<'_>, runs: &[&Planned]) -> Result<BTreeSet<Input>> {
    let arguments = job.arguments;
    let mut all = BTreeSet::new();
    let mut needed = |input: Input| {
        if runs.iter().any(|planned| input.serves(&planned.run)) {
            all.insert(input);
        }
    };
    for net in Comparator::ALL.into_iter().filter(|net| net.wanted(job)) {
        needed(Input::Trained(net));
    }
    if arguments.fetch && arguments.data.is_none() {
        needed(Input::Stl10);
    }
    if arguments.fetch && arguments.weights.is_none() {
        for net in runs.iter().flat_map(|planned| planned.run.networks()) {
            if arguments.source.title(&net)?.is_some() {
                all.insert(Input::Weights(net));
            }
        }
    }
    Ok(all)
}

/// Lines of the plan.
pub(super) fn table(job: &Job<'_>, inputs: &BTreeSet<Input>) -> Result<()> {
    for input in inputs {
        let (name, title) = (input.name(), job.arguments.source.title(input.name())?);
        say(&match input {
            _ if input.there(job) => format!("{name}: there"),
            Input::Trained(net) => format!("{name}: {}", net.plan(job)),
            _ => format!("{name}: to download: {}", title.unwrap_or_default()),
        });
    }
    for net in Comparator::ALL.into_iter().filter(|net| net.wanted(job)) {
        if !inputs.contains(&Input::Trained(net)) {
            say(&format!("{}: not trained, as none of these runs compares with it", net.name()));
        }
    }
    Ok(())
}

/// Gets what is not there. A run that needs what could not be had is noted as failed.
///
/// # Errors
/// If this program was told to stop.
pub(super) fn have(
    job: &Job<'_>,
    inputs: &BTreeSet<Input>,
    runs: &[&Planned],
    failures: &mut Failures,
) -> Result<()> {
    if let Some(weights) = job.arguments.weights().filter(|_| job.arguments.fetch) {
        std::fs::create_dir_all(&weights)
            .with_context(|| format!("creating folder {}", weights.display()))?;
        let name = format!("{}.safetensors", Comparator::ExemplarCnn.name());
        let shipped = workspace::root().join("data/weights").join(&name);
        if shipped.is_file() && !weights.join(&name).exists() {
            std::fs::copy(&shipped, weights.join(&name))
                .with_context(|| format!("copying {}", shipped.display()))?;
        }
    }
    // What was trained is looked at by the program itself: it may be of another plan.
    let missing = |input: &&Input| !input.there(job) || matches!(input, Input::Trained(_));
    for input in inputs.iter().filter(missing) {
        failures.note(input.name(), input.have(job))?;
        if failures.has(input.name()) {
            for planned in runs.iter().filter(|planned| input.serves(&planned.run)) {
                let why = anyhow::anyhow!("{} needs {}", planned.run.name, input.name());
                failures.note(&planned.run.name, Err(why))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Lane;
    use std::path::Path;

    use super::super::arguments::{Arguments, parse};
    use super::*;
    use crate::download::tests::server::{Reply, Server};
    use crate::plan::Wanted;
    use crate::targets::{Experiment, Target, Work};

    fn job<'a>(arguments: &'a Arguments, folder: &Path) -> Job<'a> {
        let (out, target) = (folder.into(), folder.into());
        Job { arguments, out, target, lane: Lane::default() }
    }

    fn planned(arguments: &Arguments) -> Result<Vec<Planned>> {
        let targets = Target::expand(&arguments.targets);
        let work = Work::of(&targets, &arguments.layers(), &arguments.encoder());
        let look = |run: (Run, _)| {
            let size = arguments.size(run.0.experiment)?;
            let wanted = Wanted { size, seed: 0, synthetic: false };
            Planned::look(run, "no such folder".into(), &wanted)
        };
        work.runs.into_iter().map(look).collect()
    }

    #[test]
    fn runs_whose_data_or_weights_cannot_be_had_are_noted_and_the_others_are_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(|_, _| Reply::status(404));
        let entry = |id: &str| {
            format!(
                "[[artifact]]\nid = \"{id}\"\ntitle = \"{id}!\"\nfile = \"{id}\"\nurls = \
                 [\"{}\"]\nbytes = 3\nmd5 = \"900150983cd24fb0d6963f7d28e17f72\"\n\
                 licence = \"none\"\n",
                server.url(id)
            )
        };
        let registry = folder.path().join("registry.toml");
        std::fs::write(&registry, entry("stl10") + &entry("alexnet"))?;
        let (to, registry) = (folder.path().display().to_string(), registry.display().to_string());
        let words = ["autoencoder", "--fetch", "--to", &to, "--registry", &registry];
        let arguments = parse(&words)?;
        let job = job(&arguments, folder.path());
        let plan = planned(&arguments)?;
        let plan: Vec<&Planned> = plan.iter().collect();
        // Weights that the registry does not have are nobody's business here.
        let names = |inputs: BTreeSet<Input>| -> Vec<String> {
            inputs.iter().map(|input| input.name().to_owned()).collect()
        };
        assert_eq!(names(of(&job, &plan)?), ["stl10", "alexnet"]);

        // The data are there, the weights are not.
        let data = folder.path().join("stl10_binary");
        std::fs::create_dir(&data)?;
        std::fs::write(data.join(LAST), "")?;
        let inputs = of(&job, &plan)?;
        assert_eq!(inputs.iter().map(|i| i.there(&job)).collect::<Vec<_>>(), [true, false]);
        assert_eq!(arguments.data(Experiment::Autoencoder), Some(data));
        assert_eq!(arguments.data(Experiment::Inversion), None, "ILSVRC-2012 is not downloaded");
        let mut failures = Failures::default();
        have(&job, &inputs, &plan, &mut failures)?;
        let failed: Vec<bool> =
            plan.iter().map(|planned| failures.has(&planned.run.name)).collect();
        assert_eq!(failed, [false, false, true, false], "only the run with AlexNet");
        // The shipped comparator comes along.
        assert!(folder.path().join("weights/exemplar-cnn.safetensors").is_file());
        Ok(())
    }

    #[test]
    fn comparators_are_trained_for_the_runs_that_compare_with_them() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let targets = ["autoencoder", "fig4", "table6", "--train-exemplar-cnn"];
        let arguments = parse(&[&targets[..], &["--train-videonet", "tracks.txt"]].concat())?;
        let job = job(&arguments, folder.path());
        let plan = planned(&arguments)?;
        let plan: Vec<&Planned> = plan.iter().collect();
        let both = Comparator::ALL.map(Input::Trained);
        assert_eq!(of(&job, &plan)?, BTreeSet::from(both.clone()));
        let trained = |planned: &&&Planned| Comparator::overrides(&job, &planned.run).is_some();
        let names = plan.iter().filter(trained).map(|planned| planned.run.name.as_str());
        let known =
            ["autoencoder-exemplar-cnn-conv3", "vae-videonet-conv5", "inversion-fc6-videonet"];
        assert_eq!(names.collect::<Vec<_>>(), known);
        let few = |name: &str| {
            let one = plan.iter().filter(|planned| planned.run.name == name).copied();
            of(&job, &one.collect::<Vec<_>>())
        };
        assert_eq!(few(known[0])?, BTreeSet::from([both[0].clone()]));
        assert_eq!(few("autoencoder-se")?, BTreeSet::new());
        for net in Comparator::ALL {
            let done = folder.path().join("comparators").join(net.name());
            std::fs::create_dir_all(&done)?;
            assert!(!Input::Trained(net).there(&job));
            std::fs::write(done.join("done.json"), "{}")?;
            assert!(Input::Trained(net).there(&job));
        }
        Ok(())
    }
}
