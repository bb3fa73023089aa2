//! How long each scale trains, and how much of the test set it measures on.

use clap::ValueEnum;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Shows that everything works: less than a minute on 2 cores
    Smoke,
    /// First differences between the losses: minutes on 2 cores
    Quick,
    /// The paper's: 500,000 steps of 64; needs --data
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
    pub(crate) fn size(self) -> Size {
        match self {
            Self::Smoke => {
                Size { steps: 6, batch: 8, limit: Some(32), svm_draws: Some(2), code_only: true }
            }
            Self::Quick => Size {
                steps: 500,
                batch: 16,
                limit: Some(300),
                svm_draws: Some(10),
                code_only: false,
            },
            Self::Paper => {
                Size { steps: 500_000, batch: 64, limit: None, svm_draws: None, code_only: false }
            }
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
        let size = Scale::Smoke.size();
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
