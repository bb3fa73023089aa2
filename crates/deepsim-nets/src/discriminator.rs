//! The discriminators: for 64x64 images (paper v1, Table 1), for ILSVRC's (stride 4 in the first layer),
//! and the one that sees the inverted features too (section 4.3).

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::image::{Images, PixelFormat};
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Stack, conv, layer};
use crate::params::{ParamBuilder, Params};
use crate::sides::{Sides, sides, through};
use crate::{NetError, Pass};

/// Class index of real images, as in the authors' code.
pub const REAL: u32 = 0;
/// Class index of generated images.
pub const GENERATED: u32 = 1;

// The authors' multipliers: 0.1 for the first layer, whose inputs are about 70 in magnitude, and
// for both fully connected layers, so that training starts at probability one half.
const SMALL: Filler = Filler::Msra { coeff: 0.1 };

/// Hyper-parameters of the discriminator; the defaults are for images of 64 pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscriminatorConfig {
    /// Dropout probability before each fully connected layer.
    pub dropout: f64,
    /// Slope of the activations for negative inputs; 0 is the plain ReLU of the authors' code.
    pub slope: f64,
    /// Stride of the first convolution: 2 for images of 64 pixels, 4 for those of 227.
    pub stride: usize,
    /// If true, the network takes an image and the features that belong to it, as the inversion of
    /// AlexNet needs.
    pub conditional: bool,
    /// If true, the network judges every patch of 35 pixels (63 with stride 4) by itself, one every 8 (16) pixels, after
    /// Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004): a 1x1
    /// convolution takes the place of pooling and the fully connected layers, and there is no dropout.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub patch: bool,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self { dropout: 0.5, slope: 0.0, stride: 2, conditional: false, patch: false }
    }
}

impl DiscriminatorConfig {
    /// Returns the sides of images that the network can be computed for.
    pub fn sides(self) -> Sides {
        sides(&self.trunk())
    }

    /// Returns the cost of one pass over an image of `side` pixels and, if the network is conditional, over `features`
    /// numbers.
    ///
    /// # Errors
    /// If the image is too small, or a conditional network gets no features.
    pub fn cost(self, side: usize, features: Option<usize>) -> Result<Pass, NetError> {
        let (trunk, mut pass) = (self.trunk(), Pass::default());
        if through(&trunk, [side; 2]).is_none() {
            let (operation, found) = ("DiscriminatorConfig::cost".into(), (side, side));
            return Err(NetError::Size { operation, expected: self.sides(), found });
        }
        let mut pooled = pass.begin(&trunk, "", &[3, side, side])?;
        if let Some(count) = self.branch_input(features)? {
            pooled[0] += pass.begin(&self.branch(), "", &[count])?[0];
        }
        pass.extend(&self.head(), "", &pooled)?;
        Ok(pass)
    }

    /// Cost of the part that sees the features alone; nothing if the network is not conditional.
    ///
    /// # Errors
    /// If a conditional network is to have no features.
    pub fn branch_cost(self, features: Option<usize>) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        if let Some(count) = self.branch_input(features)? {
            pass.begin(&self.branch(), "", &[count])?;
        }
        Ok(pass)
    }

    /// Number of features that the branch takes, if there is one.
    fn branch_input(self, features: Option<usize>) -> Result<Option<usize>, NetError> {
        match (self.conditional, features) {
            (false, _) => Ok(None),
            (true, Some(count)) => Ok(Some(count)),
            (true, None) => Err(NetError::Shape {
                operation: "a conditional discriminator",
                wanted: "features of an encoder".into(),
                got: "a generator without one".into(),
            }),
        }
    }

    fn relu(self) -> Op {
        if self.slope == 0.0 { Op::Relu } else { Op::LeakyRelu(self.slope) }
    }

    /// Image to 256 numbers, or to as many maps for patches. In the comments, sides of the maps of 64 and, with stride 4,
    /// 227 pixels.
    fn trunk(self) -> Vec<Layer> {
        let relu = self.relu();
        let pool = layer("pool", Op::GlobalAvgPool);
        let convolutions = [
            conv("conv1", Conv::new(32, 7).stride(self.stride).fill(SMALL)), // 29, 56
            layer("relu1", relu),
            conv("conv2", Conv::new(64, 5)), // 25, 52
            layer("relu2", relu),
            conv("conv3", Conv::new(128, 3).stride(2)), // 12, 25
            layer("relu3", relu),
            conv("conv4", Conv::new(256, 3)), // 10, 23
            layer("relu4", relu),
            conv("conv5", Conv::new(256, 3).stride(2)), // 4, 11
            layer("relu5", relu),
        ];
        convolutions.into_iter().chain((!self.patch).then_some(pool)).collect()
    }

    /// Features to 512 numbers. How these weights start is not known; see `docs/differences.md`.
    fn branch(self) -> [Layer; 4] {
        let msra = Filler::Msra { coeff: 1.0 };
        [
            layer("feature_fc1", Op::Linear(1024, msra)),
            layer("relu_f1", self.relu()),
            layer("feature_fc2", Op::Linear(BRANCH, msra)),
            layer("relu_f2", self.relu()),
        ]
    }

    /// 256 or 768 numbers to two logits, or as many maps to two logits at each position.
    fn head(self) -> Vec<Layer> {
        if self.patch {
            return vec![conv("patch", Conv::new(2, 1).fill(SMALL))];
        }
        vec![
            layer("drop1", Op::Dropout(self.dropout)),
            layer("fc1", Op::Linear(512, SMALL)),
            layer("relu6", self.relu()),
            layer("drop2", Op::Dropout(self.dropout)),
            layer("fc2", Op::Linear(2, SMALL)),
        ]
    }
}

/// Channels of the last convolution.
const POOLED: usize = 256;
/// Numbers that are left of the features.
const BRANCH: usize = 512;

/// Tells real images from generated ones.
///
/// Dropout is part of training: [`Discriminator::forward`] leaves it out unless it is given random streams.
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::discriminator::GENERATED;
/// use deepsim_nets::random::streams;
/// use deepsim_nets::{Discriminator, DiscriminatorConfig, Images, PixelFormat};
///
/// # fn main() -> Result<(), deepsim_nets::NetError> {
/// let device = Device::Cpu;
/// let net = Discriminator::new(DiscriminatorConfig::default(), None, 0, &device)?;
/// let images = Images::from_u8(&[90; 2 * 3 * 64 * 64], 2, 64, 64, PixelFormat::RGB_U8, &device)?;
/// // In training, with dropout: a random stream for each image of step 1.
/// let logits = net.forward(&images, None, Some(&mut streams(0, "dropout", 1, 0..2)))?;
/// assert_eq!(logits.dims(), [2, 2]);
/// let loss = deepsim_ops::softmax_cross_entropy(&logits, &[GENERATED; 2])?;
/// let gradients = loss.backward()?;
/// // Its weights are candle's variables, for any optimiser.
/// assert!(net.params().iter().all(|(_, var)| gradients.get(var).is_some()));
/// // The generator's loss: no gradient is computed for the discriminator's weights.
/// assert_eq!(net.frozen().forward(&images, None, None)?.dims(), [2, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Discriminator {
    config: DiscriminatorConfig,
    trunk: Stack,
    /// Layers for the features, and their number for one image.
    branch: Option<(Stack, usize)>,
    head: Stack,
    params: Params,
}

impl Discriminator {
    /// Creates a network with initial weights drawn from `seed`; `features` is the number of features of
    /// one image, if it is conditional.
    ///
    /// # Errors
    /// If the device cannot hold the weights, or a conditional network gets no features.
    pub fn new(
        config: DiscriminatorConfig,
        features: Option<usize>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("discriminator", seed, device);
        let trunk = Stack::build(&config.trunk(), 3, "", &mut builder)?;
        let branch = match config.branch_input(features)? {
            Some(count) => Some((Stack::build(&config.branch(), count, "", &mut builder)?, count)),
            None => None,
        };
        let pooled = POOLED + if branch.is_some() { BRANCH } else { 0 };
        let head = Stack::build(&config.head(), pooled, "", &mut builder)?;
        Ok(Self { config, trunk, branch, head, params: builder.params })
    }

    /// Two logits per image: [`REAL`] and [`GENERATED`]; of a network for patches, those of all patches of the first image,
    /// then of the second one, and so on. Dropout is active only when random
    /// streams are given, one for each image; the authors keep it active in all three passes of an iteration. A conditional
    /// network is given the features of the real image in all three, the others need none.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` and `(N, ..)` -> `(N, 2)`, e.g. `(N, 3, 227, 227)` and `(N, 4096)`; of a network for patches
    /// `(N, 3, H, W)` -> `(N * patches, 2)`, e.g. 16 of 64x64; sides of at least
    /// 35 pixels with stride 2, 63 with stride 4 ([`DiscriminatorConfig::sides`])
    ///
    /// # Errors
    /// If the images are too small, or the features are missing or have another shape.
    pub fn forward(
        &self,
        images: &Images,
        features: Option<&Tensor>,
        dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Tensor, NetError> {
        let found = (images.height(), images.width());
        if through(&self.config.trunk(), found.into()).is_none() {
            let operation = "Discriminator::forward".into();
            return Err(NetError::Size { operation, expected: self.config.sides(), found });
        }
        let images = images.convert(PixelFormat::CAFFE_BGR)?;
        let mut pooled = self.trunk.forward(images.tensor(), None)?;
        if let Some((branch, count)) = &self.branch {
            let flat = features.map(|features| features.flatten_from(1)).transpose()?;
            let flat = flat.filter(|flat| flat.dims() == [images.len(), *count]);
            let flat = flat.ok_or_else(|| NetError::Shape {
                operation: "Discriminator::forward",
                wanted: format!("features of {count} numbers for each of {} images", images.len()),
                got: format!("{:?}", features.map(Tensor::dims)),
            })?;
            pooled = Tensor::cat(&[pooled, branch.forward(&flat, None)?], 1)?;
        }
        if self.config.patch {
            let logits = self.head.forward(&pooled, None)?;
            return Ok(logits.permute((0, 2, 3, 1))?.reshape(((), 2))?);
        }
        self.head.forward(&pooled, dropout_rngs)
    }

    /// The same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self {
            config: self.config,
            trunk: self.trunk.frozen(),
            branch: self.branch.as_ref().map(|(branch, count)| (branch.frozen(), *count)),
            head: self.head.frozen(),
            params: self.params.clone(),
        }
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::streams;
    use deepsim_ops::softmax_cross_entropy;

    #[test]
    fn the_least_side_is_that_of_the_layers_and_said_up_front() -> Result<(), NetError> {
        for (stride, least) in [(1, 21), (2, 35), (3, 49), (4, 63)] {
            let config = DiscriminatorConfig { stride, ..DiscriminatorConfig::default() };
            assert_eq!(config.sides(), Sides { least, most: None }, "stride {stride}");
            let net = Discriminator::new(config, None, 0, &Device::Cpu)?;
            let logits = |height: usize, width: usize| {
                let (bytes, format) = (vec![9; 3 * height * width], PixelFormat::CAFFE_BGR);
                let images = Images::from_u8(&bytes, 1, height, width, format, &Device::Cpu)?;
                net.forward(&images, None, None)
            };
            assert_eq!(logits(least, least)?.dims(), [1, 2]);
            let wanted =
                format!("Discriminator::forward: expected sides of at least {least} pixels");
            for (height, width, found) in [
                (least - 1, least - 1, format!("{}", least - 1)),
                (least, least - 1, format!("{least} x {}", least - 1)),
            ] {
                let message = logits(height, width).expect_err("too small").to_string();
                assert_eq!(message, format!("{wanted}, found {found}"));
            }
        }
        Ok(())
    }

    #[test]
    fn patches_are_judged_by_themselves() -> Result<(), NetError> {
        let config = DiscriminatorConfig { patch: true, ..DiscriminatorConfig::default() };
        let net = Discriminator::new(config, None, 1, &Device::Cpu)?;
        assert_eq!(config.cost(64, None)?.weights(), net.params().count());
        let logits = |bytes: &[u8]| -> Result<Vec<Vec<f32>>, NetError> {
            let format = PixelFormat::CAFFE_BGR;
            let images = Images::from_u8(bytes, 2, 64, 64, format, &Device::Cpu)?;
            let logits = net.forward(&images, None, None)?;
            assert_eq!(logits.dims(), [2 * 4 * 4, 2]);
            Ok(logits.to_vec2()?)
        };
        let mut bytes: Vec<u8> = (0..2 * 3 * 64 * 64).map(|i| (i * 37 % 256) as u8).collect();
        let before = logits(&bytes)?;
        // A pixel in a corner of the second image belongs to its first patch alone.
        bytes[3 * 64 * 64] ^= 255;
        let changed: Vec<usize> = before
            .iter()
            .zip(logits(&bytes)?)
            .enumerate()
            .filter(|(_, (a, b))| *a != b)
            .map(|(i, _)| i)
            .collect();
        assert_eq!(changed, [16]);
        Ok(())
    }

    #[test]
    fn have_the_papers_numbers_of_weights_and_start_undecided() -> Result<(), NetError> {
        // paper.md section 3.3: 1,015,104 in the convolutions, and the heads.
        for (side, stride, features, head) in
            [(64, 2, None, 132_610), (227, 4, None, 132_610), (227, 4, Some(4096), 5_114_882)]
        {
            let config = DiscriminatorConfig {
                stride,
                conditional: features.is_some(),
                ..DiscriminatorConfig::default()
            };
            let net = Discriminator::new(config, features, 3, &Device::Cpu)?;
            assert_eq!(net.params().count(), 1_015_104 + head);
            let bytes: Vec<u8> = (0..2 * 3 * side * side).map(|i| (i * 37 % 256) as u8).collect();
            let format = PixelFormat::CAFFE_BGR;
            let images = Images::from_u8(&bytes, 2, side, side, format, &Device::Cpu)?;
            let features =
                features.map(|n| Tensor::ones((2, n), candle_core::DType::F32, &Device::Cpu));
            let features = features.transpose()?;
            let mut rngs = streams(0, "dropout", 0, 0..2);
            for rngs in [None, Some(&mut rngs[..])] {
                let logits = net.forward(&images, features.as_ref(), rngs)?;
                assert_eq!(logits.dims(), [2, 2]);
                let loss = softmax_cross_entropy(&logits, &[REAL, REAL])?.to_scalar::<f32>()?;
                // Without the small fillers these noisy images would give logits of tens.
                assert!((loss - 2f32.ln()).abs() < 0.3, "cross-entropy {loss} at the start");
            }
            if features.is_some() {
                let message = net.forward(&images, None, None).expect_err("none").to_string();
                assert!(message.contains("features of 4096 numbers"), "{message}");
            }
        }
        let config = DiscriminatorConfig { conditional: true, ..DiscriminatorConfig::default() };
        assert!(Discriminator::new(config, None, 3, &Device::Cpu).is_err());
        Ok(())
    }
}
