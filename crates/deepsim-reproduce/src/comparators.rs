//! Comparators that are trained before the runs that compare with them.

use std::path::{Path, PathBuf};

use deepsim_run::cost::Cost;
use deepsim_run::done::Done;
use deepsim_run::files::{COMPARATOR, DONE};
use deepsim_run::recipe::ComparatorRecipe;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Run, built_in};
use crate::job::Job;
use crate::machine::duration;
use crate::preset::Preset;

/// A comparator that can be trained here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Comparator {
    /// From STL-10's images.
    ExemplarCnn,
    /// From tracks of videos.
    VideoNet,
}

/// Training of a comparator with a preset.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Training {
    recipe: &'static str,
    steps: u64,
    /// Patches or pairs per step.
    batch: u64,
}

impl Training {
    fn recipe(self) -> Result<ComparatorRecipe, ReproduceError> {
        let sets = [format!("steps={}", self.steps), format!("batch={}", self.batch)];
        Ok(ComparatorRecipe::parse(built_in(self.recipe)?, &sets)?)
    }
}

impl Comparator {
    pub(crate) const ALL: [Self; 2] = [Self::ExemplarCnn, Self::VideoNet];

    /// Name in recipes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ExemplarCnn => "exemplar-cnn",
            Self::VideoNet => "videonet",
        }
    }

    /// True if it is to be trained here.
    pub(crate) fn wanted(self, job: &Job<'_>) -> bool {
        match self {
            Self::ExemplarCnn => job.options.train_exemplar_cnn,
            Self::VideoNet => job.options.train_videonet.is_some(),
        }
    }

    /// True if a run compares with it.
    pub(crate) fn serves(self, run: &Run) -> bool {
        run.comparator().as_deref() == Some(self.name())
    }

    /// Returns the recipe's own training for the paper; small, or cut short, with the other presets.
    fn training(self, preset: Preset) -> Training {
        let (recipe, steps, batch) = match (self, preset) {
            (Self::ExemplarCnn, Preset::Smoke) => ("exemplar-cnn-small", 4, 128),
            (Self::ExemplarCnn, Preset::Quick) => ("exemplar-cnn-small", 500, 128),
            (Self::ExemplarCnn, Preset::Hour) => ("exemplar-cnn-small", 6_000, 128),
            (Self::ExemplarCnn, Preset::Paper) => ("exemplar-cnn", 1_560_000, 128),
            (Self::VideoNet, Preset::Smoke) => ("videonet", 2, 4),
            (Self::VideoNet, Preset::Quick) => ("videonet", 200, 20),
            (Self::VideoNet, Preset::Hour) => ("videonet", 2_400, 20),
            (Self::VideoNet, Preset::Paper) => ("videonet", 400_000, 40),
        };
        Training { recipe, steps, batch }
    }

    /// The folder in which it is trained.
    fn folder(self, out: &Path) -> PathBuf {
        out.join("comparators").join(self.name())
    }

    /// True if it has been trained.
    pub(crate) fn trained(self, job: &Job<'_>) -> bool {
        self.folder(&job.options.out).join(DONE).is_file()
    }

    /// Seconds of the training of all that were trained here.
    pub(crate) fn seconds(job: &Job<'_>) -> f64 {
        let seconds = |net: Self| {
            let done = Done::read(&net.folder(&job.options.out)).ok()??;
            Some(done.seconds)
        };
        Self::ALL.into_iter().filter(|net| net.wanted(job)).filter_map(seconds).sum()
    }

    /// Describes what is to be done, and how long it takes.
    pub(crate) fn plan(self, job: &Job<'_>) -> Result<String, ReproduceError> {
        let training = self.training(job.options.scale);
        let Training { steps, batch, .. } = training;
        let flops = Cost::of_comparator(&training.recipe()?)?.flops;
        let time = duration(job.machine().minutes(flops * batch as f64, steps));
        Ok(format!("to train first, as a comparator: {steps} steps of {batch}, {time}"))
    }

    /// Trains it, or continues.
    pub(crate) fn train(self, job: &Job<'_>) -> Result<(), ReproduceError> {
        let name = self.name();
        tracing::info!("== train the comparator {name}");
        let Training { recipe, steps, batch } = self.training(job.options.scale);
        let mut command = job.trainer(recipe, &self.folder(&job.options.out));
        match (self, &job.options.train_videonet) {
            (Self::VideoNet, Some(tracks)) => {
                command.args(["--device", job.options.device.name()]).arg("--data").arg(tracks);
            }
            _ => job.inputs(Experiment::Autoencoder, &mut command),
        }
        let sizes = [
            format!("seed={}", job.options.seed),
            format!("steps={steps}"),
            format!("batch={batch}"),
        ];
        // The one key that runs and comparators share.
        let shared = job.options.sets().into_iter().filter(|set| set.starts_with("precision="));
        for set in sizes.into_iter().chain(shared) {
            command.arg("--set").arg(set);
        }
        job.host.run(&mut command, &format!("training the comparator {name}"), None)
    }

    /// Overrides of a run that compares with one that is trained here.
    pub(crate) fn overrides(job: &Job<'_>, run: &Run) -> Option<String> {
        let comparator = Self::ALL.into_iter().find(|net| net.wanted(job) && net.serves(run))?;
        let weights = comparator.folder(&job.options.out).join(COMPARATOR);
        let weights = std::path::absolute(&weights).unwrap_or(weights);
        Some(format!("feature.weights={}", weights.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_preset_is_what_the_recipes_say() {
        for net in Comparator::ALL {
            let Training { recipe, steps, batch } = net.training(Preset::Paper);
            let recipe = built_in(recipe).and_then(|text| ComparatorRecipe::parse(text, &[]));
            let recipe = recipe.expect("a recipe");
            assert_eq!((recipe.steps, recipe.batch as u64), (steps, batch));
            assert_eq!(recipe.comparator.name(), net.name());
        }
    }
}
