//! Networks that turn the features of an encoder back into images (paper section 4.3; v1 Table 5 =
//! v2 Table 1): for AlexNet's layers those of the authors' release ([`GeneratorKind`]), for features of
//! other shapes the analogous stack.

use candle_core::{Device, Tensor};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::image::{Images, PixelFormat};
use crate::layers::{Conv, Layer, Op, Stack};
use crate::params::ParamBuilder;
use crate::random::normal;
use crate::released::{REACHED, STAGES, connected, first, upconvolutions};
use crate::spec::Spec;
use crate::{ComparatorKind, GeneratorKind, NetError, Params, Pass};

/// Features to invert, and the variant of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverterConfig {
    /// The network whose features are inverted.
    pub encoder: ComparatorKind,
    /// The layer, in the paper's names: CONV5, FC6, ...
    pub tap: String,
    /// Shape of the features of one image: `[4096]`, `[256, 6, 6]`, ...
    pub features: Vec<usize>,
    /// Side of the images that the features belong to. The network's output is larger, and its middle is
    /// the image: in the paper 227 of 256 pixels.
    pub side: usize,
    /// Leaves out the 3x3 convolutions between up-convolutions, as in Dosovitskiy & Brox (2015).
    #[serde(default)]
    pub plain: bool,
    /// Channels of noise from N(0, 1) that are joined to the features (paper v1, "Sampling pre-images").
    #[serde(default)]
    pub noise: usize,
    /// Seed of the encoder's weights if they are random.
    #[serde(default)]
    pub seed: u64,
}

impl InverterConfig {
    /// Configuration of a network that the authors released; `deepsim import` writes it with the weights.
    pub fn released(kind: GeneratorKind) -> Self {
        Self {
            encoder: ComparatorKind::caffenet(),
            tap: kind.tap().into(),
            features: kind.features().into(),
            side: 227,
            plain: false,
            noise: 0,
            seed: 0,
        }
    }

    /// JSON description for the metadata of a weight file, with what
    /// [`Generator::load`](crate::Generator::load) reads.
    pub fn spec(&self) -> String {
        Spec::Inverter(self.clone()).to_json()
    }

    /// Cost of one pass over the features of one image.
    ///
    /// # Errors
    /// If there is no network for features of this shape.
    pub fn cost(&self) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        pass.begin(&self.table()?, "", &self.inputs())?;
        Ok(pass)
    }

    /// Shape of the input for one image: features and noise.
    fn inputs(&self) -> Vec<usize> {
        let mut shape = self.features.clone();
        if let Some(channels) = shape.first_mut() {
            *channels += self.noise;
        }
        shape
    }

    /// Side of what the network draws: 256 for images of 227, else the next power of two.
    fn canvas(&self) -> usize {
        self.side.next_power_of_two()
    }

    /// The released network of this shape.
    fn layout(&self) -> Option<GeneratorKind> {
        use GeneratorKind::{Conv3, Norm1, Norm2, Pool5};
        let shaped = |kind: &GeneratorKind| kind.features() == self.features;
        let kind = [Norm1, Norm2, Conv3, Pool5].into_iter().find(shaped)?;
        (self.side == 227).then_some(kind)
    }

    fn table(&self) -> Result<Vec<Layer>, NetError> {
        if let Some(kind) = self.layout() {
            return match (self.plain, kind) {
                (false, kind) => Ok(kind.table()),
                (true, GeneratorKind::Pool5) => Ok(plain(kind.table())),
                (true, _) => Err(self.wrong("features of CONV5, FC6, FC7 or FC8 for `plain`")),
            };
        }
        let (mut rows, reached) = match self.features[..] {
            [_] => (connected(), REACHED),
            [_, height, width] if height == width && height > 0 => reduced(height),
            _ => return Err(self.wrong("features (C) or square maps (C, S, S)")),
        };
        let doublings = (self.canvas() / reached).max(1).ilog2() as usize;
        if doublings == 0 || doublings > STAGES.len() {
            return Err(self.wrong("maps that are 2 to 64 times smaller than the image"));
        }
        rows.extend(upconvolutions(doublings));
        Ok(if self.plain { plain(rows) } else { rows })
    }

    fn wrong(&self, wanted: &str) -> NetError {
        NetError::Shape {
            operation: "the network that inverts features",
            wanted: wanted.into(),
            got: format!("{:?} of images of {} pixels", self.features, self.side),
        }
    }
}

/// The middle of what is drawn, as images.
pub(crate) fn middle(drawn: &Tensor, side: usize) -> Result<Images, NetError> {
    let corner = (drawn.dims()[2] - side) / 2;
    let middle = drawn.narrow(2, corner, side)?.narrow(3, corner, side)?.contiguous()?;
    Ok(Images::drawn(middle, PixelFormat::CAFFE_BGR))
}

/// The network that draws images of `side` pixels from `n` numbers.
pub(crate) fn from_numbers(n: usize, side: usize) -> Result<Vec<Layer>, NetError> {
    let (encoder, tap) = (ComparatorKind::caffenet(), "FC6".into());
    let features = vec![n];
    InverterConfig { encoder, tap, features, side, plain: false, noise: 0, seed: 0 }.table()
}

/// Three convolutions to maps whose side is a power of two, and that side.
fn reduced(side: usize) -> (Vec<Layer>, usize) {
    let reached = 1 << side.ilog2();
    let mut left = side - reached;
    let mut rows = Vec::new();
    for (i, name) in ["Rconv6", "Rconv7", "Rconv8"].into_iter().enumerate() {
        let shrink = left.div_ceil(3 - i);
        left -= shrink;
        // A kernel that is larger by one than what it takes away; the usual 3x3 where it takes nothing.
        let conv = match shrink {
            0 => Conv::new(512, 3).pad(1),
            shrink => Conv::new(512, shrink + 1),
        };
        rows.extend(first(name, conv));
    }
    (rows, reached)
}

/// A table without the convolutions between up-convolutions, and the activation after each.
fn plain(mut rows: Vec<Layer>) -> Vec<Layer> {
    let mut skip = false;
    rows.retain(|row| {
        skip = row.name.ends_with("_1") || (skip && matches!(row.op, Op::LeakyRelu(_)));
        !skip
    });
    rows
}

/// Features -> image.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{ComparatorKind, Inverter, InverterConfig};
/// let config = InverterConfig {
///     encoder: ComparatorKind::caffenet(),
///     tap: "CONV5".into(),
///     features: vec![256, 6, 6],
///     side: 227,
///     plain: false,
///     noise: 0,
///     seed: 0,
/// };
/// let inverter = Inverter::new(config, 0, &Device::Cpu)?;
/// let features = Tensor::zeros((1, 256, 6, 6), DType::F32, &Device::Cpu)?;
/// assert_eq!(inverter.forward(&features, None)?.tensor().dims(), [1, 3, 227, 227]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inverter {
    config: InverterConfig,
    stack: Stack,
    params: Params,
}

impl Inverter {
    /// Creates a network with the authors' initial weights, drawn from `seed`.
    ///
    /// # Errors
    /// If there is no network for features of this shape.
    pub fn new(config: InverterConfig, seed: u64, device: &Device) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("inversion", seed, device);
        let channels = config.inputs().first().copied().unwrap_or(0);
        let stack = Stack::build(&config.table()?, channels, "", &mut builder)?;
        Ok(Self { config, stack, params: builder.params })
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
    /// `(n, noise, ..)`, the rest as the features
    ///
    /// # Errors
    /// If the noise cannot be made a tensor.
    pub fn noise(&self, n: usize, rng: &mut impl Rng) -> Result<Option<Tensor>, NetError> {
        if self.config.noise == 0 {
            return Ok(None);
        }
        let mut shape = self.config.features.clone();
        shape[0] = self.config.noise;
        shape.insert(0, n);
        let values = normal(rng, shape.iter().product(), 1.0);
        Ok(Some(Tensor::from_vec(values, shape, &Device::Cpu)?))
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
        let joined = match noise {
            None => features.clone(),
            Some(noise) => {
                let n = features.dims().first().copied().unwrap_or(0);
                let shape = [&[n], noise.dims().get(1..).unwrap_or(&[])].concat();
                let noise = noise.to_device(features.device())?.broadcast_as(shape)?;
                Tensor::cat(&[features, &noise.contiguous()?], 1)?
            }
        };
        let wanted = self.config.inputs();
        if joined.dims().get(1..) != Some(&wanted[..]) {
            let noise = self.config.noise;
            return Err(NetError::Shape {
                operation: "Inverter::forward",
                wanted: format!("{noise} of noise in (N, ..) of {wanted:?}"),
                got: format!("{:?}", joined.dims()),
            });
        }
        let drawn = self.stack.forward(&joined, None)?;
        middle(&drawn, self.config.side)
    }

    /// Returns the same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self { stack: self.stack.frozen(), ..self.clone() }
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
    use candle_core::DType;

    fn config(features: &[usize], side: usize, plain: bool) -> InverterConfig {
        let (encoder, tap) = (ComparatorKind::alexnet(), "CONV5".into());
        InverterConfig { encoder, tap, features: features.into(), side, plain, noise: 0, seed: 0 }
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
            assert_eq!(two.dims(), [&[2, 5], &features[1..]].concat());
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
