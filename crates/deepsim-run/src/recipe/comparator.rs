//! Recipes of comparators that are trained here.

use std::ops::RangeInclusive;

use deepsim_data::pipeline::Pipeline;
use deepsim_nets::ComparatorKind;
use serde::{Deserialize, Serialize};

use super::text::{self, at_least_one, refuse};
use super::{OutputConfig, Precision, SgdConfig};
use crate::RunError;

/// Sides of images for which VideoNet's pool5 is 6x6, as its fully connected layers need.
const CROPS: RangeInclusive<usize> = 199..=230;

/// Recipe of a comparator: everything that decides the numbers of a run, except the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparatorRecipe {
    /// The network, and the task it learns.
    pub comparator: Learned,
    /// Name of the run, for logs and reports.
    pub name: String,
    /// Seed of initial weights, samples, their order and dropout.
    #[serde(default)]
    pub seed: u64,
    /// Updates.
    pub steps: u64,
    /// Samples per update: patches, or pairs.
    pub batch: usize,
    /// Precision of convolutions on a GPU.
    #[serde(default)]
    pub precision: Precision,
    /// The optimiser.
    pub sgd: SgdConfig,
    /// Outputs, and how often they are written.
    #[serde(default)]
    pub output: OutputConfig,
}

/// Comparators that can be trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Learned {
    /// Exemplar-CNN, on surrogate classes.
    ExemplarCnn(ExemplarTask),
    /// Any network, on whole pictures each of which is a class.
    Instances(InstanceTask),
    /// VideoNet, on pairs of images of the same object.
    #[serde(rename = "videonet")]
    VideoNet(VideoTask),
}

impl Learned {
    /// Returns the name of the comparator.
    pub fn name(&self) -> &str {
        match self {
            Self::ExemplarCnn(_) => "exemplar-cnn",
            Self::Instances(task) => task.network.name(),
            Self::VideoNet(_) => "videonet",
        }
    }
}

/// Task of an Exemplar-CNN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExemplarTask {
    /// The surrogate classes.
    pub classes: Classes,
}

/// Task of a network that tells pictures apart, whatever is done to them (instance discrimination).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceTask {
    /// The network.
    pub network: ComparatorKind,
    /// Tap whose features tell pictures apart.
    pub tap: String,
    /// Number of pictures, each of which is a class: the first ones of the data.
    pub pictures: usize,
    /// Number of pictures in the first steps; a network soon learns to tell a few apart.
    pub first: usize,
    /// Number of steps made with them.
    #[serde(default)]
    pub first_steps: u64,
    /// Changes of a picture that leave its class as it is; the last crop's side is that of the network's images.
    pub transforms: Pipeline,
}

/// Task of a VideoNet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoTask {
    /// The pairs.
    pub pairs: Pairs,
    /// Negatives of each pair.
    #[serde(default)]
    pub mining: Mining,
}

/// Pairs of images of the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    /// Source of the pairs.
    pub from: PairSource,
    /// Side in pixels that images are resized to; 227 in the authors' code.
    #[serde(default = "side")]
    pub side: usize,
    /// Side of the random crops; 224 in the authors' code.
    #[serde(default = "crop")]
    pub crop: usize,
    /// Pairs from each still image.
    #[serde(default = "per_picture")]
    pub per_picture: usize,
}

/// Source of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairSource {
    /// Tracked patches of videos.
    Tracks,
    /// A camera that moves over still images: a stand-in.
    Stills,
}

/// Selection of negatives among the images of other tracks in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mining {
    /// Negatives of each pair.
    pub negatives: usize,
    /// Number of them that are drawn from as many hardest; the others are drawn from all that is left.
    pub hard: usize,
    /// Margin by which a positive should be closer than a negative.
    pub margin: f64,
}

impl Default for Mining {
    fn default() -> Self {
        Self { negatives: 4, hard: 2, margin: 1.0 }
    }
}

fn side() -> usize {
    227
}

fn crop() -> usize {
    224
}

fn per_picture() -> usize {
    10
}

/// Surrogate classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Number of classes, each from another image; 16,000 in the release.
    pub number: usize,
    /// Deformations drawn for each; 150 in the release.
    #[serde(default = "deformations")]
    pub deformations: usize,
    /// Number of classes in the first steps. From the release's small initial weights a network
    /// hardly learns to tell thousands of classes apart, but soon learns to tell a few.
    #[serde(default = "first")]
    pub first: usize,
    /// Number of steps made with them, as the release's script does before its training proper;
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

impl ComparatorRecipe {
    /// Returns true if a recipe is one of a comparator: it has the key `comparator`.
    pub fn recognises(text: &str) -> bool {
        text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("comparator"))
    }

    /// Parses a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown, or a value makes no sense.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, RunError> {
        text::parse(text, overrides, Self::check)
    }

    fn check(&self) -> Result<(), RunError> {
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        self.output.check()?;
        self.sgd.check()?;
        match &self.comparator {
            Learned::ExemplarCnn(task) => task.classes.check(),
            Learned::Instances(task) => task.check(),
            Learned::VideoNet(task) => task.check(self.batch),
        }
    }
}

impl Classes {
    fn check(&self) -> Result<(), RunError> {
        at_least_one("comparator.exemplar-cnn.classes.number", self.number as u64)?;
        at_least_one("comparator.exemplar-cnn.classes.deformations", self.deformations as u64)?;
        at_most("comparator.exemplar-cnn.classes.first", self.first, self.number)
    }
}

/// Refuses a number of first classes that is not 1 to that of all.
fn at_most(key: &str, first: usize, all: usize) -> Result<(), RunError> {
    match (1..=all).contains(&first) {
        true => Ok(()),
        false => refuse(format!("{key}: expected 1 to {all}, found {first}")),
    }
}

impl InstanceTask {
    /// Height and width of the network's images.
    ///
    /// # Errors
    /// If the transforms do not end in one size for all pictures.
    pub fn side(&self) -> Result<usize, RunError> {
        self.transforms.size(None).map(|(height, _)| height).ok_or_else(|| {
            RunError::recipe(format!(
                "comparator.instances.transforms: expected a crop of one size at their end, found {}",
                self.transforms
            ))
        })
    }

    fn check(&self) -> Result<(), RunError> {
        let side = self.side()?;
        self.network
            .shape(&self.tap, side, side)
            .map_err(|error| RunError::recipe(format!("comparator.instances.tap: {error}")))?;
        at_least_one("comparator.instances.pictures", self.pictures as u64)?;
        at_most("comparator.instances.first", self.first, self.pictures)
    }
}

impl VideoTask {
    fn check(&self, batch: usize) -> Result<(), RunError> {
        let Self { pairs, mining } = self;
        if batch < 2 {
            return refuse(
                "batch: expected at least 2, because negatives come from other pairs; found 1",
            );
        }
        if !CROPS.contains(&pairs.crop) || pairs.crop > pairs.side {
            return refuse(format!(
                "comparator.videonet.pairs.crop: expected {} to {} pixels, for which pool5 is 6x6, \
                 and at most the side of {}, found {}",
                CROPS.start(),
                CROPS.end(),
                pairs.side,
                pairs.crop
            ));
        }
        at_least_one("comparator.videonet.pairs.per_picture", pairs.per_picture as u64)?;
        at_least_one("comparator.videonet.mining.negatives", mining.negatives as u64)?;
        if mining.hard > mining.negatives || !mining.margin.is_finite() {
            return refuse(format!(
                "comparator.videonet.mining: expected hard of at most {} and a finite margin, \
                 found {} and {}",
                mining.negatives, mining.hard, mining.margin
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEMPLAR: &str = r#"
name = "test"
steps = 10
batch = 4
[comparator.exemplar-cnn.classes]
number = 20
[sgd]
weight_decay = 0.0
schedule = [{ from = 0, rate = 0.1 }]
"#;

    #[test]
    fn recipes_are_told_apart_and_have_the_releases_defaults() -> Result<(), RunError> {
        assert!(
            ComparatorRecipe::recognises(EXEMPLAR) && !ComparatorRecipe::recognises("steps = 1")
        );
        let recipe = ComparatorRecipe::parse(EXEMPLAR, &[])?;
        let Learned::ExemplarCnn(task) = recipe.comparator else { panic!("{recipe:?}") };
        assert_eq!((task.classes.deformations, task.classes.first_steps), (150, 0));
        assert_eq!(recipe.sgd.momentum, 0.9);
        let video = EXEMPLAR.replace(
            "[comparator.exemplar-cnn.classes]\nnumber = 20",
            "[comparator.videonet.pairs]\nfrom = \"stills\"",
        );
        let recipe = ComparatorRecipe::parse(&video, &["steps=3".into()])?;
        let Learned::VideoNet(task) = recipe.comparator else { panic!("{recipe:?}") };
        assert_eq!((task.pairs.side, task.pairs.crop, recipe.steps), (227, 224, 3));
        assert_eq!((task.mining.negatives, task.mining.hard, task.mining.margin), (4, 2, 1.0));
        for (set, words) in [
            ("comparator.videonet.pairs.crop=100", "expected 199 to 230 pixels"),
            ("comparator.videonet.pairs.side=200", "at most the side of 200"),
            ("comparator.videonet.mining.hard=5", "hard of at most 4"),
            ("comparator.videonet.pairs.from=films", "unknown variant `films`"),
            ("batch=1", "expected at least 2"),
        ] {
            let message =
                ComparatorRecipe::parse(&video, &[set.into()]).expect_err(set).to_string();
            assert!(message.contains(words), "{set}: {message}");
        }
        Ok(())
    }

    #[test]
    fn instances_say_which_network_sees_what() -> Result<(), RunError> {
        let text = crate::recipes::text("alexnet-instance").expect("built in");
        let recipe = ComparatorRecipe::parse(text, &[])?;
        let Learned::Instances(task) = &recipe.comparator else { panic!("{recipe:?}") };
        assert_eq!((task.side()?, task.tap.as_str()), (64, "relu5"));
        assert_eq!(recipe.comparator.name(), "alexnet-instance");
        for (set, words) in [
            ("tap=FC6", "comparator.instances.tap: "),
            ("pictures=0", "comparator.instances.pictures: expected at least 1"),
            ("first=0", "comparator.instances.first: expected 1 to 5000, found 0"),
            ("transforms=[{ mirror = {} }]", "expected a crop of one size at their end, found "),
            ("transforms=[{ random_crop = { side = 8 } }]", "comparator.instances.tap: "),
            ("network=lenet", "lenet"),
        ] {
            let sets = [format!("comparator.instances.{set}")];
            let message = ComparatorRecipe::parse(text, &sets).expect_err(set).to_string();
            assert!(message.contains(words), "{set}: {message}");
        }
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (set, words) in [
            ("steps=0", "steps: expected at least 1"),
            ("comparator.exemplar-cnn.classes.number=0", "classes.number: expected at least 1"),
            (
                "comparator.exemplar-cnn.classes.first=21",
                "classes.first: expected 1 to 20, found 21",
            ),
            ("comparator.exemplar-cnn.clases=1", "clases"),
            ("sgd.momentum=1", "0 <= momentum < 1"),
            ("sgd.schedule=[]", "sgd.schedule: expected rates"),
            ("output.log_every=0", "output.log_every"),
            ("crop=64", "crop"),
        ] {
            let sets = [set.to_owned()];
            let message = ComparatorRecipe::parse(EXEMPLAR, &sets).expect_err(set).to_string();
            assert!(message.contains(words), "{set}: {message}");
        }
    }
}
