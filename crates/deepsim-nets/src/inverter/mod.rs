//! Networks that turn the features of an encoder back into images (paper section 4.3; v1 Table 5 =
//! v2 Table 1): for AlexNet's layers those of the authors' release
//! ([`GeneratorKind`](crate::GeneratorKind)), for features of other shapes the analogous stack, and a [`small`] network.

mod config;
pub mod small;

use candle_core::{Device, Tensor};
use rand_core::Rng;

pub use config::InverterConfig;
use config::Part;
pub(crate) use config::from_numbers;

use crate::image::{Images, PixelFormat};
use crate::layers::Stack;
use crate::params::ParamBuilder;
use crate::random::normal;
use crate::{NetError, Params};

/// The middle of what is drawn, as images.
pub(crate) fn middle(drawn: &Tensor, side: usize) -> Result<Images, NetError> {
    let corner = (drawn.dims()[2] - side) / 2;
    let middle = drawn.narrow(2, corner, side)?.narrow(3, corner, side)?.contiguous()?;
    Ok(Images::drawn(middle, PixelFormat::CAFFE_BGR))
}

/// Features -> image.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{ComparatorKind, Inverter, InverterConfig};
/// let config = InverterConfig::new(ComparatorKind::caffenet(), "CONV5", &[256, 6, 6], 227);
/// let inverter = Inverter::new(config, 0, &Device::Cpu)?;
/// let features = Tensor::zeros((1, 256, 6, 6), DType::F32, &Device::Cpu)?;
/// assert_eq!(inverter.forward(&features, None)?.tensor().dims(), [1, 3, 227, 227]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inverter {
    config: InverterConfig,
    /// Parts of the network, before each of which noise joins the maps.
    parts: Vec<Stack>,
    /// Numbers of noise for one image at each place where noise joins: beside the features, the same at all positions,
    /// and before each part but the first.
    noise: Vec<usize>,
    /// Factors of the channels of the features.
    scale: Option<Tensor>,
    params: Params,
}

impl Inverter {
    /// Creates a network with the authors' initial weights, drawn from `seed`.
    ///
    /// # Errors
    /// If there is no network for features of this shape.
    pub fn new(config: InverterConfig, seed: u64, device: &Device) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("inversion", seed, device);
        let stack = |part: &Part| Stack::build(&part.rows, part.input[0], "", &mut builder);
        let tables = config.parts()?;
        let noise = config.numbers(&tables);
        let parts = tables.iter().map(stack).collect::<Result<_, _>>()?;
        let scale = match config.scale.is_empty() {
            true => None,
            false => {
                let factors: Vec<f32> = config.scale.iter().map(|scale| 1.0 / scale).collect();
                let mut shape = vec![1; config.features.len() + 1];
                shape[1] = factors.len();
                Some(Tensor::from_vec(factors, shape, device)?)
            }
        };
        Ok(Self { config, parts, noise, scale, params: builder.params })
    }

    /// JSON description of the network for the metadata of a weight file.
    pub fn spec(&self) -> String {
        self.config.spec()
    }

    /// Configuration of the network.
    pub fn config(&self) -> &InverterConfig {
        &self.config
    }

    /// Draws noise for `n` images; `None` if the network takes none.
    ///
    /// # Shapes
    /// `(n, K)`: all numbers that an image takes, from the features to the last stage
    ///
    /// # Errors
    /// If the noise cannot be made a tensor.
    pub fn noise(&self, n: usize, rng: &mut impl Rng) -> Result<Option<Tensor>, NetError> {
        let numbers: usize = self.noise.iter().sum();
        if numbers == 0 {
            return Ok(None);
        }
        let values = normal(rng, n * numbers, 1.0);
        Ok(Some(Tensor::from_vec(values, (n, numbers), &Device::Cpu)?))
    }

    /// Computes images from features, in Caffe's format and not clipped: the middle of the output.
    ///
    /// # Shapes
    /// `(N, ..)` as the configuration says -> `(N, 3, side, side)`, e.g. `(N, 4096) -> (N, 3, 227, 227)`;
    /// noise for one image is used for all of them.
    ///
    /// # Errors
    /// If the features or the noise have another shape.
    pub fn forward(&self, features: &Tensor, noise: Option<&Tensor>) -> Result<Images, NetError> {
        let n = features.dims().first().copied().unwrap_or(0);
        let numbers: usize = self.noise.iter().sum();
        let takes = noise.is_none_or(
            |noise| matches!(noise.dims(), [m, k] if *k == numbers && (*m == 1 || *m == n)),
        );
        if features.dims().get(1..) != Some(&self.config.features)
            || noise.is_some() != (numbers > 0)
            || !takes
        {
            let noise =
                noise.map_or_else(|| "none".to_owned(), |noise| format!("{:?}", noise.dims()));
            return Err(NetError::Shape {
                operation: "Inverter::forward",
                wanted: format!(
                    "features (N, ..) of {:?} and {numbers} numbers of noise for each",
                    self.config.features
                ),
                got: format!("{:?}, noise {noise}", features.dims()),
            });
        }
        let mut noise = Places::new(noise, n, features.device())?;
        let features = match &self.scale {
            Some(scale) => features.broadcast_mul(scale)?,
            None => features.clone(),
        };
        let mut maps = noise.beside(&features, self.noise[0])?;
        maps = noise.everywhere(&maps, self.noise[1])?;
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                maps = noise.beside(&maps, self.noise[at + 1])?;
            }
            maps = part.forward(&maps, None)?;
        }
        middle(&maps, self.config.side)
    }

    /// Returns the same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self { parts: self.parts.iter().map(Stack::frozen).collect(), ..self.clone() }
    }

    /// Returns all weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Noise of some images, of which each place takes its numbers in turn.
struct Places {
    noise: Option<Tensor>,
    used: usize,
}

impl Places {
    /// Noise for `n` images, from that of as many or of one.
    fn new(noise: Option<&Tensor>, n: usize, device: &Device) -> Result<Self, NetError> {
        let all = |noise: &Tensor| {
            let noise = noise.to_device(device)?;
            let numbers = noise.dim(1)?;
            noise.broadcast_as((n, numbers))
        };
        Ok(Self { noise: noise.map(all).transpose()?, used: 0 })
    }

    /// Takes the next numbers.
    fn take(&mut self, numbers: usize) -> Result<Option<Tensor>, NetError> {
        let Some(noise) = self.noise.as_ref().filter(|_| numbers > 0) else { return Ok(None) };
        let taken = noise.narrow(1, self.used, numbers)?;
        self.used += numbers;
        Ok(Some(taken))
    }

    /// Maps, or vectors, with the next numbers as further channels.
    fn beside(&mut self, maps: &Tensor, numbers: usize) -> Result<Tensor, NetError> {
        let Some(noise) = self.take(numbers)? else { return Ok(maps.clone()) };
        let mut shape = maps.dims().to_vec();
        shape[1] = numbers / shape[2..].iter().product::<usize>();
        Ok(Tensor::cat(&[maps, &noise.reshape(shape)?], 1)?)
    }

    /// Maps, or vectors, with the next numbers as further channels, each the same at all positions.
    fn everywhere(&mut self, maps: &Tensor, numbers: usize) -> Result<Tensor, NetError> {
        let Some(noise) = self.take(numbers)? else { return Ok(maps.clone()) };
        let mut shape = maps.dims().to_vec();
        shape[1] = numbers;
        let ones = vec![1; shape.len() - 2];
        let noise = noise.reshape([&[shape[0], numbers], &ones[..]].concat())?;
        Ok(Tensor::cat(&[maps, &noise.broadcast_as(shape)?.contiguous()?], 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComparatorKind, Generator, GeneratorKind};
    use candle_core::DType;

    fn config(features: &[usize], side: usize, plain: bool) -> InverterConfig {
        let config = InverterConfig::new(ComparatorKind::alexnet(), "CONV5", features, side);
        InverterConfig { plain, ..config }
    }

    #[test]
    fn tables_are_the_released_ones_where_there_are_any() -> Result<(), NetError> {
        for kind in GeneratorKind::ALL {
            let table = config(kind.features(), 227, false).table()?;
            assert_eq!(table, kind.table(), "{}", kind.name());
        }
        Ok(())
    }

    #[test]
    fn features_of_any_shape_become_images() -> Result<(), NetError> {
        // Shape, side, whether it is plain, and whether it is large enough for the layer conv3_1.
        let cases: [(&[usize], usize, bool, bool); 7] = [
            (&[96, 27, 27], 227, false, true),
            (&[384, 13, 13], 227, false, true),
            (&[256, 6, 6], 227, true, false),
            (&[10], 227, true, false),
            (&[24], 64, false, true),
            (&[16, 3, 3], 64, false, true),
            (&[16, 11, 11], 60, false, false),
        ];
        for (features, side, plain, large) in cases {
            let net = Inverter::new(config(features, side, plain), 0, &Device::Cpu)?;
            let x = Tensor::ones([&[2], features].concat(), DType::F32, &Device::Cpu)?;
            assert_eq!(net.forward(&x, None)?.tensor().dims(), [2, 3, side, side], "{features:?}");
            assert_eq!(net.params().get("conv3_1.weight").is_some(), large, "{features:?}");
            let wrong = Tensor::ones((1, 7), DType::F32, &Device::Cpu)?;
            assert!(net.forward(&wrong, None).is_err());
        }
        Ok(())
    }

    #[test]
    fn noise_is_drawn_beside_features() -> Result<(), NetError> {
        for features in [&[16][..], &[16, 3, 3]] {
            let config = InverterConfig { noise: 5, ..config(features, 64, false) };
            let net = Inverter::new(config, 0, &Device::Cpu)?;
            let x = Tensor::ones([&[2], features].concat(), DType::F32, &Device::Cpu)?;
            let rows = |noise: &Tensor| -> Result<Vec<Vec<f32>>, NetError> {
                Ok(net.forward(&x, Some(noise))?.tensor().flatten_from(1)?.to_vec2()?)
            };
            let noise = |n| net.noise(n, &mut crate::random::stream(1, "noise", 0));
            let (one, two) = (noise(1)?, noise(2)?);
            let (Some(one), Some(two)) = (one, two) else { panic!("it takes noise") };
            assert_eq!(two.dims(), [2, 5 * features[1..].iter().product::<usize>()]);
            // The same features: the same image by the same noise, another by another.
            let (same, other) = (rows(&one)?, rows(&two)?);
            assert!(same[0] == same[1] && other[0] != other[1], "{features:?}");
            assert!(net.forward(&x, None).is_err(), "its noise is missing");
        }
        let silent = Inverter::new(config(&[16], 64, false), 0, &Device::Cpu)?;
        assert!(silent.noise(2, &mut crate::random::stream(1, "noise", 0))?.is_none());
        Ok(())
    }

    #[test]
    fn the_small_network_takes_noise_at_every_stage() -> Result<(), NetError> {
        // Features, numbers of noise for an image, and weights.
        let cases: [(&[usize], usize, usize); 4] = [
            (&[256, 6, 6], 64 * 36 + 32 + 16 * (16 + 64 + 256 + 1024), 3_847_776),
            (&[384, 13, 13], 64 * 169 + 32 + 16 * (64 + 256 + 1024), 2_889_312),
            (&[96, 27, 27], 64 * 729 + 32 + 16 * (256 + 1024), 4_273_760),
            (&[256], 64 + 32 + 16 * (16 + 64 + 256 + 1024), 5_260_640),
        ];
        for (features, numbers, weights) in cases {
            let plain = InverterConfig { small: true, ..config(features, 64, false) };
            let noise =
                InverterConfig { noise: 64, global_noise: 32, stage_noise: 16, ..plain.clone() };
            let net = Inverter::new(noise.clone(), 0, &Device::Cpu)?;
            let x = Tensor::ones([&[2], features].concat(), DType::F32, &Device::Cpu)?;
            let drawn =
                net.noise(2, &mut crate::random::stream(1, "noise", 0))?.expect("it takes noise");
            assert_eq!(drawn.dims(), [2, numbers], "{features:?}");
            let images =
                net.forward(&x, Some(&drawn))?.tensor().flatten_from(1)?.to_vec2::<f32>()?;
            assert_eq!((images[0].len(), images[0] == images[1]), (3 * 64 * 64, false));
            // Every number matters: the last one of the last stage too.
            let mut values = drawn.narrow(0, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
            *values.last_mut().expect("numbers") += 1.0;
            let other = Tensor::from_vec(values, (1, numbers), &Device::Cpu)?;
            let other =
                net.forward(&x, Some(&other))?.tensor().flatten_from(1)?.to_vec2::<f32>()?;
            assert!(other[0] != images[0]);
            let count: usize = net.params().iter().map(|(_, var)| var.elem_count()).sum();
            assert_eq!(noise.cost()?.weights(), count);
            assert_eq!(count, weights, "{features:?}");
            let silent = Inverter::new(plain, 0, &Device::Cpu)?;
            assert_eq!(silent.forward(&x, None)?.tensor().dims(), [2, 3, 64, 64]);
        }
        let wrong = InverterConfig { stage_noise: 1, ..config(&[256, 6, 6], 64, false) };
        let message = Inverter::new(wrong, 0, &Device::Cpu).expect_err("not small").to_string();
        assert!(message.contains("`small` for noise at every stage"), "{message}");
        Ok(())
    }

    #[test]
    fn features_are_divided_by_their_scale() -> Result<(), NetError> {
        for features in [&[3][..], &[3, 4, 4]] {
            let plain = InverterConfig { small: true, ..config(features, 64, false) };
            let scaled = InverterConfig { scale: vec![2.0, 4.0, 0.5], ..plain.clone() };
            let x = Tensor::ones([&[1], features].concat(), DType::F32, &Device::Cpu)?;
            let shape = [&[1, 3], &vec![1; features.len() - 1][..]].concat();
            let times =
                x.broadcast_mul(&Tensor::new(&[2f32, 4.0, 0.5], &Device::Cpu)?.reshape(shape)?)?;
            let image = |config: InverterConfig, x: &Tensor| -> Result<Vec<f32>, NetError> {
                let net = Inverter::new(config, 0, &Device::Cpu)?;
                Ok(net.forward(x, None)?.tensor().flatten_all()?.to_vec1()?)
            };
            assert_eq!(image(scaled, &times)?, image(plain.clone(), &x)?);
            let wrong = InverterConfig { scale: vec![1.0], ..plain };
            assert!(Inverter::new(wrong, 0, &Device::Cpu).is_err());
        }
        Ok(())
    }

    #[test]
    fn shapes_without_a_network_are_refused() {
        for (features, side, plain) in [
            (&[3, 4][..], 64, false),
            (&[8, 4, 5], 64, false),
            (&[8, 1, 1], 227, false),
            (&[8, 64, 64], 64, false),
            (&[96, 27, 27], 227, true),
            (&[], 64, false),
        ] {
            let net = Inverter::new(config(features, side, plain), 0, &Device::Cpu);
            let message = net.expect_err("no such network").to_string();
            assert!(message.contains("the network that inverts features: expected"), "{message}");
        }
    }

    #[test]
    fn a_file_says_what_it_inverts() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("generator.safetensors");
        let net = Inverter::new(config(&[16, 3, 3], 64, false), 5, &Device::Cpu)?;
        net.params().save(&path, &net.spec())?;
        let Generator::Inverter(copy) = Generator::load(&path, &Device::Cpu)? else {
            panic!("a network that inverts features")
        };
        assert_eq!(copy.config(), net.config());
        let x = Tensor::ones((1, 16, 3, 3), DType::F32, &Device::Cpu)?;
        let values = |net: &Inverter| -> Result<Vec<f32>, NetError> {
            Ok(net.forward(&x, None)?.tensor().flatten_all()?.to_vec1()?)
        };
        assert_eq!(values(&copy)?, values(&net)?);
        net.params().save(&path, r#"{"kind":"autoencoder"}"#)?;
        assert!(Generator::load(&path, &Device::Cpu).is_err());
        Ok(())
    }
}
