//! How long each scale trains, and how much of the test set it measures on.

use clap::ValueEnum;

use crate::targets::Experiment;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Shows that everything works: less than a minute on 2 cores
    Smoke,
    /// First differences between the losses: minutes on 2 cores
    Quick,
    /// The paper's: 500,000 steps of 64 and more; needs --data
    Paper,
}

/// Numbers of a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Training steps of each run.
    pub(crate) steps: u64,
    /// Images per step.
    pub(crate) batch: u64,
    /// Test images that are measured on; all where `None`.
    pub(crate) limit: Option<usize>,
    /// Values of C that the SVM protocol tries; the protocol's own number where `None`.
    pub(crate) svm_draws: Option<usize>,
    /// Training images in which the nearest are looked for; all where `None`.
    pub(crate) train_limit: Option<usize>,
    /// Pictures that are inverted by optimisation, and its steps; the method's own where `None`.
    pub(crate) optimised: (usize, Option<usize>),
    /// Whether SVMs are trained on the whole image's code alone, and not on crops and pixels too.
    pub(crate) code_only: bool,
}

impl Scale {
    /// Name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
        }
    }

    /// The numbers of this scale.
    pub(crate) fn size(self, experiment: Experiment) -> Size {
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
    /// The numbers after overrides `key=value`; `steps` and `batch` are the ones that matter here,
    /// all others are the recipe's business.
    ///
    /// # Errors
    /// A sentence about an override that makes no sense here.
    pub(crate) fn with(mut self, sets: &[String]) -> Result<Self, String> {
        for set in sets {
            let (key, value) = set
                .split_once('=')
                .ok_or_else(|| format!("--set {set}: wanted KEY=VALUE, e.g. steps=1000"))?;
            let number = || {
                let digits = value.trim().replace('_', "");
                match digits.parse::<u64>() {
                    Ok(number) if number > 0 => Ok(number),
                    _ => Err(format!("--set {set}: wanted a whole number of at least 1")),
                }
            };
            match key.trim() {
                "steps" => self.steps = number()?,
                "batch" => self.batch = number()?,
                "seed" => {
                    return Err(format!("--set {set}: use --seed, which evaluation needs too"));
                }
                "name" => return Err(format!("--set {set}: runs keep the names of their recipes")),
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
        let size = Scale::Smoke.size(Experiment::Autoencoder);
        let with =
            |sets: &[&str]| size.with(&sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let changed = with(&["steps=1_000", "batch = 4", "adam.learning_rate=1e-3", "steps=20"]);
        assert_eq!(changed, Ok(Size { steps: 20, batch: 4, ..size }));
        for bad in ["steps", "steps=0", "batch=few", "seed=1", "name=x"] {
            let message = with(&[bad]).expect_err(bad);
            assert!(message.starts_with(&format!("--set {bad}: ")), "{message}");
        }
    }
}
