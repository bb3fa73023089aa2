//! Configuration of a variational autoencoder, and the tables of its layers.

use serde::{Deserialize, Serialize};

use crate::alexnet::{self, Order};
use crate::autoencoder::{self, AutoencoderConfig, DOWNSAMPLING};
use crate::init::Filler;
use crate::inverter::from_numbers;
use crate::layers::{Conv, Layer, Op, conv, layer};
use crate::{ComparatorKind, NetError, Pass};

/// Layers of the encoder, which is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VaeEncoder {
    /// AlexNet's convolutions, normalisation before pooling; images of 227 pixels.
    #[serde(rename = "alexnet")]
    AlexNet,
    /// AlexNet's convolutions, pooling before normalisation; images of 227 pixels.
    #[serde(rename = "caffenet")]
    CaffeNet,
    /// The convolutions of the autoencoder of section 4.1; images whose sides are multiples of 8.
    Autoencoder,
    /// The same convolutions without fully connected layers: the code is a map 8 times smaller per side, as in the first
    /// stage of latent diffusion (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv
    /// 2112.10752).
    Convolutional,
}

impl VaeEncoder {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "alexnet",
            Self::CaffeNet => "caffenet",
            Self::Autoencoder => "autoencoder",
            Self::Convolutional => "convolutional",
        }
    }

    /// The network whose weights it can begin with.
    pub fn trained(self) -> Option<ComparatorKind> {
        match self {
            Self::AlexNet => Some(ComparatorKind::alexnet()),
            Self::CaffeNet => Some(ComparatorKind::caffenet()),
            Self::Autoencoder | Self::Convolutional => None,
        }
    }
}

/// Shape of a variational autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// Layers of the encoder.
    pub encoder: VaeEncoder,
    /// Numbers in the latent code, 4096 as in FC6; channels of its maps if the encoder is convolutional.
    pub latent: usize,
    /// Side of the images in pixels.
    pub side: usize,
}

/// Side of AlexNet's images, and positions of its last maps.
const ALEXNET: (usize, usize) = (227, 6 * 6);
/// Grey levels in a unit of the small networks' pixels: maps and codes are then of one scale from the first
/// step, as weights at those of Caffe's pixels would not have it.
const UNIT: f64 = 64.0;
/// Channels of the small networks' smallest maps.
const CHANNELS: usize = 64;
/// Prefixes of the names of weights, and names of the heads.
pub(super) const ENCODER: &str = "encoder.";
pub(super) const DECODER: &str = "decoder.";
pub(super) const MEAN: &str = "mean";
pub(super) const LOG_VARIANCE: &str = "log_variance";
/// Filler of the head for the variance, which begins at 1.
pub(super) const VARIANCE: Filler = Filler::Gaussian { std: 0.0, bias: 0.0 };

impl VaeConfig {
    /// The encoder to flat numbers, or to maps if it is convolutional, and how the mean's weights are drawn: so that codes begin about as
    /// wide as N(0, 1).
    pub(super) fn encoder(&self) -> Result<(Vec<Layer>, Filler), NetError> {
        let order = match self.encoder {
            VaeEncoder::AlexNet => Order::NormPool,
            VaeEncoder::CaffeNet => Order::PoolNorm,
            VaeEncoder::Autoencoder | VaeEncoder::Convolutional => {
                let positions = self.smallest()?.pow(2);
                let flat = (self.encoder == VaeEncoder::Autoencoder)
                    .then(|| layer("flatten", Op::Flatten(positions)));
                let rows = autoencoder::contracting(AutoencoderConfig::default());
                return Ok((rows.into_iter().chain(flat).collect(), Filler::Msra { coeff: 1.0 }));
            }
        };
        if self.side != ALEXNET.0 {
            return Err(self.wrong("images of 227 pixels"));
        }
        let mut rows = alexnet::trunk(order);
        rows.push(layer("flatten", Op::Flatten(ALEXNET.1)));
        Ok((rows, Filler::Gaussian { std: 0.005, bias: 0.0 }))
    }

    pub(super) fn decoder(&self) -> Result<Vec<Layer>, NetError> {
        if self.encoder.trained().is_some() {
            return from_numbers(self.latent, self.side);
        }
        let (config, side) = (AutoencoderConfig::default(), self.smallest()?);
        let maps = |channels| layer("reshape", Op::Unflatten { channels, side });
        let mut rows = match self.encoder {
            VaeEncoder::Convolutional => vec![maps(self.latent)],
            _ => vec![
                layer("fc", Op::Linear(CHANNELS * side * side, Filler::Msra { coeff: 0.25 })),
                layer("activation", Op::LeakyRelu(config.slope)),
                maps(CHANNELS),
            ],
        };
        rows.extend(autoencoder::expanding(config));
        Ok(rows)
    }

    /// Layers of the heads for the mean and the logarithm of the variance, with `filler`.
    ///
    /// # Errors
    /// If the side does not fit.
    pub(super) fn head(&self, name: &'static str, filler: Filler) -> Result<Vec<Layer>, NetError> {
        Ok(match self.encoder {
            VaeEncoder::Convolutional => vec![
                conv(name, Conv::new(self.latent, 3).pad(1).fill(filler)),
                layer("flatten", Op::Flatten(self.smallest()?.pow(2))),
            ],
            _ => vec![layer(name, Op::Linear(self.latent, filler))],
        })
    }

    /// Returns how many numbers a code has.
    ///
    /// ```
    /// use deepsim_nets::{VaeConfig, VaeEncoder};
    /// let config = VaeConfig { encoder: VaeEncoder::Convolutional, latent: 4, side: 64 };
    /// assert_eq!(config.code(), 4 * 8 * 8);
    /// ```
    pub fn code(&self) -> usize {
        match self.encoder {
            VaeEncoder::Convolutional => self.latent * (self.side / DOWNSAMPLING).pow(2),
            _ => self.latent,
        }
    }

    /// Cost of one pass over an image, to its distribution of codes and back.
    ///
    /// # Errors
    /// If there is no network for images of this size.
    pub fn cost(&self) -> Result<Pass, NetError> {
        let (rows, filler) = self.encoder()?;
        let mut pass = Pass::default();
        let maps = pass.begin(&rows, ENCODER, &[3, self.side, self.side])?;
        pass.extend(&self.head(MEAN, filler)?, ENCODER, &maps)?;
        let code = pass.extend(&self.head(LOG_VARIANCE, VARIANCE)?, ENCODER, &maps)?;
        pass.extend(&self.decoder()?, DECODER, &code)?;
        Ok(pass)
    }

    /// Numbers, or channels, that the heads read.
    ///
    /// # Errors
    /// If the side does not fit.
    pub(super) fn channels(&self) -> Result<usize, NetError> {
        Ok(match self.encoder {
            VaeEncoder::Autoencoder => CHANNELS * self.smallest()?.pow(2),
            VaeEncoder::Convolutional => CHANNELS,
            VaeEncoder::AlexNet | VaeEncoder::CaffeNet => 256 * ALEXNET.1,
        })
    }

    /// Grey levels in a unit of the network's pixels.
    pub(super) fn unit(&self) -> f64 {
        if self.encoder.trained().is_none() { UNIT } else { 1.0 }
    }

    /// Side of the small networks' smallest maps.
    pub(super) fn smallest(&self) -> Result<usize, NetError> {
        match self.side.is_multiple_of(DOWNSAMPLING) && self.side > 0 {
            true => Ok(self.side / DOWNSAMPLING),
            false => Err(self.wrong("images whose sides are multiples of 8")),
        }
    }

    fn wrong(&self, wanted: &str) -> NetError {
        NetError::Shape {
            operation: "the variational autoencoder",
            wanted: format!("{wanted} for the encoder {}", self.encoder.name()),
            got: format!("{} pixels", self.side),
        }
    }
}
