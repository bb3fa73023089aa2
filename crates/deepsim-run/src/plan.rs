//! Checked plans: a recipe with every default filled in, the data and the comparator found, and the feature weight
//! settled. A plan is written beside the results before training starts.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::difference::differences;
use crate::files;
use crate::read::read;
use crate::recipe::{ComparatorRecipe, Inversion, Recipe};

/// Plan of a run that trains a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The data set.
    pub data: DataPlan,
    /// Origin of the weights of the network that is inverted, or of those that the encoder of a variational
    /// autoencoder begins with.
    pub encoder: Option<String>,
    /// Origin of the comparator's weights.
    pub comparator: Option<String>,
    /// Root mean squares of the channels of the features that are inverted, where `inversion.scaled` asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<f32>,
    /// The recipe; `feature.weight` is the calibrated weight where `feature.rho` was given.
    pub recipe: Recipe,
}

/// The data set of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPlan {
    /// Name of the data set.
    pub name: String,
    /// True if it is generated and not photographed.
    pub synthetic: bool,
    /// Training images.
    pub images: usize,
    /// Fingerprint of the training images: the same wherever the files are. `None` in checkpoints of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Origin of the test images, where the data set does not define them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

impl Plan {
    /// Writes the plan as TOML.
    ///
    /// # Errors
    /// If a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, RunError> {
        to_toml(self)
    }

    /// Describes in a few lines what is trained on what.
    pub fn heading(&self) -> Vec<String> {
        let recipe = &self.recipe;
        let mut lines = vec![format!(
            "{}: {} steps of {} images from {} ({} images)",
            recipe.name, recipe.steps, recipe.batch, self.data.name, self.data.images
        )];
        lines.extend(recipe.validation.map(|validation| {
            format!("{} of the images are held out for validation", validation.images)
        }));
        if recipe.draws > 1 {
            lines.push(format!("{} draws of each image", recipe.draws));
        }
        lines.extend(self.data.test.iter().map(|test| format!("test images: {test}")));
        lines.extend(recipe.transform.iter().map(|steps| format!("training images: {steps}")));
        if let (Some(inversion), Some(origin)) = (&recipe.inversion, &self.encoder) {
            let Inversion { encoder, tap, .. } = inversion;
            lines.push(format!("inverts {encoder} {tap}, {origin}"));
        }
        if let (Some(vae), Some(origin)) = (&recipe.vae, &self.encoder) {
            let (encoder, latent) = (vae.encoder.name(), vae.config(recipe.crop).code());
            let weight = vae.divergence.weight;
            lines.push(format!(
                "variational autoencoder, codes of {latent} numbers, weight of the divergence {weight}; \
                 the encoder is {encoder}, {origin}"
            ));
        }
        if let Some(init) = &recipe.init {
            let what = if recipe.init_matching { "matching weights" } else { "the generator" };
            lines.push(format!("begins with {what} of {}", init.display()));
        }
        if let (Some(feature), Some(origin)) = (&recipe.feature, &self.comparator) {
            lines.push(format!(
                "comparator {} {}, {origin}, weight {:.4e}",
                feature.comparator,
                feature.tap,
                feature.weight.unwrap_or_default()
            ));
        }
        lines
    }

    /// Returns true if a run of `other` may be continued under this plan, on the same data: only its length
    /// and its outputs may differ.
    pub fn continues(&self, other: &Self) -> bool {
        let numbers = |plan: &Self| {
            let mut plan = plan.clone();
            plan.recipe.steps = 0;
            plan.recipe.output = Default::default();
            plan.data = self.data.clone();
            plan
        };
        numbers(self) == numbers(other)
    }

    /// Returns the keys, except the data, the length and the outputs, in which this plan differs from an `earlier` one,
    /// as `seed: expected 0, found 9`.
    ///
    /// # Errors
    /// If a value has no TOML form.
    pub fn differences(&self, earlier: &Self) -> Result<Vec<String>, RunError> {
        differences(earlier, self, &APART)
    }
}

/// Plan of a run that trains a comparator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparatorPlan {
    /// The data set.
    pub data: DataPlan,
    /// Samples made from it.
    pub samples: usize,
    /// The recipe.
    pub recipe: ComparatorRecipe,
}

impl ComparatorPlan {
    /// Writes the plan as TOML.
    ///
    /// # Errors
    /// If a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, RunError> {
        to_toml(self)
    }

    /// Describes in a line what is trained on what.
    pub fn heading(&self) -> Vec<String> {
        let Self { data, samples, recipe } = self;
        vec![format!(
            "{}: {} steps of {} samples; {samples} of them from {} ({} pictures)",
            recipe.name, recipe.steps, recipe.batch, data.name, data.images
        )]
    }

    /// Returns true if a run of `other` may be continued under this plan, on the same data: only its length
    /// and its outputs may differ.
    pub fn continues(&self, other: &Self) -> bool {
        let numbers = |plan: &Self| {
            let mut plan = plan.clone();
            (plan.recipe.steps, plan.recipe.output) = (0, Default::default());
            plan.data = self.data.clone();
            plan
        };
        numbers(self) == numbers(other)
    }

    /// Returns the keys, except the data, the length and the outputs, in which this plan differs from an `earlier` one,
    /// as `seed: expected 0, found 9`.
    ///
    /// # Errors
    /// If a value has no TOML form.
    pub fn differences(&self, earlier: &Self) -> Result<Vec<String>, RunError> {
        differences(earlier, self, &APART)
    }
}

/// Keys that a run that is continued may change, or that are compared by themselves.
const APART: [&str; 3] = ["data", "output", "steps"];

/// Plan of a run of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyPlan {
    /// Trains a generator.
    Generator(Box<Plan>),
    /// Trains a comparator.
    Comparator(Box<ComparatorPlan>),
}

impl AnyPlan {
    /// Reads the plan in a run folder; None if there is none.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or was written by a version with other keys.
    pub fn read(run: &Path) -> Result<Option<Self>, RunError> {
        let path = run.join(files::PLAN);
        read(&path)?.map(|text| Self::parse(&path, &text)).transpose()
    }

    /// Parses the text of a plan; `path` is for errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, RunError> {
        let table: toml::Table = content(path, text, "TOML", DAMAGED)?;
        let trains = |kind| table.get("recipe").is_some_and(|recipe| recipe.get(kind).is_some());
        Ok(match trains("comparator") {
            true => Self::Comparator(content(path, text, PLAN, OTHER_VERSION)?),
            false => Self::Generator(content(path, text, PLAN, OTHER_VERSION)?),
        })
    }

    /// Returns the plan of a generator, if it is one.
    pub fn generator(&self) -> Option<&Plan> {
        match self {
            Self::Generator(plan) => Some(plan),
            Self::Comparator(_) => None,
        }
    }
}

const PLAN: &str = "a plan of this version of deepsim";
const OTHER_VERSION: &str = "it was written by another version of deepsim; train it again in another folder, or use \
                             the version that wrote it";
const DAMAGED: &str = "the file is damaged; train it again in another folder";

/// Parses TOML. Errors name the line.
fn content<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    expected: &'static str,
    advice: &'static str,
) -> Result<T, RunError> {
    toml::from_str(text).map_err(|error| RunError::Content {
        path: path.into(),
        line: error.span().map(|span| text[..span.start].matches('\n').count() + 1),
        expected,
        found: error.message().to_owned(),
        advice: Some(advice),
    })
}

fn to_toml(plan: &impl Serialize) -> Result<String, RunError> {
    toml::to_string(plan).map_err(|e| RunError::recipe(format!("writing the plan: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::AnyRecipe;

    fn data() -> DataPlan {
        let content = Some("nine cats".to_owned());
        DataPlan { name: "cats".into(), synthetic: false, images: 9, content, test: None }
    }

    fn plan(name: &str) -> AnyPlan {
        match AnyRecipe::open(Path::new(name), &[]).expect("a recipe") {
            AnyRecipe::Generator(recipe) => AnyPlan::Generator(Box::new(Plan {
                data: data(),
                encoder: None,
                comparator: Some("random weights of seed 0".into()),
                scale: Vec::new(),
                recipe: *recipe,
            })),
            AnyRecipe::Comparator(recipe) => AnyPlan::Comparator(Box::new(ComparatorPlan {
                data: data(),
                samples: 90,
                recipe: *recipe,
            })),
        }
    }

    fn text(plan: &AnyPlan) -> String {
        match plan {
            AnyPlan::Generator(plan) => plan.to_toml(),
            AnyPlan::Comparator(plan) => plan.to_toml(),
        }
        .expect("TOML")
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(AnyPlan::read(folder.path()).expect("none is no error"), None);
        for name in crate::recipes::names() {
            let plan = plan(name);
            std::fs::write(folder.path().join(files::PLAN), text(&plan)).expect("written");
            assert_eq!(AnyPlan::read(folder.path()).expect("a plan"), Some(plan), "{name}");
        }
    }

    #[test]
    fn plans_of_another_version_and_broken_ones_say_how_to_go_on() {
        let good = text(&plan("autoencoder-se"));
        let broken = |text: &str| {
            AnyPlan::parse(Path::new("run/plan.toml"), text).expect_err(text).to_string()
        };
        for (from, to, words) in [
            ("crop = 64", "crop = 64\nmirror = true", "unknown field `mirror`"),
            ("crop = 64\n", "", "missing field `crop`"),
            ("[recipe.image]\n", "[recipe.picture]\n", "unknown field `picture`"),
        ] {
            assert!(good.contains(from), "{good}");
            let error = broken(&good.replace(from, to));
            assert!(error.contains(words) && error.contains("another version"), "{error}");
        }
        let error = broken(&good.replace("crop = 64", "crop = 64\nmirror = true"));
        let line = good.lines().position(|line| line == "crop = 64").expect("a line") + 2;
        assert!(error.starts_with(&format!("run/plan.toml:{line}: expected a plan")), "{error}");
        let error = broken("crop = = 1");
        assert!(error.starts_with("run/plan.toml:1: expected TOML, found "), "{error}");
        assert!(error.ends_with("in another folder"), "{error}");
    }

    #[test]
    fn only_length_and_outputs_of_a_run_that_is_continued_may_differ() {
        let AnyPlan::Generator(plan) = plan("autoencoder-se") else { panic!("a generator") };
        let mut longer = plan.clone();
        longer.recipe.steps += 1;
        longer.recipe.output.log_every = 1;
        longer.data.name = "moved".into();
        assert!(longer.continues(&plan));
        assert_eq!(longer.differences(&plan).expect("TOML"), [""; 0]);
        longer.recipe.batch += 1;
        assert!(!longer.continues(&plan));
    }

    #[test]
    fn only_the_keys_that_differ_are_named_with_both_values() {
        let AnyPlan::Generator(plan) = plan("autoencoder-exemplar-cnn-conv3") else {
            panic!("a generator")
        };
        let mut other = plan.clone();
        other.recipe.steps = 1;
        other.recipe.seed = 9;
        other.recipe.adam.learning_rate = 1e-3;
        other.recipe.resize = Some(128);
        other.recipe.feature = None;
        other.comparator = Some("weights a.safetensors".into());
        let expected = [
            "adam.learning_rate: expected 0.0002, found 0.001",
            "comparator: expected \"random weights of seed 0\", found \"weights a.safetensors\"",
            "feature.comparator: expected \"exemplar-cnn\", found none",
            "feature.rho: expected 2.0, found none",
            "feature.seed: expected 0, found none",
            "feature.tap: expected \"CONV3\", found none",
            "resize: expected none, found 128",
            "seed: expected 0, found 9",
        ];
        assert_eq!(other.differences(&plan).expect("TOML"), expected);
    }
}
