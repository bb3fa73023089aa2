//! Recipes: what to train, as TOML.
//!
//! Unknown keys are errors, [`keys`] lists every key with its default, and `--set key.sub=value` overrides any of them.

mod any;
mod check;
mod comparator;
mod inversion;
pub mod keys;
mod logged;
mod networks;
mod optimiser;
mod output;
mod retention;
mod suggest;
mod text;
mod vae;
mod validation;

use std::path::PathBuf;

use deepsim_data::Pipeline;
use deepsim_loss::BalanceRule;
use deepsim_nets::{AutoencoderConfig, ComparatorKind, DiscriminatorConfig};
use serde::{Deserialize, Serialize};

use crate::RunError;
pub use any::AnyRecipe;
pub use comparator::{
    Classes, ComparatorRecipe, ExemplarTask, InstanceTask, Learned, Mining, PairSource, Pairs,
    VideoTask,
};
pub use deepsim_loss::terms::{AdversarialLoss, Divergence, ExtraTerms, ImageTerm};
pub use inversion::Inversion;
pub use optimiser::{AdamConfig, Rate, SgdConfig};
pub use output::{OnFailedWrite, OutputConfig};
pub use retention::{Best, Candidate, Retention};
pub use vae::Variational;
pub use validation::Validation;

/// Recipe of a generator: everything that decides the numbers of a run, except the data.
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
    /// Images that are generated from each image of the batch, with noise of their own; 1 in the paper.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub draws: usize,
    /// Side of the random training crops in pixels, of an autoencoder a multiple of 8; in the paper 64, of sections 4.2 and
    /// 4.3 227.
    pub crop: usize,
    /// Side that images of another size are brought to before crops are taken of them; 256 in the
    /// inversion of AlexNet. Images are stretched; of pictures in folders and shards the short side is resized.
    /// If left out, that of pictures in folders and shards becomes 96, and others are left as they are.
    pub resize: Option<usize>,
    /// Transforms of training pictures, as `[{ random_resized_crop = { side = 64 } }, { mirror = {} }]`
    /// ([`deepsim_data::pipeline`]), applied to the pictures as they are in their files where the data set has them,
    /// and to its images otherwise. Crops of `crop` pixels are taken of the result. Test images are not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Pipeline>,
    /// The autoencoder: the generator unless `inversion` or `vae` is given.
    #[serde(default)]
    pub generator: AutoencoderConfig,
    /// Inversion of a network's features; if given, its network and not the autoencoder is the generator.
    pub inversion: Option<Inversion>,
    /// Variational autoencoder; if given, it is the generator.
    pub vae: Option<Variational>,
    /// Run folder, or file of a generator, whose weights the generator begins with: of the same network, with the
    /// same numbers. Fresh weights if left out, as in the paper.
    pub init: Option<PathBuf>,
    /// True if the generator begins with those weights of `init` that it has too, by name and shape, and with fresh ones
    /// elsewhere; the file may be of another network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init_matching: bool,
    /// True if the generator begins with a last up-convolution that interpolates
    /// ([`Generator::interpolate`](deepsim_nets::Generator::interpolate)), so that it has no grid of period two to
    /// unlearn. Independent weights in the paper. Weights of `init` replace these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interpolate: bool,
    /// The image term.
    pub image: ImageTerm,
    /// The feature term; left out for the baselines.
    pub feature: Option<FeatureTerm>,
    /// The adversarial term and its discriminator; left out for the baselines.
    pub adversarial: Option<AdversarialTerm>,
    /// Terms that the paper does not have, by name.
    #[serde(default, skip_serializing_if = "ExtraTerms::is_empty")]
    pub terms: ExtraTerms,
    /// Images per micro-batch, a divisor of the batch: gradients are summed over micro-batches, in less
    /// memory and more time. The whole batch if left out.
    pub micro_batch: Option<usize>,
    /// Decay of a running mean of the generator's weights, e.g. 0.999, which is then what is saved as
    /// the generator; none in the paper.
    pub average: Option<f64>,
    /// Training images that are held out to watch the loss on; none in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Precision of convolutions on a GPU.
    #[serde(default)]
    pub precision: Precision,
    /// The optimiser of both networks.
    #[serde(default)]
    pub adam: AdamConfig,
    /// Outputs, and how often they are written.
    #[serde(default)]
    pub output: OutputConfig,
}

/// Numbers that convolutions and linear layers multiply on a GPU; sums, losses, weights and optimisers
/// are `f32` in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// True `f32`.
    #[default]
    F32,
    /// `f32` rounded to 10 bits of mantissa; GPU only.
    Tf32,
    /// `bf16`; GPU only.
    Bf16,
}

/// Value of [`FeatureTerm::weights`] and [`Inversion::weights`] that asks for random weights, even where there is a
/// file.
pub const RANDOM: &str = "random";

/// Distance in the feature space of a comparator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureTerm {
    /// The comparator.
    pub comparator: ComparatorKind,
    /// The layer, in the paper's names: CONV3, CONV5, ...
    pub tap: String,
    /// File of the comparator's weights, or `random`. Without it they are looked for in `--weights`, then among
    /// those that come with the project, and drawn at random if they are not there.
    pub weights: Option<PathBuf>,
    /// Seed of random weights.
    #[serde(default)]
    pub seed: u64,
    /// Weight of the term. Either this or `rho` must be given.
    pub weight: Option<f64>,
    /// Chooses the weight by calibration: see `deepsim_loss::calibrate`.
    pub rho: Option<f64>,
    /// Places along each axis at which images are cut out before they are compared, another one in each step, so that
    /// the comparator's strides leave no grid; 1, whole images, in the paper.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub places: usize,
}

/// The adversarial term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialTerm {
    /// Weight of the term; 100 in the authors' code.
    pub weight: f64,
    /// Losses of both networks; cross-entropies in the paper.
    #[serde(skip_serializing_if = "is_cross_entropy")]
    pub loss: AdversarialLoss,
    /// True if the weight is relative: it is multiplied by the norm of the gradient of all other terms at the generated
    /// images over that of this one, in each step. A constant weight in the paper.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adaptive: bool,
    /// Rule that decides which network is updated.
    pub balance: BalanceRule,
    /// Steps without the term, at the beginning; none in the paper.
    #[serde(skip_serializing_if = "no_steps")]
    pub after: u64,
    /// The discriminator.
    pub discriminator: DiscriminatorConfig,
}

impl Default for AdversarialTerm {
    fn default() -> Self {
        Self {
            weight: 100.0,
            loss: AdversarialLoss::default(),
            adaptive: false,
            balance: BalanceRule::default(),
            after: 0,
            discriminator: DiscriminatorConfig::default(),
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

fn is_cross_entropy(loss: &AdversarialLoss) -> bool {
    *loss == AdversarialLoss::CrossEntropy
}

fn no_steps(steps: &u64) -> bool {
    *steps == 0
}

impl Recipe {
    /// Parses a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown, or a value makes no sense.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, RunError> {
        text::parse(text, overrides, Self::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const BASE: &str = r#"
name = "test"
steps = 10
batch = 4
crop = 64
[image]
distance = "squared-error"
weight = 1.0
"#;

    #[test]
    fn defaults_are_the_papers_and_overrides_win() -> Result<(), RunError> {
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
    fn a_recipe_names_transforms_and_is_written_with_them() -> Result<(), RunError> {
        let sets =
            "transform=[{random_resized_crop={side=80,scale=[0.5,1.0]}},{mirror={}}]".to_owned();
        let recipe = Recipe::parse(BASE, &[sets])?;
        let transform = recipe.transform.as_ref().expect("a pipeline");
        assert_eq!(transform.size(None), Some((80, 80)));
        assert!(transform.to_string().ends_with("mirrored with probability 0.5"), "{transform}");
        let text = toml::to_string(&recipe).expect("TOML");
        assert_eq!(Recipe::parse(&text, &[])?, recipe, "{text}");
        assert!(!toml::to_string(&Recipe::parse(BASE, &[])?).expect("TOML").contains("transform"));
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases: [(&[&str], &str); 52] = [
            (&["validation.images=0"], "validation.images: expected at least 1, found 0"),
            (&["validation.imges=9"], "did you mean `images`?"),
            (
                &["output.keep.best={measure=\"measure/validation\",number=1}"],
                "(measure/validation needs [validation]), found `measure/validation`",
            ),
            (
                &["output.keep.best={measure=\"value/imge\",number=1}"],
                "found `value/imge`\ndid you mean `value/image`?",
            ),
            (
                &["adversarial.adaptive=true"],
                "adversarial.weight: expected at most 10 with adaptive",
            ),
            (
                &["adversarial={adaptive=true,weight=1}", "micro_batch=2"],
                "adversarial.adaptive: expected false with micro_batch",
            ),
            (
                &["adversarial={adaptive=true,weight=1}", "image.weight=0"],
                "adversarial.adaptive: expected another term at the images",
            ),
            (
                &["adversarial.discriminator={patch=true,dropout=0.1}"],
                "adversarial.discriminator.dropout: expected none with patch",
            ),
            (&["vae.encoder=convolutional"], "vae.latent: expected at most 64 maps"),
            (&["adam.cosine=9"], "adam.cosine: expected at least the 10 steps"),
            (
                &["adam.cosine=10", "adam.milestones=[5]"],
                "adam.milestones: expected none with cosine, found [5]",
            ),
            (&["init_matching=true"], "init_matching: expected init beside it"),
            (&["adversarial.loss=hinge"], "adversarial.balance: expected off with hinge"),
            (&["adversarial.los=hinge"], "did you mean `loss`?"),
            (&["adversarial.loss=hing"], "did you mean `hinge`?"),
            (
                &[
                    "adversarial.discriminator={patch=true,conditional=true}",
                    "crop=227",
                    "inversion.encoder=alexnet",
                    "inversion.tap=CONV5",
                ],
                "adversarial.discriminator.patch: expected false with conditional",
            ),
            (&["adam.clip=0"], "adam.clip: expected a number > 0, found 0"),
            (&["vae.encoder=alexnet"], "crop: expected 227 for the encoder alexnet, found 64"),
            (
                &["vae.encoder=autoencoder", "vae.weights=x"],
                "vae.weights: expected none with autoencoder",
            ),
            (
                &["crop=227", "vae.weights=x", "vae.from_scratch=true"],
                "vae.weights: expected none with vae.from_scratch, found x",
            ),
            (&["vae.encoder=autoencoder", "generator.slope=0.1"], "generator: expected none"),
            (&["vae.encoder=autoencoder", "vae.latent=0"], "vae.latent: expected at least 1"),
            (&["vae.encoder=autoencoder", "vae.divergence.weight=-1"], "vae.divergence.weight"),
            (
                &["vae.encoder=autoencoder", "inversion.encoder=alexnet", "inversion.tap=FC6"],
                "expected [inversion] or [vae]",
            ),
            (
                &["transform=[{random_crop={side=56}}]"],
                "transform: expected images of at least the crop of 64, found 56x56",
            ),
            (
                &["transform=[{mirror={probability=2}}]"],
                "a probability of mirroring from 0 to 1, found 2",
            ),
            (&["transform=[{mirro={}}]"], "did you mean `mirror`?"),
            (&["resize=60"], "resize: expected at least the crop of 64, found 60"),
            (&["adversarial.discriminator.conditional=true"], "expected an [inversion]"),
            (&["stesp=1"], "did you mean `steps`?"),
            (&["adam.lr=1"], "did you mean `learning_rate`?"),
            (&["steps=0"], "steps: expected at least 1, found 0"),
            (&["crop=60"], "crop: expected a multiple of 8, found 60"),
            (&["batch=0"], "batch: expected at least 1, found 0"),
            (&["image.weight=nan"], "image.weight: expected a number >= 0, found NaN"),
            (&["adversarial.weight=-1"], "adversarial.weight: expected a number >= 0, found -1"),
            (&["adam.beta1=1"], "adam.beta1: expected 0 <= beta < 1, found 1"),
            (&["adam.beta2=nan"], "adam.beta2: expected 0 <= beta < 1, found NaN"),
            (&["adam.factor=-1"], "adam.factor: expected a number >= 0, found -1"),
            (&["generator.slope=1"], "generator.slope: expected 0 <= slope < 1, found 1"),
            (
                &["generator.code_channels=0"],
                "generator.code_channels: expected at least 1, found 0",
            ),
            (
                &["adversarial.discriminator.slope=nan"],
                "adversarial.discriminator.slope: expected 0 <= slope < 1, found NaN",
            ),
            (&["image.weight=-1"], "image.weight: expected a number >= 0, found -1"),
            (
                &["terms.total_variation.weight=-1"],
                "terms.total_variation.weight: expected a number >= 0, found -1",
            ),
            (&["terms.total_variatoin.weight=1"], "did you mean `total_variation`?"),
            (&["terms.total_variation.wieght=1"], "did you mean `weight`?"),
            (&["terms.mode_seeking.weight=1"], "at least 2 draws, found 1"),
            (
                &[
                    "terms.mode_seeking.weight=1",
                    "inversion.encoder=alexnet",
                    "inversion.tap=CONV5",
                    "inversion.noise=4",
                    "draws=2",
                    "micro_batch=2",
                ],
                "micro_batch: expected none with terms.mode_seeking",
            ),
            (&["image.distance=l3"], "unknown variant `l3`"),
            (&["feature.comparator=alexnet", "feature.tap=CONV3"], "exactly one of"),
            (&["adversarial.discriminator.dropout=1"], "expected 0 <= p < 1, found 1"),
            (&["steps"], "expected key=value, found `steps`"),
        ];
        for (sets, words) in cases {
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            let message = Recipe::parse(BASE, &sets).expect_err(words).to_string();
            assert!(message.contains(words), "{sets:?}: {message}");
        }
    }
}
