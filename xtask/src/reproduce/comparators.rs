//! Comparators that are trained before the runs that compare with them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Job;
use crate::plan::duration;
use crate::process::{self, say};
use crate::runs::Run;
use crate::scale::Scale;
use crate::targets::Experiment;

/// One that can be trained here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comparator {
    /// From STL-10's pictures.
    ExemplarCnn,
    /// From tracks of videos.
    VideoNet,
}

/// How one is trained at a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Training {
    recipe: &'static str,
    steps: u64,
    /// Patches or pairs per step.
    batch: u64,
    /// 10⁹ floating-point operations for each of them, as `deepsim plan` counts them.
    gflop: f64,
}

impl Comparator {
    /// All.
    pub(super) const ALL: [Self; 2] = [Self::ExemplarCnn, Self::VideoNet];

    /// Its name in recipes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ExemplarCnn => "exemplar-cnn",
            Self::VideoNet => "videonet",
        }
    }

    /// Whether it is to be trained here.
    pub(super) fn wanted(self, job: &Job<'_>) -> bool {
        match self {
            Self::ExemplarCnn => job.arguments.train_exemplar_cnn,
            Self::VideoNet => job.arguments.train_videonet.is_some(),
        }
    }

    /// Whether a run compares with it.
    pub(super) fn serves(self, run: &Run) -> bool {
        run.comparator().as_deref() == Some(self.name())
    }

    /// As the recipe has it at the paper's scale; small, or cut short, at the others.
    fn training(self, scale: Scale) -> Training {
        let (recipe, steps, batch, gflop) = match (self, scale) {
            (Self::ExemplarCnn, Scale::Smoke) => ("exemplar-cnn-small", 4, 128, 0.74),
            (Self::ExemplarCnn, Scale::Quick) => ("exemplar-cnn-small", 500, 128, 0.74),
            (Self::ExemplarCnn, Scale::Paper) => ("exemplar-cnn", 1_560_000, 128, 0.75),
            (Self::VideoNet, Scale::Smoke) => ("videonet", 2, 4, 8.2),
            (Self::VideoNet, Scale::Quick) => ("videonet", 200, 20, 8.2),
            (Self::VideoNet, Scale::Paper) => ("videonet", 400_000, 40, 8.2),
        };
        Training { recipe, steps, batch, gflop }
    }

    /// The folder in which it is trained.
    fn folder(self, out: &Path) -> PathBuf {
        out.join("comparators").join(self.name())
    }

    /// Whether it has been trained.
    pub(super) fn trained(self, job: &Job<'_>) -> bool {
        self.folder(&job.out).join("done.json").is_file()
    }

    /// Seconds of the training of all that were trained here.
    pub(super) fn seconds(job: &Job<'_>) -> f64 {
        let seconds = |net: Self| {
            let done = std::fs::read(net.folder(&job.out).join("done.json")).ok()?;
            serde_json::from_slice::<serde_json::Value>(&done).ok()?["seconds"].as_f64()
        };
        Self::ALL.into_iter().filter(|net| net.wanted(job)).filter_map(seconds).sum()
    }

    /// What is to be done, and how long it takes.
    pub(super) fn plan(self, job: &Job<'_>) -> String {
        let Training { steps, batch, gflop, .. } = self.training(job.arguments.scale);
        let time = duration(job.machine().minutes(gflop * batch as f64, steps));
        format!("to train first, as a comparator: {steps} steps of {batch}, {time}")
    }

    /// Trains it, or goes on with it.
    pub(super) fn train(self, job: &Job<'_>) -> Result<()> {
        let name = self.name();
        say(&format!("== train the comparator {name}"));
        let Training { recipe, steps, batch, .. } = self.training(job.arguments.scale);
        let mut command = job.trainer(recipe, &self.folder(&job.out));
        match (self, &job.arguments.train_videonet) {
            (Self::VideoNet, Some(tracks)) => {
                command.args(["--device", job.arguments.device.name()]).arg("--data").arg(tracks);
            }
            _ => job.inputs(Experiment::Autoencoder, &mut command),
        }
        for set in [
            format!("seed={}", job.arguments.seed),
            format!("steps={steps}"),
            format!("batch={batch}"),
        ] {
            command.args(["--set", &set]);
        }
        // The one key that runs and comparators share.
        for set in job.arguments.sets().iter().filter(|set| set.starts_with("precision=")) {
            command.args(["--set", set]);
        }
        process::run(&mut command, &format!("training the comparator {name}"))
    }

    /// Overrides of a run that compares with one that is trained here.
    pub(super) fn overrides(job: &Job<'_>, run: &Run) -> Option<String> {
        let comparator = Self::ALL.into_iter().find(|net| net.wanted(job) && net.serves(run))?;
        let weights = comparator.folder(&job.out).join("comparator.safetensors");
        let weights = std::path::absolute(&weights).unwrap_or(weights);
        Some(format!("feature.weights={}", weights.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_papers_scale_is_the_recipes() -> Result<()> {
        for net in Comparator::ALL {
            let Training { recipe, steps, batch, .. } = net.training(Scale::Paper);
            let path = format!("crates/deepsim-run/recipes/{recipe}.toml");
            let text = std::fs::read_to_string(workspace::root().join(path))?;
            let recipe: toml::Table = text.parse()?;
            let number = |key: &str| recipe[key].as_integer().and_then(|n| u64::try_from(n).ok());
            assert_eq!((number("steps"), number("batch")), (Some(steps), Some(batch)));
        }
        Ok(())
    }
}
