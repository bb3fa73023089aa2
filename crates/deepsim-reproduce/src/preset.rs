//! Presets: how long runs train, and how much of the test set they are measured on.

use serde::{Deserialize, Serialize};

use crate::ReproduceError;
use crate::catalogue::{Experiment, Run};

/// A short training takes longer strides than the paper's, and shorter ones at its end, and has no time to unlearn a
/// grid of period two.
const BEFORE: &[&str] =
    &["adam.learning_rate=1e-3", "adam.milestones=[500, 700]", "interpolate=true"];
/// In an hour colours are learned again, and the feature term has its usual share.
const HOUR_AFTER: &[&str] = &["adam.learning_rate=7e-4", "average=0.95", "feature.places=4"];
const HOUR_BEFORE: &[&str] =
    &["adam.learning_rate=1e-3", "adam.milestones=[3000, 4200]", "interpolate=true"];
/// With the paper's rate a few hundred steps change little. The mean of the last weights takes out the noise of single
/// steps, and with a smaller share of the feature term the colours of squared error are kept.
const AFTER: &[&str] =
    &["adam.learning_rate=7e-4", "feature.rho=0.5", "average=0.95", "feature.places=4"];

/// Small inversions begin with the image term alone, too, and pre-images with the whole loss; both have the discriminator from
/// their first step.
const SMALL_BEFORE: &[&str] = &["adam.learning_rate=1e-3", "adam.milestones=[900, 1300]"];
const SMALL_AFTER: &[&str] =
    &["adam.learning_rate=5e-4", "adam.milestones=[600, 850]", "adversarial.after=0"];
const SMALL_PAPER: &[&str] = &["adam.milestones=[60000, 85000]"];

/// A preset, `--scale` on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Shows that everything works: less than a minute on 2 cores.
    Smoke,
    /// The difference between the losses in five minutes on 2 cores.
    #[default]
    Quick,
    /// The same in an hour on 2 cores.
    Hour,
    /// The paper's: 500,000 steps of 64 images and more; 100,000 for the small experiments of sections 4.2 and 4.3.
    Paper,
}

/// Beginning of runs with the weights of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Training steps of the runs that begin so.
    pub steps: u64,
    /// Images per step.
    pub batch: u64,
    /// Overrides of their recipes.
    pub sets: &'static [&'static str],
}

/// Numbers of a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Training steps of each run.
    pub steps: u64,
    /// Overrides of recipes.
    pub sets: &'static [&'static str],
    /// Beginning of runs with the weights of [another](Run::begins_with), which are fresh where `None`.
    pub begin: Option<Begin>,
    /// Images per step.
    pub batch: u64,
    /// Test images that are measured on; all where `None`.
    pub limit: Option<usize>,
    /// Values of C that the SVM protocol tries; the protocol's own number where `None`.
    pub svm_draws: Option<usize>,
    /// Training images in which the nearest are looked for; all where `None`.
    pub train_limit: Option<usize>,
    /// Images that are inverted by optimisation, and its steps; the method's own where `None`.
    pub optimised: (usize, Option<usize>),
    /// True if SVMs are trained on the whole image's code alone, and not on crops and pixels too.
    pub code_only: bool,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Smoke, Self::Quick, Self::Hour, Self::Paper];

    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Hour => "hour",
            Self::Paper => "paper",
        }
    }

    /// One line for the help.
    pub fn about(self) -> &'static str {
        match self {
            Self::Smoke => "Shows that everything works: less than a minute on 2 cores",
            Self::Quick => {
                "The difference between the losses: five minutes on 2 cores for the default target"
            }
            Self::Hour => "The same in an hour",
            Self::Paper => {
                "The paper's: 500,000 steps of 64 images and more, 100,000 at 64 pixels in sections 4.2 and 4.3; needs \
                 --data, --ilsvrc or --fetch"
            }
        }
    }

    /// The numbers of this preset.
    pub fn size(self, experiment: Experiment) -> Size {
        let paper = Size {
            steps: 500_000,
            sets: &[],
            begin: None,
            batch: 64,
            limit: None,
            svm_draws: None,
            train_limit: None,
            optimised: (20, None),
            code_only: false,
        };
        let longer = if self == Self::Hour { 12 } else { 1 };
        match (self, experiment) {
            (Self::Smoke, Experiment::Autoencoder) => Size {
                steps: 6,
                batch: 8,
                limit: Some(32),
                svm_draws: Some(2),
                code_only: true,
                begin: Some(Begin { steps: 4, batch: 8, sets: AFTER }),
                ..paper
            },
            (Self::Quick, Experiment::Autoencoder) => {
                // Small batches: in as much time, more steps change more.
                let begin = Begin { steps: 300, batch: 8, sets: AFTER };
                let (sets, begin) = (BEFORE, Some(begin));
                let (limit, svm_draws) = (Some(100), Some(10));
                Size { steps: 800, batch: 16, sets, begin, limit, svm_draws, ..paper }
            }
            (Self::Hour, Experiment::Autoencoder) => {
                let begin = Begin { steps: 2_500, batch: 16, sets: HOUR_AFTER };
                let (sets, begin) = (HOUR_BEFORE, Some(begin));
                let (limit, svm_draws) = (Some(300), Some(20));
                Size { steps: 5_000, batch: 16, sets, begin, limit, svm_draws, ..paper }
            }
            (Self::Paper, Experiment::Autoencoder) => paper,
            // Images of 227 pixels, and up to eleven generators for a table.
            (Self::Smoke, Experiment::Inversion) => Size {
                steps: 1,
                batch: 2,
                limit: Some(2),
                train_limit: Some(4),
                optimised: (2, Some(4)),
                ..paper
            },
            (Self::Quick | Self::Hour, Experiment::Inversion) => Size {
                steps: longer * 20,
                batch: 8,
                limit: Some(40),
                train_limit: Some(100),
                optimised: (4, Some(60)),
                ..paper
            },
            // The decoder is the generator for FC6; samples are compared with 40 images or more.
            (Self::Smoke, Experiment::Vae) => Size { steps: 1, batch: 2, limit: Some(2), ..paper },
            (Self::Quick | Self::Hour, Experiment::Vae) => {
                Size { steps: longer * 20, batch: 8, limit: Some(40), ..paper }
            }
            (Self::Smoke, Experiment::SmallVae) => {
                Size { steps: 6, batch: 8, limit: Some(40), ..paper }
            }
            (Self::Quick | Self::Hour, Experiment::SmallVae) => {
                Size { steps: longer * 500, batch: 16, limit: Some(300), ..paper }
            }
            (Self::Paper, Experiment::SmallVae) => Size { steps: 100_000, ..paper },
            (Self::Paper, Experiment::SmallInversion) => {
                Size { steps: 100_000, sets: SMALL_PAPER, ..paper }
            }
            (Self::Smoke, Experiment::SmallInversion) => {
                let begin = Some(Begin { steps: 2, batch: 4, sets: SMALL_AFTER });
                let (limit, train_limit) = (Some(8), Some(8));
                Size { steps: 2, batch: 4, begin, limit, train_limit, ..paper }
            }
            (Self::Quick, Experiment::SmallInversion) => {
                let begin = Some(Begin { steps: 150, batch: 16, sets: SMALL_AFTER });
                let (sets, limit, train_limit) = (SMALL_BEFORE, Some(100), Some(1_000));
                Size { steps: 500, batch: 16, sets, begin, limit, train_limit, ..paper }
            }
            (Self::Hour, Experiment::SmallInversion) => {
                let begin = Some(Begin { steps: 1_000, batch: 16, sets: SMALL_AFTER });
                let (sets, limit) = (SMALL_BEFORE, Some(200));
                Size { steps: 1_500, batch: 16, sets, begin, limit, ..paper }
            }
            (Self::Paper, _) => Size { steps: 1_000_000, ..paper },
        }
    }
}

impl Size {
    /// The numbers of a run, which may begin with another's weights: its steps and overrides.
    pub fn of(self, run: &Run) -> Self {
        match self.begin.filter(|_| run.begins_with().is_some()) {
            Some(Begin { steps, batch, sets }) => Self { steps, batch, sets, ..self },
            None => Self { begin: None, ..self },
        }
    }

    /// The numbers after overrides `key=value`; `steps` and `batch` count here, the rest is the recipe's.
    ///
    /// # Errors
    /// If an override makes no sense here.
    pub fn with(mut self, sets: &[String]) -> Result<Self, ReproduceError> {
        for set in sets {
            let refuse =
                |reason: &str| Err(ReproduceError::usage(format!("--set {set}: {reason}")));
            let Some((key, value)) = set.split_once('=') else {
                return refuse("expected KEY=VALUE, e.g. steps=1000");
            };
            let number = || match value.trim().replace('_', "").parse::<u64>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(ReproduceError::usage(format!(
                    "--set {set}: expected a whole number of at least 1"
                ))),
            };
            match key.trim() {
                "steps" => {
                    self.steps = number()?;
                    self.begin = self.begin.map(|begin| Begin { steps: self.steps, ..begin });
                }
                "batch" => {
                    self.batch = number()?;
                    self.begin = self.begin.map(|begin| Begin { batch: self.batch, ..begin });
                }
                "seed" => return refuse("use --seed, which evaluation needs too"),
                "name" => return refuse("runs keep the names of their recipes"),
                _ => {}
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Encoder, Layer, runs};

    #[test]
    fn overrides_change_the_numbers_or_are_refused() {
        let size = Preset::Smoke.size(Experiment::Autoencoder);
        let with =
            |sets: &[&str]| size.with(&sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let changed = with(&["steps=1_000", "batch = 4", "adam.learning_rate=1e-3", "steps=20"]);
        let begin = size.begin.map(|begin| Begin { steps: 20, batch: 4, ..begin });
        assert_eq!(changed.ok(), Some(Size { steps: 20, batch: 4, begin, ..size }));
        for bad in ["steps", "steps=0", "batch=few", "seed=1", "name=x"] {
            let error = with(&[bad]).expect_err(bad);
            assert!(error.to_string().starts_with(&format!("--set {bad}: ")), "{error}");
            assert_eq!(error.exit_code(), crate::error::USAGE);
        }
    }

    #[test]
    fn runs_begin_with_the_weights_of_another_except_at_the_papers_scale() {
        let encoder = Encoder { name: "alexnet".into(), calibrated: true };
        for run in runs(&Layer::ALL, &encoder) {
            for preset in Preset::ALL {
                let whole = preset.size(run.experiment);
                let size = whole.of(&run);
                let first = run.id == "autoencoder-se" || run.id.ends_with("-image");
                let may = [Experiment::Autoencoder, Experiment::SmallInversion];
                let begins = !first && may.contains(&run.experiment) && preset != Preset::Paper;
                assert_eq!(size.begin.is_some(), begins, "{} at {}", run.id, preset.name());
                if size.begin.is_some() {
                    let first = run.begins_with().expect("another run");
                    let (whole_loss, id) = (first == "inversion-small-conv5", &run.id);
                    assert_eq!(whole_loss, id.starts_with("preimages"), "{id} begins with {first}");
                }
                let steps = whole.begin.filter(|_| begins).map_or(whole.steps, |b| b.steps);
                assert_eq!(size.steps, steps, "{} at {}", run.id, preset.name());
                // Overrides of the preset fit the recipes that take them.
                let sets =
                    size.sets.iter().filter(|set| run.takes(set)).map(|set| (*set).to_owned());
                let mut changed = run.clone();
                changed.overrides.extend(sets);
                changed.recipe().expect("a recipe");
            }
        }
    }
}
