//! What runs need before they are trained: data and weights, downloaded with `--fetch`, and a comparator that is
//! trained with `--train-exemplar-cnn`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::arguments::Arguments;
use super::{Failures, Job};
use crate::plan::Planned;
use crate::process::{self, say};
use crate::runs::Run;
use crate::scale::Scale;
use crate::targets::Experiment;
use crate::workspace;

/// Something that runs need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    /// The data set.
    Stl10,
    /// Weights of a network that the registry has under its name.
    Weights(String),
    /// The Exemplar-CNN, trained here.
    Trained,
}

/// A data set's last file.
const LAST: &str = "class_names.txt";

impl Input {
    /// Its name, in the registry if it is from there.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Stl10 => "stl10",
            Self::Weights(net) => net,
            Self::Trained => EXEMPLAR_CNN,
        }
    }

    /// Whether a run needs it.
    fn serves(&self, run: &Run) -> bool {
        match self {
            Self::Stl10 => run.experiment.on_stl10(),
            Self::Weights(net) => run.networks().contains(net),
            Self::Trained => run.networks().iter().any(|net| net == EXEMPLAR_CNN),
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
            Self::Trained => trained(&job.out).with_file_name("done.json").is_file(),
        }
    }

    /// Gets it.
    fn have(&self, job: &Job<'_>) -> Result<()> {
        if *self == Self::Trained {
            return train(job);
        }
        let source = &job.arguments.source;
        say(&format!("== download {}", self.name()));
        let files = source.get(self.name())?;
        if let Self::Weights(net) = self {
            let file = files.first().with_context(|| format!("{net}: the registry has no file"))?;
            let mut command = job.program("deepsim-import");
            command.arg(file).args(["--net", net]).arg("--out").args(job.arguments.weights());
            process::run(&mut command, &format!("importing {net}"))?;
        }
        Ok(())
    }
}

const EXEMPLAR_CNN: &str = "exemplar-cnn";

/// The weights of the Exemplar-CNN that is trained here.
fn trained(out: &Path) -> PathBuf {
    out.join("comparators").join(EXEMPLAR_CNN).join("comparator.safetensors")
}

/// Overrides of a run that compares with a network that is trained here.
pub(super) fn overrides(job: &Job<'_>, run: &Run) -> Option<String> {
    let wanted = job.arguments.train_exemplar_cnn && Input::Trained.serves(run);
    let path = std::path::absolute(trained(&job.out)).unwrap_or_else(|_| trained(&job.out));
    wanted.then(|| format!("feature.weights={}", path.display()))
}

/// Trains the Exemplar-CNN: as its release does at the paper's scale, a small one at the others.
fn train(job: &Job<'_>) -> Result<()> {
    say("== train the comparator Exemplar-CNN");
    let (recipe, steps) = match job.arguments.scale {
        Scale::Smoke => ("exemplar-cnn-small", Some(4)),
        Scale::Quick => ("exemplar-cnn-small", Some(500)),
        Scale::Paper => (EXEMPLAR_CNN, None),
    };
    let recipes = workspace::root().join("crates/deepsim-train/recipes");
    let mut command = job.program("deepsim-train");
    command.arg(recipes.join(recipe).with_extension("toml")).arg("--resume");
    command.arg("--out").args(trained(&job.out).parent());
    job.inputs(Experiment::Autoencoder, &mut command);
    job.threads(&mut command);
    command.args(["--set", &format!("seed={}", job.arguments.seed)]);
    if let Some(steps) = steps {
        command.args(["--set", &format!("steps={steps}")]);
    }
    process::run(&mut command, "training the comparator Exemplar-CNN")
}

/// What the runs need that is to be had first, each once.
pub(super) fn of(arguments: &Arguments, runs: &[&Planned]) -> Result<BTreeSet<Input>> {
    let mut all = BTreeSet::new();
    let mut needed = |input: Input| {
        if runs.iter().any(|planned| input.serves(&planned.run)) {
            all.insert(input);
        }
    };
    if arguments.train_exemplar_cnn {
        needed(Input::Trained);
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
            Input::Trained => format!("{name}: to train, as a comparator"),
            _ => format!("{name}: to download: {}", title.unwrap_or_default()),
        });
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
        let name = format!("{EXEMPLAR_CNN}.safetensors");
        let shipped = workspace::root().join("data/weights").join(&name);
        if shipped.is_file() && !weights.join(&name).exists() {
            std::fs::copy(&shipped, weights.join(&name))
                .with_context(|| format!("copying {}", shipped.display()))?;
        }
    }
    // What was trained is looked at by the program itself: it may be of another plan.
    let missing = |input: &&Input| !input.there(job) || **input == Input::Trained;
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
    use super::super::arguments::parse;
    use super::*;
    use crate::download::tests::server::{Reply, Server};
    use crate::plan::Wanted;
    use crate::targets::{Target, Work};

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
        let job = Job {
            arguments: &arguments,
            out: folder.path().into(),
            target: folder.path().into(),
            lane: Lane::default(),
        };
        let plan = planned(&arguments)?;
        let plan: Vec<&Planned> = plan.iter().collect();
        // Weights that the registry does not have are nobody's business here.
        let names = |inputs: BTreeSet<Input>| -> Vec<String> {
            inputs.iter().map(|input| input.name().to_owned()).collect()
        };
        assert_eq!(names(of(&arguments, &plan)?), ["stl10", "alexnet"]);
        let own = ["--data", "x", "--weights", "y", "--train-exemplar-cnn"];
        assert_eq!(names(of(&parse(&[&words[..], &own].concat())?, &plan)?), ["exemplar-cnn"]);

        // The data are there, the weights are not.
        let data = folder.path().join("stl10_binary");
        std::fs::create_dir(&data)?;
        std::fs::write(data.join(LAST), "")?;
        let inputs = of(&arguments, &plan)?;
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
}
