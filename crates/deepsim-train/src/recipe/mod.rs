//! Recipes: what to train, as TOML.
//!
//! Unknown keys are errors, every key but the sizes and the image term has a default, and
//! `--set key.sub=value` overrides any of them.

mod check;
mod sizes;
mod vae;

use std::path::{Path, PathBuf};

use deepsim_loss::{BalanceRule, Distance};
use deepsim_nets::{AutoencoderConfig, ComparatorKind, DiscriminatorConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::TrainError;
pub use crate::precision::Precision;
use crate::store::Retention;
use crate::suggest::nearest;
pub(crate) use sizes::check_source;
pub use vae::{Divergence, Variational};

/// Everything that decides the numbers of a run, but for the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the run, for logs and reports.
    pub name: String,
    /// Seed of initial weights, sample order, crops and dropout.
    #[serde(default)]
    pub seed: u64,
    /// Iterations; the paper trains for 500,000 to 1,000,000.
    pub steps: u64,
    /// Images per iteration; 64 in the paper.
    pub batch: usize,
    /// Side of the random training crops in pixels, a multiple of 8; 64 in the paper.
    pub crop: usize,
    /// Side that images of another size are stretched to before crops are taken of them; 256 in the
    /// inversion of AlexNet. Left as they are if left out.
    pub resize: Option<usize>,
    /// The autoencoder, if nothing is inverted and it is no variational one.
    #[serde(default)]
    pub generator: AutoencoderConfig,
    /// Whose features are inverted; then this, and not the autoencoder, is the generator.
    pub inversion: Option<Inversion>,
    /// A variational autoencoder is the generator then.
    pub vae: Option<Variational>,
    /// The image term.
    pub image: ImageTerm,
    /// The feature term; left out for the baselines.
    pub feature: Option<FeatureTerm>,
    /// The adversarial term and its discriminator; left out for the baselines.
    pub adversarial: Option<AdversarialTerm>,
    /// Images that go through the networks at once, a divisor of the batch: gradients are summed over
    /// the parts of a batch, in less memory and more time. The whole batch if left out.
    pub micro_batch: Option<usize>,
    /// Decay of a running mean of the generator's weights, e.g. 0.999, which is then what is saved as
    /// the generator; none in the paper.
    pub average: Option<f64>,
    /// How exactly convolutions compute on a GPU.
    #[serde(default)]
    pub precision: Precision,
    /// The optimiser of both networks.
    #[serde(default)]
    pub adam: AdamConfig,
    /// What is written, and how often.
    #[serde(default)]
    pub output: OutputConfig,
}

/// A fixed network whose features are turned back into images (paper section 4.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inversion {
    /// The network.
    pub encoder: ComparatorKind,
    /// The layer, in the paper's names: CONV5, FC6, FC7, FC8 (the scores before the softmax).
    pub tap: String,
    /// File of its weights. Without it they are looked for in `--weights`, and drawn at random if they
    /// are not there.
    pub weights: Option<PathBuf>,
    /// Seed of random weights.
    #[serde(default)]
    pub seed: u64,
    /// Leaves out the 3x3 convolutions between up-convolutions, as Dosovitskiy & Brox (2015).
    #[serde(default)]
    pub plain: bool,
    /// Channels of noise that the generator is given beside the features, anew in every step (paper v1,
    /// "Sampling pre-images").
    #[serde(default)]
    pub noise: usize,
}

/// Distance in image space.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTerm {
    /// Which distance.
    pub distance: Distance,
    /// Its weight.
    pub weight: f64,
}

/// Distance in the feature space of a comparator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureTerm {
    /// The comparator.
    pub comparator: ComparatorKind,
    /// The layer, in the paper's names: CONV3, CONV5, ...
    pub tap: String,
    /// File of the comparator's weights. Without it they are looked for in `--weights`, and drawn
    /// at random if they are not there.
    pub weights: Option<PathBuf>,
    /// Seed of random weights.
    #[serde(default)]
    pub seed: u64,
    /// Weight of the term. Either this or `rho` must be given.
    pub weight: Option<f64>,
    /// Chooses the weight by calibration: see `deepsim_loss::calibrate`.
    pub rho: Option<f64>,
}

/// The adversarial term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialTerm {
    /// Its weight; 100 in the authors' code.
    pub weight: f64,
    /// When which network is updated.
    pub balance: BalanceRule,
    /// The discriminator.
    pub discriminator: DiscriminatorConfig,
}

impl Default for AdversarialTerm {
    fn default() -> Self {
        Self {
            weight: 100.0,
            balance: BalanceRule::default(),
            discriminator: DiscriminatorConfig::default(),
        }
    }
}

/// Adam with a multistep learning rate; the defaults are the authors' solver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Initial learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the (uncorrected) second moment.
    pub epsilon: f64,
    /// Updates of a network after which its learning rate is multiplied by `factor`.
    pub milestones: Vec<u64>,
    /// Factor at each milestone.
    pub factor: f64,
    /// L2 penalty of the generator, added to its gradient.
    pub generator_decay: f64,
    /// L2 penalty of the discriminator, added to its gradient.
    pub discriminator_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            milestones: vec![300_000, 500_000, 700_000, 900_000, 1_100_000],
            factor: 0.5,
            generator_decay: 0.0,
            discriminator_decay: 4e-4,
        }
    }
}

impl AdamConfig {
    /// Learning rate of a network after `updates` updates.
    ///
    /// ```
    /// let adam = deepsim_train::recipe::AdamConfig::default();
    /// assert_eq!(adam.rate(299_999), 2e-4);
    /// assert_eq!(adam.rate(500_000), 0.5e-4);
    /// ```
    pub fn rate(&self, updates: u64) -> f64 {
        let passed = self.milestones.iter().filter(|&&m| m <= updates).count();
        self.learning_rate * self.factor.powi(passed as i32)
    }
}

/// What a run writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Steps between two sample grids.
    pub grid_every: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// What to do if a checkpoint or a line of the log cannot be written, e.g. to a full disk.
    pub on_failed_write: OnFailedWrite,
    /// Which checkpoints are kept.
    pub keep: Retention,
}

/// What to do if something cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailedWrite {
    /// Stop; the last good checkpoint stays.
    #[default]
    Stop,
    /// Warn, go on training, and try again when the next one is due. What must be there in the end
    /// stops the run all the same.
    Continue,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            log_every: 10,
            grid_every: 1000,
            checkpoint_every: 1000,
            on_failed_write: OnFailedWrite::Stop,
            keep: Retention::default(),
        }
    }
}

impl Recipe {
    /// Reads a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// Names the file, and the line where TOML knows it.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        read(path, |text| Self::parse(text, overrides))
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
}

/// Reads a recipe of any kind; errors name the file.
pub(crate) fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io("reading recipe", path))?;
    parse(&text).map_err(|error| error.in_recipe(path))
}

/// Parses TOML after overrides of the form `key.sub=value`.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    overrides: &[String],
) -> Result<T, TrainError> {
    let broken = |e: toml::de::Error| {
        let message = e.to_string().trim_end().to_owned();
        let meant = nearest(&message).map(|name| format!("\ndid you mean `{name}`?"));
        TrainError::recipe(message + &meant.unwrap_or_default())
    };
    if overrides.is_empty() {
        // Straight from the text, so that errors point at the line.
        return toml::from_str(text).map_err(broken);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(broken)?;
    for text in overrides {
        apply(&mut table, text)?;
    }
    table.try_into().map_err(broken)
}

/// Sets `key.sub` of `key.sub=value`; the value is TOML, or a string if it is not. Without a value the
/// key is taken out of the recipe.
fn apply(table: &mut toml::Table, text: &str) -> Result<(), TrainError> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(TrainError::recipe(format!("--set: wanted key=value, got `{text}`")));
    };
    let path_only = value.trim().is_empty();
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut table = table;
    for key in keys {
        let entry = table.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry
            .as_table_mut()
            .ok_or_else(|| TrainError::recipe(format!("--set {text}: `{key}` is not a table")))?;
    }
    match path_only {
        true => table.remove(last),
        false => table.insert(last.to_owned(), value),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
name = "test"
steps = 10
batch = 4
crop = 64
[image]
distance = "squared-error"
weight = 1.0
"#;

    #[test]
    fn defaults_are_the_papers_and_overrides_win() -> Result<(), TrainError> {
        let recipe = Recipe::parse(BASE, &[])?;
        assert_eq!(recipe.adam.learning_rate, 2e-4);
        assert!(recipe.adversarial.is_none());
        let sets = ["steps=7", "adam.learning_rate=1e-3", "adversarial.balance=paper", "name=x"];
        let recipe = Recipe::parse(BASE, &sets.map(String::from))?;
        assert_eq!((recipe.steps, recipe.adam.learning_rate), (7, 1e-3));
        assert_eq!(recipe.name, "x");
        let adversarial = recipe.adversarial.expect("set by the override");
        assert_eq!((adversarial.weight, adversarial.balance), (100.0, BalanceRule::Paper));
        // Without a value, a key is as if it had never been there; a needed one is then missed.
        let sets = ["adversarial.balance=paper", "adversarial="].map(String::from);
        assert!(Recipe::parse(BASE, &sets)?.adversarial.is_none());
        assert!(Recipe::parse(BASE, &["image=".to_owned()]).is_err());
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases: [(&[&str], &str); 27] = [
            (&["vae.encoder=alexnet"], "vae: alexnet sees images of 227 pixels, got crop 64"),
            (
                &["vae.encoder=autoencoder", "vae.weights=x"],
                "vae.weights: autoencoder begins with none",
            ),
            (
                &["crop=227", "vae.weights=x", "vae.from_scratch=true"],
                "vae.weights: wanted none with vae.from_scratch, got x",
            ),
            (&["vae.encoder=autoencoder", "generator.slope=0.1"], "generator: wanted none"),
            (&["vae.encoder=autoencoder", "vae.latent=0"], "vae.latent: wanted at least 1"),
            (&["vae.encoder=autoencoder", "vae.divergence.weight=-1"], "vae.divergence.weight"),
            (
                &["vae.encoder=autoencoder", "inversion.encoder=alexnet", "inversion.tap=FC6"],
                "wanted [inversion] or [vae]",
            ),
            (&["resize=60"], "resize: wanted at least the crop of 64, got 60"),
            (&["adversarial.discriminator.conditional=true"], "wanted an [inversion]"),
            (&["stesp=1"], "did you mean `steps`?"),
            (&["adam.lr=1"], "did you mean `learning_rate`?"),
            (&["steps=0"], "steps: wanted at least 1, got 0"),
            (&["crop=60"], "crop: wanted a multiple of 8, got 60"),
            (&["batch=0"], "batch: wanted at least 1, got 0"),
            (&["image.weight=nan"], "image.weight: expected a number >= 0, found NaN"),
            (&["adversarial.weight=-1"], "adversarial.weight: expected a number >= 0, found -1"),
            (&["adam.beta1=1"], "adam.beta1: expected 0 <= beta < 1, found 1"),
            (&["adam.beta2=nan"], "adam.beta2: expected 0 <= beta < 1, found NaN"),
            (&["adam.factor=-1"], "adam.factor: expected a number >= 0, found -1"),
            (&["generator.slope=1"], "generator.slope: expected 0 <= slope < 1, found 1"),
            (&["generator.code_channels=0"], "generator.code_channels: wanted at least 1, got 0"),
            (
                &["adversarial.discriminator.slope=nan"],
                "adversarial.discriminator.slope: expected 0 <= slope < 1, found NaN",
            ),
            (&["image.weight=-1"], "image.weight: expected a number >= 0, found -1"),
            (&["image.distance=l3"], "unknown variant `l3`"),
            (&["feature.comparator=alexnet", "feature.tap=CONV3"], "exactly one of"),
            (&["adversarial.discriminator.dropout=1"], "wanted 0 <= p < 1, got 1"),
            (&["steps"], "wanted key=value, got `steps`"),
        ];
        for (sets, words) in cases {
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            let message = Recipe::parse(BASE, &sets).expect_err(words).to_string();
            assert!(message.contains(words), "{sets:?}: {message}");
        }
    }
}
