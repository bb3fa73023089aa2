//! The variational autoencoder (paper v1 section 4.2): an encoder to the mean and the variance of a
//! Gaussian, and a decoder that draws images from samples of it, or of N(0, 1).
//!
//! The paper's encoder is AlexNet to FC6, its decoder the generator for FC6 (v1 Table 5). For images of
//! 64 pixels there is a small one of the autoencoder's layers, and one whose code keeps its places.

mod config;

use std::path::Path;

use candle_core::{Device, Tensor};
use rand_core::Rng;

use crate::image::{Images, PixelFormat};
use crate::inverter::middle;
use crate::layers::Stack;
use crate::params::{ParamBuilder, parse, read};
use crate::random::normal;
use crate::spec::Spec;
use crate::{NetError, Params, Posterior};

use config::{DECODER, ENCODER, LOG_VARIANCE, MEAN, VARIANCE};
pub use config::{VaeConfig, VaeEncoder};

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
        let channels = config.channels()?;
        let encoder = Stack::build(&rows, 3, ENCODER, &mut builder)?;
        let mut head = |name, filler| {
            Stack::build(&config.head(name, filler)?, channels, ENCODER, &mut builder)
        };
        let mean = head(MEAN, filler)?;
        let log_variance = head(LOG_VARIANCE, VARIANCE)?;
        let decoder = Stack::build(&config.decoder()?, config.code(), DECODER, &mut builder)?;
        Ok(Self { config, encoder, mean, log_variance, decoder, params: builder.params })
    }

    /// Loads the encoder's convolutions from a trained network, and the layer of the mean from its FC6 if
    /// the file has one of the same width.
    ///
    /// # Errors
    /// If the encoder is neither AlexNet's nor CaffeNet's, or the file cannot be read or does not hold these layers. The
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
    /// `(n, code)`
    ///
    /// # Errors
    /// If they cannot be made a tensor.
    pub fn noise(&self, n: usize, rng: &mut impl Rng) -> Result<Tensor, NetError> {
        let code = self.config.code();
        Ok(Tensor::from_vec(normal(rng, n * code, 1.0), (n, code), &Device::Cpu)?)
    }

    /// Computes the distributions of the codes of images.
    ///
    /// # Shapes
    /// `(N, 3, side, side) ->` two `(N, code)`; code as [`VaeConfig::code`], maps one after the other
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
    /// `(N, code) -> (N, 3, side, side)`
    ///
    /// # Errors
    /// If the codes have another length.
    pub fn decode(&self, codes: &Tensor) -> Result<Images, NetError> {
        let code = self.config.code();
        if codes.dims().get(1..) != Some(&[code]) {
            return Err(NetError::Shape {
                operation: "Vae::decode",
                wanted: format!("codes of (N, {code})"),
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
    /// `(N, 3, side, side)`, noise `(N, code) -> (N, 3, side, side)`
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
    use crate::layers::Op;
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
    fn a_code_of_maps_keeps_its_places() -> Result<(), NetError> {
        let config = VaeConfig { encoder: VaeEncoder::Convolutional, latent: 4, side: 64 };
        let vae = Vae::new(config, 3, &Device::Cpu)?;
        assert_eq!(config.cost()?.weights(), vae.params().count());
        let posterior = vae.encode(&images(2, 64)?)?;
        assert_eq!(posterior.mean.dims(), [2, 4 * 8 * 8]);
        assert_eq!(values(&posterior.log_variance)?, [0.0; 512]);
        // The last number of a code is that of the last place of the last map: it changes pixels of that corner alone.
        let code = vae.noise(1, &mut stream(2, "noise", 0))?;
        let mut moved = values(&code)?;
        moved[255] += 1.0;
        let moved = Tensor::from_vec(moved, (1, 256), &Device::Cpu)?;
        let change = (vae.decode(&moved)?.tensor() - vae.decode(&code)?.tensor())?.abs()?;
        let corner = |from: usize, n: usize| -> Result<f32, NetError> {
            Ok(change.narrow(2, from, n)?.narrow(3, from, n)?.max_all()?.to_scalar()?)
        };
        // Tiles of a convolution share their rounding.
        let (far, near) = (corner(0, 16)?, corner(48, 16)?);
        assert!(far < 1e-4 * near, "{far} far away, {near} there");
        Ok(())
    }

    #[test]
    fn weights_of_another_kind_of_network_match_and_are_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let device = Device::Cpu;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("generator.safetensors");
        let vae = Generator::Vae(Vae::new(SMALL, 0, &device)?);
        crate::Autoencoder::new(Default::default(), 0, &device)?.save(&path)?;
        let found = vae.begin_with_matching(&path)?;
        assert!(found.other_kind && found.to_string().contains("another kind"), "{found}");
        assert!(found.taken > 10 && found.unused > 0, "{found}");
        vae.params().save(&path, &vae.spec())?;
        let found = vae.begin_with_matching(&path)?;
        assert_eq!((found.other_kind, found.fresh.len(), found.unused), (false, 0, 0));
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
