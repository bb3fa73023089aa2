//! Generators: autoencoder, VAE, or feature inverter.

use std::path::Path;

use candle_core::{Device, Tensor};
use rand_core::Rng;

use crate::spec::Spec;
use crate::{Autoencoder, Images, Inverter, NetError, Params, Posterior, Vae};

/// Generator of images.
#[derive(Clone, Debug)]
pub enum Generator {
    /// Image -> code -> image, with an encoder of its own.
    Autoencoder(Autoencoder),
    /// Features of a frozen encoder -> image.
    Inverter(Inverter),
    /// Image -> distribution of codes -> image.
    Vae(Vae),
}

/// Output of a generator.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Reconstructed images.
    pub images: Images,
    /// Distribution of their codes, from a variational autoencoder.
    pub posterior: Option<Posterior>,
}

impl Generator {
    /// Loads the generator of a weight file, as its metadata describes it.
    ///
    /// # Errors
    /// If the file cannot be read, its metadata describes no generator, or its tensors are not exactly
    /// the network's.
    pub fn load(path: &Path, device: &Device) -> Result<Self, NetError> {
        let (net, what) = match Spec::read(path)? {
            Spec::Autoencoder(config) => {
                (Self::Autoencoder(Autoencoder::new(config, 0, device)?), "the autoencoder")
            }
            Spec::Inverter(config) => {
                let net = Inverter::new(config, 0, device)?;
                (Self::Inverter(net), "the network that inverts features")
            }
            Spec::Vae(config) => {
                (Self::Vae(Vae::new(config, 0, device)?), "the variational autoencoder")
            }
        };
        net.params().load(path, what)?;
        Ok(net)
    }

    /// Loads the weights of a file of the same network. A network that inverts features may take more noise than that of the
    /// file: the weights of what it takes more keep their values.
    ///
    /// # Errors
    /// If the file cannot be read, describes another network, or its tensors are not exactly the network's. The
    /// weights are then unchanged.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{Autoencoder, AutoencoderConfig, Generator};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let new = |channels, seed| {
    ///     let config = AutoencoderConfig { code_channels: channels, ..Default::default() };
    ///     Autoencoder::new(config, seed, &Device::Cpu).map(Generator::Autoencoder)
    /// };
    /// let file = std::env::temp_dir().join(format!("begin-with-{}.safetensors", std::process::id()));
    /// let trained = new(8, 0)?;
    /// trained.params().save(&file, &trained.spec())?;
    /// new(8, 1)?.begin_with(&file)?;
    /// assert!(new(16, 1)?.begin_with(&file).is_err());
    /// # std::fs::remove_file(file)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin_with(&self, path: &Path) -> Result<(), NetError> {
        let found = Spec::read(path)?;
        if let (Self::Inverter(net), Spec::Inverter(config)) = (self, &found)
            && net.config().has_more_noise_than(config)
        {
            return self.params().load_leading(path, "the generator");
        }
        let (own, found) = (self.spec(), found.to_json());
        if own != found {
            let reason = format!("expected weights of {own}, found those of {found}");
            return Err(NetError::Description { path: path.into(), reason });
        }
        self.params().load(path, "the generator")
    }

    /// Makes the last layer, an up-convolution, begin as linear interpolation: the kernel between two channels becomes
    /// one of its weights times that of bilinear interpolation.
    ///
    /// With independent weights the four phases of an up-convolution of stride 2 begin with different values. They draw
    /// a grid of period two over the images, which takes thousands of steps to disappear. After Aitken et al.,
    /// "Checkerboard artifact free sub-pixel convolution" (arXiv 1707.02937), and Long et al., "Fully Convolutional
    /// Networks for Semantic Segmentation" (2015).
    ///
    /// # Errors
    /// If the device fails.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{Autoencoder, AutoencoderConfig, Generator};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let generator = Generator::Autoencoder(Autoencoder::new(AutoencoderConfig::default(), 0, &Device::Cpu)?);
    /// generator.interpolate()?;
    /// let last = generator.params().get("decoder.u3.weight").expect("the last layer");
    /// let kernel = last.get(0)?.get(0)?.to_vec2::<f32>()?;
    /// assert!((kernel[1][1] / kernel[0][1] - 3.0).abs() < 1e-5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn interpolate(&self) -> Result<(), NetError> {
        let kernels = self.params().iter().filter(|(_, var)| var.rank() == 4);
        let Some((_, last)) = kernels.last() else { return Ok(()) };
        let side = last.dim(3)?;
        // 1/4, 3/4, 3/4, 1/4: each phase has weights of sum 1.
        let middle = (side as f32 - 1.0) / 2.0;
        let line: Vec<f32> =
            (0..side).map(|i| 1.0 - (i as f32 - middle).abs() / (side as f32 / 2.0)).collect();
        let line = Tensor::new(line, last.device())?;
        let kernel = line.unsqueeze(1)?.broadcast_mul(&line.unsqueeze(0)?)?;
        // Neighbours are alike, so that weights of sum 1 have the power of side/2 independent ones along each axis.
        let weights = (last.narrow(2, 0, 1)?.narrow(3, 0, 1)? * (side as f64 / 2.0))?;
        Ok(last.set(&weights.broadcast_mul(&kernel)?)?)
    }

    /// Reconstructs images: from themselves, or from their `features` if the generator inverts an encoder.
    /// `noise` is for the generators that take it ([`Generator::noise`]).
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the images or features do not fit, or features are missing.
    pub fn forward(
        &self,
        images: &Images,
        features: Option<&Tensor>,
        noise: Option<&Tensor>,
    ) -> Result<Generated, NetError> {
        let (images, posterior) = match (self, features) {
            (Self::Autoencoder(net), _) => (net.forward(images)?, None),
            (Self::Inverter(net), Some(features)) => (net.forward(features, noise)?, None),
            (Self::Inverter(net), None) => {
                let (tap, features) = (&net.config().tap, &net.config().features);
                return Err(NetError::Shape {
                    operation: "Generator::forward",
                    wanted: format!("features at {tap} of {features:?}"),
                    got: "none".into(),
                });
            }
            (Self::Vae(net), _) => {
                let (images, posterior) = net.forward(images, noise)?;
                (images, Some(posterior))
            }
        };
        Ok(Generated { images, posterior })
    }

    /// Draws noise for `n` images in training, if the generator takes any: an input beside the features, or
    /// the deviation from the mean of the codes.
    ///
    /// # Errors
    /// As [`Inverter::noise`] and [`Vae::noise`].
    pub fn noise(&self, n: usize, rng: &mut impl Rng) -> Result<Option<Tensor>, NetError> {
        match self {
            Self::Autoencoder(_) => Ok(None),
            Self::Inverter(net) => net.noise(n, rng),
            Self::Vae(net) => Ok(Some(net.noise(n, rng)?)),
        }
    }

    /// JSON description of the network for the metadata of a weight file.
    pub fn spec(&self) -> String {
        match self {
            Self::Autoencoder(net) => net.spec(),
            Self::Inverter(net) => net.spec(),
            Self::Vae(net) => net.spec(),
        }
    }

    /// Returns the same weights without gradients; see [`Stack::frozen`](crate::layers::Stack::frozen).
    pub fn frozen(&self) -> Self {
        match self {
            Self::Autoencoder(net) => Self::Autoencoder(net.frozen()),
            Self::Inverter(net) => Self::Inverter(net.frozen()),
            Self::Vae(net) => Self::Vae(net.frozen()),
        }
    }

    /// Returns all weights.
    pub fn params(&self) -> &Params {
        match self {
            Self::Autoencoder(net) => net.params(),
            Self::Inverter(net) => net.params(),
            Self::Vae(net) => net.params(),
        }
    }

    /// Returns true if weight decay applies to the weight `name`. In the authors' solver these are the first
    /// convolutions of the generators for CONV5 and other maps. For autoencoders, plain or variational, the
    /// paper does not say; there it applies to all weights.
    pub fn decays(&self, name: &str) -> bool {
        match self {
            Self::Autoencoder(_) | Self::Vae(_) => true,
            Self::Inverter(_) => name.starts_with("Rconv") && name.ends_with(".weight"),
        }
    }
}
