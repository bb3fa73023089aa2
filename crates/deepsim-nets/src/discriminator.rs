//! The discriminator for 64x64 images (paper v1, Table 1).

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::NetError;
use crate::image::{Images, PixelFormat};
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Stack, conv, layer};
use crate::params::{ParamBuilder, Params};

/// Class index of real images, as in the authors' code.
pub const REAL: u32 = 0;
/// Class index of generated images.
pub const GENERATED: u32 = 1;

// The authors' multipliers: 0.1 for the first layer, whose inputs are about 70 in magnitude, and
// for both fully connected layers, so that training starts at probability one half.
const SMALL: Filler = Filler::Msra { coeff: 0.1 };

/// Numbers of the discriminator; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscriminatorConfig {
    /// Dropout probability before each fully connected layer.
    pub dropout: f64,
    /// Slope of the activations for negative inputs; 0 is the plain ReLU of the authors' code.
    pub slope: f64,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self { dropout: 0.5, slope: 0.0 }
    }
}

fn table(config: DiscriminatorConfig) -> [Layer; 16] {
    let relu = if config.slope == 0.0 { Op::Relu } else { Op::LeakyRelu(config.slope) };
    let dropout = Op::Dropout(config.dropout);
    [
        conv("conv1", Conv::new(32, 7).stride(2).fill(SMALL)), // 64 -> 29
        layer("relu1", relu),
        conv("conv2", Conv::new(64, 5)), // -> 25
        layer("relu2", relu),
        conv("conv3", Conv::new(128, 3).stride(2)), // -> 12
        layer("relu3", relu),
        conv("conv4", Conv::new(256, 3)), // -> 10
        layer("relu4", relu),
        conv("conv5", Conv::new(256, 3).stride(2)), // -> 4
        layer("relu5", relu),
        layer("pool", Op::GlobalAvgPool),
        layer("drop1", dropout),
        layer("fc1", Op::Linear(512, SMALL)),
        layer("relu6", relu),
        layer("drop2", dropout),
        layer("fc2", Op::Linear(2, SMALL)),
    ]
}

/// Tells real images from generated ones.
#[derive(Clone, Debug)]
pub struct Discriminator {
    stack: Stack,
    params: Params,
}

impl Discriminator {
    /// A network with fresh weights drawn from `seed`.
    ///
    /// # Errors
    /// If the device cannot hold the weights.
    pub fn new(config: DiscriminatorConfig, seed: u64, device: &Device) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("discriminator", seed, device);
        let stack = Stack::new(&table(config), 3, "", &mut builder)?;
        Ok(Self { stack, params: builder.params })
    }

    /// Two logits per image: [`REAL`] and [`GENERATED`]. Dropout is active only when a random
    /// stream is given; the authors keep it active in all three passes of an iteration.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 2)`, e.g. `(N, 3, 64, 64)`; sides of at least 33 pixels
    ///
    /// # Errors
    /// If the images are too small.
    pub fn forward(
        &self,
        images: &Images,
        dropout_rng: Option<&mut ChaCha12Rng>,
    ) -> Result<Tensor, NetError> {
        self.stack.forward(images.convert(PixelFormat::CAFFE_BGR)?.tensor(), dropout_rng)
    }

    /// The same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self { stack: self.stack.frozen(), params: self.params.clone() }
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use deepsim_ops::softmax_cross_entropy;

    #[test]
    fn has_the_papers_number_of_weights_and_starts_undecided() -> Result<(), NetError> {
        let config = DiscriminatorConfig::default();
        let net = Discriminator::new(config, 3, &Device::Cpu)?;
        // paper.md section 3.3: 1,015,104 in the convolutions, 132,610 in the head.
        assert_eq!(net.params().count(), 1_015_104 + 132_610);
        let bytes: Vec<u8> = (0..2 * 3 * 64 * 64).map(|i| (i * 37 % 256) as u8).collect();
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&bytes, 2, 64, 64, format, &Device::Cpu)?;
        let mut rng = stream(0, "dropout", 0);
        for rng in [None, Some(&mut rng)] {
            let logits = net.forward(&images, rng)?;
            assert_eq!(logits.dims(), [2, 2]);
            let loss = softmax_cross_entropy(&logits, &[REAL, REAL])?.to_scalar::<f32>()?;
            // Without the small fillers these noisy images would give logits of tens.
            assert!((loss - 2f32.ln()).abs() < 0.3, "cross-entropy {loss} at the start");
        }
        Ok(())
    }
}
