//! Inversion of features: its part of a recipe.

use std::path::PathBuf;

use deepsim_nets::{ComparatorKind, InverterConfig};
use serde::{Deserialize, Serialize};

/// Inversion of the features of a frozen network (paper section 4.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inversion {
    /// The network.
    pub encoder: ComparatorKind,
    /// The layer, in the paper's names: CONV5, FC6, FC7, FC8 (the scores before the softmax).
    pub tap: String,
    /// File of its weights, or `random`. Without it they are looked for in `--weights`, then among those that come
    /// with the project, and drawn at random if they are not there.
    pub weights: Option<PathBuf>,
    /// Seed of random weights.
    #[serde(default)]
    pub seed: u64,
    /// Leaves out the 3x3 convolutions between up-convolutions, as Dosovitskiy & Brox (2015).
    #[serde(default)]
    pub plain: bool,
    /// Uses the small network, for machines without a GPU ([`deepsim_nets::inverter::small`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub small: bool,
    /// Channels of noise that the generator is given beside the features, anew in every step (paper v1,
    /// "Sampling pre-images").
    #[serde(default)]
    pub noise: usize,
    /// Numbers of noise beside the features, each the same at all positions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub global_noise: usize,
    /// Channels of noise before each up-convolution of the small network.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stage_noise: usize,
    /// Divides the channels of the features by their root mean square on the first images of the data, so that noise
    /// is as large as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

impl Inversion {
    /// True if the generator is given noise.
    pub fn takes_noise(&self) -> bool {
        self.noise + self.global_noise + self.stage_noise > 0
    }

    /// Configuration of the generator, for features of this shape of images of `side` pixels. `scale` are the numbers by
    /// which the channels of the features are divided, if they are.
    pub fn config(&self, features: &[usize], side: usize, scale: &[f32]) -> InverterConfig {
        InverterConfig {
            plain: self.plain,
            small: self.small,
            noise: self.noise,
            global_noise: self.global_noise,
            stage_noise: self.stage_noise,
            scale: scale.into(),
            seed: self.seed,
            ..InverterConfig::new(self.encoder.clone(), &self.tap, features, side)
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
