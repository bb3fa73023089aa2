//! The variational autoencoder (paper v1 section 4.2): an encoder to the mean and the variance of a
//! Gaussian, and a decoder that draws images from samples of it, or of N(0, 1).
//!
//! The paper's encoder is AlexNet to FC6, its decoder the generator for FC6 (v1 Table 5). For images of
//! 64 pixels there is a small one of the autoencoder's layers.

use std::path::Path;

use candle_core::{Device, Tensor};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::alexnet::{self, Order};
use crate::autoencoder::{self, AutoencoderConfig, DOWNSAMPLING};
use crate::image::{Images, PixelFormat};
use crate::init::Filler;
use crate::inverter::{from_numbers, middle};
use crate::layers::{Layer, Op, Stack, layer};
use crate::params::{ParamBuilder, parse, read};
use crate::random::normal;
use crate::spec::Spec;
use crate::{ComparatorKind, NetError, Params, Pass, Posterior};

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
}

impl VaeEncoder {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "alexnet",
            Self::CaffeNet => "caffenet",
            Self::Autoencoder => "autoencoder",
        }
    }

    /// The network whose weights it can begin with.
    pub fn trained(self) -> Option<ComparatorKind> {
        match self {
            Self::AlexNet => Some(ComparatorKind::alexnet()),
            Self::CaffeNet => Some(ComparatorKind::caffenet()),
            Self::Autoencoder => None,
        }
    }
}

/// Shape of a variational autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// Layers of the encoder.
    pub encoder: VaeEncoder,
    /// Numbers in the latent code; 4096 as in FC6.
    pub latent: usize,
    /// Side of the images in pixels.
    pub side: usize,
}

/// Side of AlexNet's images, and positions of its last maps.
const ALEXNET: (usize, usize) = (227, 6 * 6);
/// Grey levels in a unit of the small network's pixels: maps and codes are then of one scale from the first
/// step, as weights at those of Caffe's pixels would not have it.
const UNIT: f64 = 64.0;
/// Channels of the small network's smallest maps.
const CHANNELS: usize = 64;
/// Prefixes of the names of weights, and names of the heads.
const ENCODER: &str = "encoder.";
const DECODER: &str = "decoder.";
const MEAN: &str = "mean";
const LOG_VARIANCE: &str = "log_variance";
/// Filler of the head for the variance, which begins at 1.
const VARIANCE: Filler = Filler::Gaussian { std: 0.0, bias: 0.0 };

impl VaeConfig {
    /// The encoder to flat numbers, and how the mean's weights are drawn: so that codes begin about as
    /// wide as N(0, 1).
    fn encoder(&self) -> Result<(Vec<Layer>, Filler), NetError> {
        let order = match self.encoder {
            VaeEncoder::AlexNet => Order::NormPool,
            VaeEncoder::CaffeNet => Order::PoolNorm,
            VaeEncoder::Autoencoder => {
                let smallest = self.smallest()?;
                let mut rows = autoencoder::contracting(AutoencoderConfig::default());
                rows.push(layer("flatten", Op::Flatten(smallest * smallest)));
                return Ok((rows, Filler::Msra { coeff: 1.0 }));
            }
        };
        if self.side != ALEXNET.0 {
            return Err(self.wrong("images of 227 pixels"));
        }
        let mut rows = alexnet::trunk(order);
        rows.push(layer("flatten", Op::Flatten(ALEXNET.1)));
        Ok((rows, Filler::Gaussian { std: 0.005, bias: 0.0 }))
    }

    fn decoder(&self) -> Result<Vec<Layer>, NetError> {
        if self.encoder != VaeEncoder::Autoencoder {
            return from_numbers(self.latent, self.side);
        }
        let (config, side) = (AutoencoderConfig::default(), self.smallest()?);
        let mut rows = vec![
            layer("fc", Op::Linear(CHANNELS * side * side, Filler::Msra { coeff: 0.25 })),
            layer("activation", Op::LeakyRelu(config.slope)),
            layer("reshape", Op::Unflatten { channels: CHANNELS, side }),
        ];
        rows.extend(autoencoder::expanding(config));
        Ok(rows)
    }

    /// Layer of the heads for the mean and the logarithm of the variance, with `filler`.
    fn head(&self, name: &'static str, filler: Filler) -> [Layer; 1] {
        [layer(name, Op::Linear(self.latent, filler))]
    }

    /// Cost of one pass over an image, to its distribution of codes and back.
    ///
    /// # Errors
    /// If there is no network for images of this size.
    pub fn cost(&self) -> Result<Pass, NetError> {
        let (rows, filler) = self.encoder()?;
        let mut pass = Pass::default();
        let maps = pass.begin(&rows, ENCODER, &[3, self.side, self.side])?;
        pass.extend(&self.head(MEAN, filler), ENCODER, &maps)?;
        let code = pass.extend(&self.head(LOG_VARIANCE, VARIANCE), ENCODER, &maps)?;
        pass.extend(&self.decoder()?, DECODER, &code)?;
        Ok(pass)
    }

    /// Grey levels in a unit of the network's pixels.
    fn unit(&self) -> f64 {
        if self.encoder == VaeEncoder::Autoencoder { UNIT } else { 1.0 }
    }

    /// Side of the small network's smallest maps.
    fn smallest(&self) -> Result<usize, NetError> {
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

/// Image -> distribution of codes; code -> image.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{Vae, VaeConfig, VaeEncoder};
/// let config = VaeConfig { encoder: VaeEncoder::Autoencoder, latent: 128, side: 64 };
/// let vae = Vae::new(config, 0, &Device::Cpu)?;
/// let codes = vae.noise(2, &mut deepsim_nets::random::stream(0, "samples", 0))?;
/// let images = vae.decode(&codes)?;
/// assert_eq!(images.tensor().dims(), [2, 3, 64, 64]);
/// assert_eq!(vae.encode(&images)?.mean.dims(), [2, 128]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vae {
    config: VaeConfig,
    encoder: Stack,
    mean: Stack,
    log_variance: Stack,
    decoder: Stack,
    params: Params,
}

impl Vae {
    /// Creates a network with initial weights drawn from `seed`; the initial variance is 1.
    ///
    /// # Errors
    /// If there is no network for images of this size.
    pub fn new(config: VaeConfig, seed: u64, device: &Device) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("vae", seed, device);
        let (rows, filler) = config.encoder()?;
        let channels = match config.encoder {
            VaeEncoder::Autoencoder => CHANNELS * config.smallest()?.pow(2),
            _ => 256 * ALEXNET.1,
        };
        let encoder = Stack::build(&rows, 3, ENCODER, &mut builder)?;
        let mut head = |name, filler| {
            Stack::build(&config.head(name, filler), channels, ENCODER, &mut builder)
        };
        let mean = head(MEAN, filler)?;
        let log_variance = head(LOG_VARIANCE, VARIANCE)?;
        let decoder = Stack::build(&config.decoder()?, config.latent, DECODER, &mut builder)?;
        Ok(Self { config, encoder, mean, log_variance, decoder, params: builder.params })
    }

    /// Loads the encoder's convolutions from a trained network, and the layer of the mean from its FC6 if
    /// the file has one of the same width.
    ///
    /// # Errors
    /// If the encoder is the small one, or the file cannot be read or does not hold these layers. The
    /// weights are then unchanged.
    pub fn begin_with(&self, path: &Path) -> Result<(), NetError> {
        if self.config.encoder.trained().is_none() {
            return Err(NetError::Shape {
                operation: "Vae::begin_with",
                wanted: "the encoder alexnet or caffenet".into(),
                got: self.config.encoder.name().into(),
            });
        }
        let bytes = read(path)?;
        let file = parse(path, &bytes)?;
        let width = file.tensor("fc6.weight").ok().and_then(|fc6| fc6.shape().first().copied());
        let mean = width == Some(self.config.latent);
        let wanted = |name: &str| {
            name.starts_with("encoder.conv") || (mean && name.starts_with("encoder.mean."))
        };
        self.params.part(wanted).fill(&file, path, "the encoder", |name| {
            match name.strip_prefix("fc6.") {
                Some(part) => mean.then(|| format!("encoder.mean.{part}")),
                None => name.starts_with("conv").then(|| format!("encoder.{name}")),
            }
        })
    }

    /// JSON description of the network for the metadata of a weight file.
    pub fn spec(&self) -> String {
        Spec::Vae(self.config).to_json()
    }

    /// Configuration of the network.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Draws numbers from N(0, 1) for `n` codes.
    ///
    /// # Shapes
    /// `(n, latent)`
    ///
    /// # Errors
    /// If they cannot be made a tensor.
    pub fn noise(&self, n: usize, rng: &mut impl Rng) -> Result<Tensor, NetError> {
        let values = normal(rng, n * self.config.latent, 1.0);
        Ok(Tensor::from_vec(values, (n, self.config.latent), &Device::Cpu)?)
    }

    /// Computes the distributions of the codes of images.
    ///
    /// # Shapes
    /// `(N, 3, side, side) ->` two `(N, latent)`
    ///
    /// # Errors
    /// If the images have another size.
    pub fn encode(&self, images: &Images) -> Result<Posterior, NetError> {
        let side = self.config.side;
        if (images.height(), images.width()) != (side, side) {
            return Err(NetError::Shape {
                operation: "Vae::encode",
                wanted: format!("images of {side} x {side}"),
                got: format!("{} x {}", images.height(), images.width()),
            });
        }
        let images = images.convert(PixelFormat::CAFFE_BGR)?;
        let maps = self.encoder.forward(&(images.tensor() / self.config.unit())?, None)?;
        let head = |head: &Stack| head.forward(&maps, None);
        Ok(Posterior { mean: head(&self.mean)?, log_variance: head(&self.log_variance)? })
    }

    /// Computes the images of codes, in Caffe's format and not clipped.
    ///
    /// # Shapes
    /// `(N, latent) -> (N, 3, side, side)`
    ///
    /// # Errors
    /// If the codes have another length.
    pub fn decode(&self, codes: &Tensor) -> Result<Images, NetError> {
        let latent = self.config.latent;
        if codes.dims().get(1..) != Some(&[latent]) {
            return Err(NetError::Shape {
                operation: "Vae::decode",
                wanted: format!("codes of (N, {latent})"),
                got: format!("{:?}", codes.dims()),
            });
        }
        let device = self.params.iter().next().map_or(&Device::Cpu, |(_, var)| var.device());
        let codes = codes.to_device(device)?;
        let drawn = (self.decoder.forward(&codes, None)? * self.config.unit())?;
        middle(&drawn, self.config.side)
    }

    /// Encodes images, and decodes samples of the codes (without noise, their means). Returns the images
    /// and the distributions.
    ///
    /// # Shapes
    /// `(N, 3, side, side)`, noise `(N, latent) -> (N, 3, side, side)`
    ///
    /// # Errors
    /// As [`Vae::encode`] and [`Posterior::sample`].
    pub fn forward(
        &self,
        images: &Images,
        noise: Option<&Tensor>,
    ) -> Result<(Images, Posterior), NetError> {
        let posterior = self.encode(images)?;
        let code = match noise {
            Some(noise) => posterior.sample(noise)?,
            None => posterior.mean.clone(),
        };
        Ok((self.decode(&code)?, posterior))
    }

    /// Returns the same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self {
            encoder: self.encoder.frozen(),
            mean: self.mean.frozen(),
            log_variance: self.log_variance.frozen(),
            decoder: self.decoder.frozen(),
            ..self.clone()
        }
    }

    /// Returns all weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;
    use crate::random::stream;

    const SMALL: VaeConfig = VaeConfig { encoder: VaeEncoder::Autoencoder, latent: 16, side: 64 };

    fn images(n: usize, side: usize) -> Result<Images, NetError> {
        let bytes: Vec<u8> = (0..n * 3 * side * side).map(|i| (i * 31 % 251) as u8).collect();
        Images::from_u8(&bytes, n, side, side, PixelFormat::CAFFE_BGR, &Device::Cpu)
    }

    fn values(tensor: &Tensor) -> Result<Vec<f32>, NetError> {
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    #[test]
    fn codes_begin_about_as_wide_as_the_prior_and_noise_moves_them() -> Result<(), NetError> {
        let vae = Vae::new(SMALL, 3, &Device::Cpu)?;
        let images = images(4, 64)?;
        let posterior = vae.encode(&images)?;
        assert_eq!(posterior.mean.dims(), [4, 16]);
        assert_eq!(values(&posterior.log_variance)?, [0.0; 64]);
        let mean = values(&posterior.mean)?;
        let power = mean.iter().map(|m| f64::from(m * m)).sum::<f64>() / 64.0;
        assert!(power > 0.01 && power < 100.0, "{power}");
        let noise = vae.noise(4, &mut stream(1, "noise", 0))?;
        let sample = values(&posterior.sample(&noise)?)?;
        for ((s, m), n) in sample.iter().zip(&mean).zip(values(&noise)?) {
            assert!((s - m - n).abs() < 1e-5);
        }
        // Without noise the mean is decoded.
        let (quiet, _) = vae.forward(&images, None)?;
        assert_eq!(values(quiet.tensor())?, values(vae.decode(&posterior.mean)?.tensor())?);
        let (noisy, _) = vae.forward(&images, Some(&noise))?;
        assert_ne!(values(quiet.tensor())?, values(noisy.tensor())?);
        Ok(())
    }

    #[test]
    fn the_papers_decoder_is_the_generator_for_fc6() -> Result<(), NetError> {
        let config = VaeConfig { encoder: VaeEncoder::CaffeNet, latent: 4096, side: 227 };
        let table = config.decoder()?;
        assert_eq!(table, crate::GeneratorKind::Fc6.table());
        let (rows, _) = config.encoder()?;
        assert_eq!(rows.last().map(|row| row.op), Some(Op::Flatten(36)));
        Ok(())
    }

    #[test]
    fn other_sizes_and_foreign_files_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        for (encoder, side) in [(VaeEncoder::AlexNet, 64), (VaeEncoder::Autoencoder, 60)] {
            let config = VaeConfig { encoder, latent: 8, side };
            let message = Vae::new(config, 0, &Device::Cpu).expect_err("no such net").to_string();
            assert!(message.contains(&format!("{side} pixels")), "{message}");
        }
        let vae = Vae::new(SMALL, 0, &Device::Cpu)?;
        let message = vae.encode(&images(1, 72)?).expect_err("another size").to_string();
        assert!(message.contains("expected images of 64 x 64, found 72 x 72"), "{message}");
        let few = vae.noise(1, &mut stream(0, "noise", 0))?;
        assert!(vae.forward(&images(2, 64)?, Some(&few)).is_err(), "noise for one image only");
        assert!(vae.decode(&few.narrow(1, 0, 8)?).is_err());

        let folder = tempfile::tempdir()?;
        let path = folder.path().join("generator.safetensors");
        vae.params().save(&path, &vae.spec())?;
        let Generator::Vae(copy) = Generator::load(&path, &Device::Cpu)? else {
            panic!("a variational autoencoder")
        };
        assert_eq!(values(copy.decode(&few)?.tensor())?, values(vae.decode(&few)?.tensor())?);
        vae.params().save(&path, r#"{"kind":"autoencoder"}"#)?;
        assert!(Generator::load(&path, &Device::Cpu).is_err());
        // The small encoder begins with nothing, and this is no network to begin with.
        let message = vae.begin_with(&path).expect_err("a small encoder").to_string();
        assert!(message.contains("expected the encoder alexnet or caffenet"), "{message}");
        let large = VaeConfig { encoder: VaeEncoder::AlexNet, latent: 2, side: 227 };
        let message = Vae::new(large, 0, &Device::Cpu)?.begin_with(&path).expect_err("no AlexNet");
        assert!(message.to_string().contains("encoder.conv1.weight: missing"), "{message}");
        Ok(())
    }
}
