//! Recipes of comparators.

use std::path::Path;

use deepsim_data::exemplars::ExemplarConfig;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::recipe::{OutputConfig, parse};
use crate::solver::SgdConfig;

/// Everything that decides the numbers of a run, but for the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparatorRecipe {
    /// Which network.
    pub comparator: Learned,
    /// Name of the run, for logs and reports.
    pub name: String,
    /// Seed of initial weights, patches, sample order and dropout.
    #[serde(default)]
    pub seed: u64,
    /// Updates.
    pub steps: u64,
    /// Samples per update.
    pub batch: usize,
    /// The surrogate classes of an Exemplar-CNN.
    pub classes: Option<Classes>,
    /// The optimiser.
    pub sgd: SgdConfig,
    /// What is written, and how often.
    #[serde(default)]
    pub output: OutputConfig,
}

/// Comparators that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learned {
    /// Exemplar-CNN, on surrogate classes.
    ExemplarCnn,
}

/// Surrogate classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// How many, each from another picture; 16,000 in the release.
    pub number: usize,
    /// Deformations drawn for each; 150 in the release.
    #[serde(default = "deformations")]
    pub deformations: usize,
    /// Classes that the first steps are made with. From the release's small initial weights a network
    /// hardly learns to tell thousands of classes apart, but soon learns to tell a few.
    #[serde(default = "first")]
    pub first: usize,
    /// How many steps are made with them, as the release's script does before its training proper;
    /// 0 for 16,000 classes there.
    #[serde(default)]
    pub first_steps: u64,
}

fn first() -> usize {
    1
}

fn deformations() -> usize {
    150
}

impl Classes {
    /// The classes of a run with `seed`.
    pub fn config(&self, seed: u64) -> ExemplarConfig {
        ExemplarConfig { classes: self.number, deformations: self.deformations, seed }
    }
}

impl ComparatorRecipe {
    /// Whether a recipe is one of a comparator: it has the key `comparator`.
    pub fn recognises(text: &str) -> bool {
        text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("comparator"))
    }

    /// Reads a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// Names the file, and the line where TOML knows it.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io("reading recipe", path))?;
        Self::parse(&text, overrides).map_err(|error| error.in_recipe(path))
    }

    /// Parses a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown, or a value makes no sense.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, TrainError> {
        let recipe: Self = parse(text, overrides)?;
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), TrainError> {
        let at_least_one = |what: &str, value: u64| match value {
            0 => Err(TrainError::recipe(format!("{what}: wanted at least 1, got 0"))),
            _ => Ok(()),
        };
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        self.output.check()?;
        self.sgd.check()?;
        match (self.comparator, self.classes) {
            (Learned::ExemplarCnn, Some(classes)) => {
                at_least_one("classes.number", classes.number as u64)?;
                at_least_one("classes.deformations", classes.deformations as u64)?;
                match (1..=classes.number).contains(&classes.first) {
                    true => Ok(()),
                    false => Err(TrainError::recipe(format!(
                        "classes.first: wanted 1 to {}, got {}",
                        classes.number, classes.first
                    ))),
                }
            }
            (Learned::ExemplarCnn, None) => {
                Err(TrainError::recipe("classes: exemplar-cnn needs them"))
            }
        }
    }
}
