//! Networks as modules of candle-core, for programs that chain layers.
//!
//! A module takes and gives plain tensors, so their format is fixed: that of the network. Generators and the
//! discriminator take and give [`PixelFormat::CAFFE_BGR`](crate::PixelFormat::CAFFE_BGR), a comparator takes its own.
//! Dropout is off and no noise is added; training calls the networks' own functions, whose randomness is an argument.

use candle_core::{Error, Module, Result, Tensor};

use crate::image::{Images, PixelFormat};
use crate::layers::Stack;
use crate::{Autoencoder, Comparator, Discriminator, Generator, Inverter, NetError, Vae};

fn wrapped<T>(result: std::result::Result<T, NetError>) -> Result<T> {
    result.map_err(|error| match error {
        NetError::Tensor(error) => error,
        other => Error::wrap(other),
    })
}

fn images(x: &Tensor) -> Result<Images> {
    wrapped(Images::new(x.clone(), PixelFormat::CAFFE_BGR))
}

/// The rows without dropout.
impl Module for Stack {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        wrapped(self.forward(x, None))
    }
}

/// Reconstructions `(N, 3, H, W)` of images `(N, 3, H, W)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{Autoencoder, AutoencoderConfig, Discriminator, DiscriminatorConfig};
/// let generator = Autoencoder::new(AutoencoderConfig::default(), 0, &Device::Cpu)?;
/// let judge = Discriminator::new(DiscriminatorConfig::default(), None, 0, &Device::Cpu)?;
/// let x = Tensor::zeros((2, 3, 64, 64), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&generator)?.apply(&judge)?.dims(), [2, 2]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
impl Module for Autoencoder {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(wrapped(self.forward(&images(x)?))?.into_tensor())
    }
}

/// Reconstructions `(N, 3, H, W)` of images, from the means of their codes.
impl Module for Vae {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(wrapped(self.forward(&images(x)?, None))?.0.into_tensor())
    }
}

/// Images `(N, 3, H, W)` of features `(N, ..)`; without the noise that a network may take beside them.
impl Module for Inverter {
    fn forward(&self, features: &Tensor) -> Result<Tensor> {
        Ok(wrapped(self.forward(features, None))?.into_tensor())
    }
}

/// Forwards to the kind of generator.
impl Module for Generator {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Autoencoder(net) => Module::forward(net, x),
            Self::Inverter(net) => Module::forward(net, x),
            Self::Vae(net) => Module::forward(net, x),
        }
    }
}

/// Logits `(N, 2)` of images, `(N * patches, 2)` of a network for patches, if the network is not conditional.
impl Module for Discriminator {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        wrapped(self.forward(&images(x)?, None, None))
    }
}

/// A comparator up to one tap, as a module: images in the comparator's own format to features.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{ComparatorKind, Features};
/// let net = ComparatorKind::alexnet().open(None, 0, &Device::Cpu)?;
/// let conv3 = Features::new(net, "CONV3")?;
/// let x = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?;
/// assert_eq!(x.apply(&conv3)?.dims(), [1, 384, 3, 3]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Features<C> {
    net: C,
    tap: String,
}

impl<C: Comparator> Features<C> {
    /// Takes the features of a comparator, or of a pointer to one, at a tap.
    ///
    /// # Errors
    /// If the network has no such tap.
    pub fn new(net: C, tap: &str) -> std::result::Result<Self, NetError> {
        match net.taps() {
            taps if taps.iter().any(|known| known == tap) => Ok(Self { net, tap: tap.into() }),
            wanted => Err(NetError::UnknownTap { net: net.name().into(), wanted, got: tap.into() }),
        }
    }
}

impl<C: Comparator> Module for Features<C> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let images = wrapped(Images::new(x.clone(), self.net.format()))?;
        wrapped(self.net.features(&images, &self.tap))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::{
        ComparatorKind, DiscriminatorConfig, GeneratorKind, InverterConfig, VaeConfig, VaeEncoder,
    };

    #[test]
    fn modules_compute_what_the_networks_do() -> std::result::Result<(), NetError> {
        let device = Device::Cpu;
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let x = Tensor::arange(0f32, 3.0 * 64.0 * 64.0, &device)?.affine(0.01, -50.0)?;
        let x = x.reshape((1, 3, 64, 64))?;

        let config = VaeConfig { encoder: VaeEncoder::Autoencoder, side: 64, latent: 8 };
        let vae = Vae::new(config, 0, &device)?;
        let own = vae.forward(&images(&x)?, None)?.0;
        assert_eq!(values(&x.apply(&vae)?)?, values(own.tensor())?);
        let generator = Generator::Vae(vae);
        assert_eq!(values(&x.apply(&generator)?)?, values(own.tensor())?);

        let inverter = Inverter::new(InverterConfig::released(GeneratorKind::Norm1), 0, &device)?;
        let features = Tensor::ones((1, 96, 27, 27), DType::F32, &device)?;
        let own = inverter.forward(&features, None)?;
        assert_eq!(values(&features.apply(&inverter)?)?, values(own.tensor())?);

        let net = ComparatorKind::exemplar_cnn().open(None, 0, &device)?;
        let own = net.features(&Images::new(x.clone(), net.format())?, "CONV2")?;
        assert_eq!(values(&x.apply(&Features::new(&*net, "CONV2")?)?)?, values(&own)?);
        let Err(error) = Features::new(&*net, "CONV9") else { panic!("no such tap") };
        assert!(error.to_string().contains("no tap `CONV9`"), "{error}");

        // A network that needs more than one input says so.
        let config = DiscriminatorConfig { conditional: true, ..DiscriminatorConfig::default() };
        let conditional = Discriminator::new(config, Some(96), 0, &device)?;
        let message = x.apply(&conditional).expect_err("no features").to_string();
        assert!(message.contains("features"), "{message}");
        Ok(())
    }
}
