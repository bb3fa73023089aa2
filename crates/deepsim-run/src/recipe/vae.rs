//! The keys of a variational autoencoder (paper section 4.2).

use std::path::PathBuf;

use deepsim_loss::terms::Divergence;
use deepsim_nets::{VaeConfig, VaeEncoder};
use serde::{Deserialize, Serialize};

use super::Recipe;
use super::text::{at_least_one, not_negative, refuse};
use crate::RunError;

/// An encoder to distributions of codes, and the decoder, trained together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variational {
    /// Layers of the encoder; the decoder's follow from it. CaffeNet's as in the authors' code.
    #[serde(default = "caffenet")]
    pub encoder: VaeEncoder,
    /// Length of a code, 4096 as in FC6, which the paper leaves open; channels of its maps if the encoder is convolutional.
    #[serde(default = "as_fc6")]
    pub latent: usize,
    /// File of the weights that the encoder begins with. Without it they are looked for in `--weights`,
    /// and drawn at random if they are not there.
    pub weights: Option<PathBuf>,
    /// Draws the encoder's weights at random even where there are trained ones.
    #[serde(default)]
    pub from_scratch: bool,
    /// The term that pulls codes to the prior.
    #[serde(default)]
    pub divergence: Divergence,
}

fn as_fc6() -> usize {
    4096
}

/// Most maps of a code that keeps its places: the encoder has no more.
const MOST_MAPS: usize = 64;

fn caffenet() -> VaeEncoder {
    VaeEncoder::CaffeNet
}

impl Variational {
    /// The network for images of `side` pixels.
    pub fn config(&self, side: usize) -> VaeConfig {
        VaeConfig { encoder: self.encoder, latent: self.latent, side }
    }

    /// Refuses values that make no sense in a recipe.
    pub(super) fn check(&self, recipe: &Recipe) -> Result<(), RunError> {
        if recipe.inversion.is_some() {
            return refuse("expected [inversion] or [vae], found both");
        }
        at_least_one("vae.latent", self.latent as u64)?;
        if self.encoder == VaeEncoder::Convolutional && self.latent > MOST_MAPS {
            return refuse(format!(
                "vae.latent: expected at most {MOST_MAPS} maps for the encoder convolutional, found {}",
                self.latent
            ));
        }
        if self.encoder.trained().is_some() && recipe.crop != 227 {
            let (name, crop) = (self.encoder.name(), recipe.crop);
            return refuse(format!("crop: expected 227 for the encoder {name}, found {crop}"));
        }
        if let Some(file) = &self.weights {
            let (name, file) = (self.encoder.name(), file.display());
            if self.encoder.trained().is_none() {
                return refuse(format!("vae.weights: expected none with {name}, found {file}"));
            }
            if self.from_scratch {
                return refuse(format!(
                    "vae.weights: expected none with vae.from_scratch, found {file}"
                ));
            }
        }
        not_negative("vae.divergence.weight", self.divergence.weight)
    }
}
