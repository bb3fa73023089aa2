//! Presets: how long runs train, and how much of the test set they are measured on.

use serde::{Deserialize, Serialize};

use crate::ReproduceError;
use crate::catalogue::Experiment;

/// A preset, `--scale` on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Shows that everything works: less than a minute on 2 cores.
    Smoke,
    /// First differences between the losses: minutes on 2 cores.
    #[default]
    Quick,
    /// The paper's: 500,000 steps of 64 images and more.
    Paper,
}

/// Numbers of a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Training steps of each run.
    pub steps: u64,
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
    pub const ALL: [Self; 3] = [Self::Smoke, Self::Quick, Self::Paper];

    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
        }
    }

    /// One line for the help.
    pub fn about(self) -> &'static str {
        match self {
            Self::Smoke => "Shows that everything works: less than a minute on 2 cores",
            Self::Quick => "First differences between the losses: minutes on 2 cores",
            Self::Paper => "The paper's: 500,000 steps of 64 images and more; needs --data",
        }
    }

    /// The numbers of this preset.
    pub fn size(self, experiment: Experiment) -> Size {
        let paper = Size {
            steps: 500_000,
            batch: 64,
            limit: None,
            svm_draws: None,
            train_limit: None,
            optimised: (20, None),
            code_only: false,
        };
        match (self, experiment) {
            (Self::Smoke, Experiment::Autoencoder) => Size {
                steps: 6,
                batch: 8,
                limit: Some(32),
                svm_draws: Some(2),
                code_only: true,
                ..paper
            },
            (Self::Quick, Experiment::Autoencoder) => {
                Size { steps: 500, batch: 16, limit: Some(300), svm_draws: Some(10), ..paper }
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
            (Self::Quick, Experiment::Inversion) => Size {
                steps: 20,
                batch: 8,
                limit: Some(40),
                train_limit: Some(100),
                optimised: (4, Some(60)),
                ..paper
            },
            // The decoder is the generator for FC6; samples are compared with 40 images or more.
            (Self::Smoke, Experiment::Vae) => Size { steps: 1, batch: 2, limit: Some(2), ..paper },
            (Self::Quick, Experiment::Vae) => {
                Size { steps: 20, batch: 8, limit: Some(40), ..paper }
            }
            (Self::Smoke, Experiment::SmallVae) => {
                Size { steps: 6, batch: 8, limit: Some(40), ..paper }
            }
            (Self::Quick, Experiment::SmallVae) => {
                Size { steps: 500, batch: 16, limit: Some(300), ..paper }
            }
            (Self::Paper, Experiment::SmallVae) => Size { steps: 100_000, ..paper },
            (Self::Paper, _) => Size { steps: 1_000_000, ..paper },
        }
    }
}

impl Size {
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
                "steps" => self.steps = number()?,
                "batch" => self.batch = number()?,
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

    #[test]
    fn overrides_change_the_numbers_or_are_refused() {
        let size = Preset::Smoke.size(Experiment::Autoencoder);
        let with =
            |sets: &[&str]| size.with(&sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let changed = with(&["steps=1_000", "batch = 4", "adam.learning_rate=1e-3", "steps=20"]);
        assert_eq!(changed.ok(), Some(Size { steps: 20, batch: 4, ..size }));
        for bad in ["steps", "steps=0", "batch=few", "seed=1", "name=x"] {
            let error = with(&[bad]).expect_err(bad);
            assert!(error.to_string().starts_with(&format!("--set {bad}: ")), "{error}");
            assert_eq!(error.exit_code(), crate::error::USAGE);
        }
    }
}
