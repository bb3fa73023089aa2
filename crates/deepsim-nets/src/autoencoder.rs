//! The autoencoder of the first experiment (paper v1, section 4.1 and Table 2).
//!
//! The paper's text fixes what matters: every layer is convolutional or up-convolutional, the code
//! is an 8-channel map 8 times smaller per side, leaky ReLU 0.3, linear output. The layer table
//! itself could not be checked against the paper (see `docs/differences.md`); biases follow the
//! authors' released generators, whose up-convolutional path has none.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::image::{Images, PixelFormat};
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Stack, conv, layer, upconv};
use crate::params::{ParamBuilder, Params};
use crate::spec::Spec;
use crate::{NetError, Pass};

/// Prefixes of the names of weights.
const ENCODER: &str = "encoder.";
const DECODER: &str = "decoder.";

/// Side of the image divided by the side of the code.
pub const DOWNSAMPLING: usize = 8;

// The authors' multipliers (paper code): 0.9 for 3x3 layers, 1.8 for up-convolutions, whose Caffe
// fan-in counts the 12 of 16 taps that the zeros between the inputs never let contribute.
const CONV: Filler = Filler::Msra { coeff: 0.9 };
const UPCONV: Filler = Filler::Msra { coeff: 1.8 };

const fn same(out: usize, kernel: usize) -> Conv {
    Conv::new(out, kernel).pad(kernel / 2).fill(CONV)
}

const fn up(out: usize) -> Conv {
    Conv::new(out, 4).stride(2).pad(1).fill(UPCONV).no_bias()
}

const fn encoder(code_channels: usize) -> [Layer; 7] {
    [
        conv("c1", same(32, 5).stride(2)),
        conv("c2", same(64, 3)),
        conv("c3", same(64, 3).stride(2)),
        conv("c4", same(128, 3)),
        conv("c5", same(128, 3).stride(2)),
        conv("c6", same(64, 3)),
        conv("c7", same(code_channels, 3)),
    ]
}

const DECODER_ROWS: [Layer; 7] = [
    conv("c1", same(64, 3).no_bias()),
    conv("c2", same(128, 3).no_bias()),
    upconv("u1", up(64)),
    conv("c3", same(64, 3).no_bias()),
    upconv("u2", up(32)),
    conv("c4", same(32, 3).no_bias()),
    upconv("u3", up(3)),
];

/// Numbers of the autoencoder; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderConfig {
    /// Channels of the code.
    pub code_channels: usize,
    /// Slope of the leaky ReLU for negative inputs, after every layer but the code and the output.
    pub slope: f64,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self { code_channels: 8, slope: 0.3 }
    }
}

impl AutoencoderConfig {
    /// Rows of the encoder, each but the last with its activation.
    fn encoder(self) -> Vec<Layer> {
        activated(&encoder(self.code_channels), Op::LeakyRelu(self.slope))
    }

    /// Cost of one pass over an image of `side` pixels.
    ///
    /// # Errors
    /// If the side is no multiple of 8.
    pub fn cost(self, side: usize) -> Result<Pass, NetError> {
        check_sides("AutoencoderConfig::cost", side, side)?;
        let mut pass = Pass::default();
        let code = pass.begin(&self.encoder(), ENCODER, &[3, side, side])?;
        pass.extend(&expanding(self), DECODER, &code)?;
        Ok(pass)
    }
}

/// Image -> code -> image. Images are [`PixelFormat::CAFFE_BGR`] on both sides.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    config: AutoencoderConfig,
    encoder: Stack,
    decoder: Stack,
    params: Params,
}

impl Autoencoder {
    /// A network with fresh weights drawn from `seed`.
    ///
    /// # Errors
    /// If the device cannot hold the weights.
    pub fn new(config: AutoencoderConfig, seed: u64, device: &Device) -> Result<Self, NetError> {
        let mut builder = ParamBuilder::new("autoencoder", seed, device);
        let encoder = Stack::build(&config.encoder(), 3, ENCODER, &mut builder)?;
        let decoder =
            Stack::build(&expanding(config), config.code_channels, DECODER, &mut builder)?;
        Ok(Self { config, encoder, decoder, params: builder.params })
    }

    /// Writes weights and configuration to a safetensors file, which [`Generator::load`](crate::Generator::load) reads.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), NetError> {
        self.params.save(path, &self.spec())
    }

    /// JSON description of the network for the metadata of a weight file.
    pub fn spec(&self) -> String {
        Spec::Autoencoder(self.config).to_json()
    }

    /// The code of images.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 8, H/8, W/8)`; `H` and `W` must be multiples of 8.
    ///
    /// # Errors
    /// If the images have another size.
    pub fn encode(&self, images: &Images) -> Result<Tensor, NetError> {
        let (height, width) = (images.height(), images.width());
        check_sides("Autoencoder::encode", height, width)?;
        self.encoder.forward(images.convert(PixelFormat::CAFFE_BGR)?.tensor(), None)
    }

    /// The images of codes.
    ///
    /// # Shapes
    /// `(N, 8, h, w) -> (N, 3, 8h, 8w)`
    ///
    /// # Errors
    /// If the code has another number of channels.
    pub fn decode(&self, code: &Tensor) -> Result<Images, NetError> {
        Ok(Images::drawn(self.decoder.forward(code, None)?, PixelFormat::CAFFE_BGR))
    }

    /// Reconstructions of images.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 3, H, W)`, e.g. `(N, 3, 64, 64)`
    ///
    /// # Errors
    /// As [`Autoencoder::encode`].
    pub fn forward(&self, images: &Images) -> Result<Images, NetError> {
        self.decode(&self.encode(images)?)
    }

    /// The same weights without gradients; see [`Stack::frozen`].
    pub fn frozen(&self) -> Self {
        Self { encoder: self.encoder.frozen(), decoder: self.decoder.frozen(), ..self.clone() }
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Refuses images that the code is not a whole number of times smaller than.
fn check_sides(operation: &'static str, height: usize, width: usize) -> Result<(), NetError> {
    if height.is_multiple_of(DOWNSAMPLING) && width.is_multiple_of(DOWNSAMPLING) {
        return Ok(());
    }
    let wanted = format!("sides that are multiples of {DOWNSAMPLING}");
    Err(NetError::Shape { operation, wanted, got: format!("{height} x {width}") })
}

/// The convolutions of the encoder but the last, each with its activation: `(N, 3, H, W)` to
/// `(N, 64, H/8, W/8)`.
pub(crate) fn contracting(config: AutoencoderConfig) -> Vec<Layer> {
    let [rows @ .., _] = encoder(config.code_channels);
    let activation = layer("activation", Op::LeakyRelu(config.slope));
    rows.into_iter().flat_map(|row| [row, activation.clone()]).collect()
}

/// The decoder: maps with any number of channels to images that are 8 times larger per side.
pub(crate) fn expanding(config: AutoencoderConfig) -> Vec<Layer> {
    activated(&DECODER_ROWS, Op::LeakyRelu(config.slope))
}

/// `rows` with an activation after each but the last.
fn activated(rows: &[Layer], activation: Op) -> Vec<Layer> {
    let mut all: Vec<Layer> =
        rows.iter().flat_map(|row| [row.clone(), layer("activation", activation)]).collect();
    all.pop();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    #[test]
    fn code_is_eight_times_smaller_and_the_output_as_large_as_the_input() -> Result<(), NetError> {
        let net = Autoencoder::new(AutoencoderConfig::default(), 1, &Device::Cpu)?;
        for (height, width) in [(64, 64), (96, 96), (8, 24)] {
            let bytes = vec![90; 3 * height * width];
            let format = PixelFormat::CAFFE_BGR;
            let images = Images::from_u8(&bytes, 1, height, width, format, &Device::Cpu)?;
            assert_eq!(net.encode(&images)?.dims(), [1, 8, height / 8, width / 8]);
            assert_eq!(net.forward(&images)?.tensor().dims(), [1, 3, height, width]);
        }
        let odd = Images::from_u8(&[0; 300], 1, 10, 10, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
        let message = net.encode(&odd).expect_err("10 is no multiple of 8").to_string();
        assert!(message.contains("multiples of 8") && message.contains("10 x 10"), "{message}");
        Ok(())
    }

    #[test]
    fn a_saved_network_loads_and_a_foreign_file_does_not() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("generator.safetensors");
        let net = Autoencoder::new(AutoencoderConfig::default(), 1, &Device::Cpu)?;
        net.save(&path)?;
        let Generator::Autoencoder(copy) = Generator::load(&path, &Device::Cpu)? else {
            panic!("an autoencoder")
        };
        let images = Images::from_u8(&[77; 3 * 64], 1, 8, 8, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
        let values = |net: &Autoencoder| -> Result<Vec<f32>, NetError> {
            Ok(net.forward(&images)?.tensor().flatten_all()?.to_vec1()?)
        };
        assert_eq!(values(&net)?, values(&copy)?);

        // A discriminator's file is no generator's.
        let config = crate::DiscriminatorConfig::default();
        crate::Discriminator::new(config, None, 1, &Device::Cpu)?.params().save(&path, "{}")?;
        let message = Generator::load(&path, &Device::Cpu).expect_err("foreign").to_string();
        assert!(
            message.contains("metadata key `net`: expected a generator, found {}"),
            "{message}"
        );

        // Right description, wrong tensors: everything is listed.
        crate::Discriminator::new(config, None, 1, &Device::Cpu)?
            .params()
            .save(&path, &net.spec())?;
        let message = Generator::load(&path, &Device::Cpu).expect_err("foreign").to_string();
        assert!(message.contains("encoder.c1.weight: missing"), "{message}");
        assert!(message.contains("fc2.bias: unexpected"), "{message}");
        Ok(())
    }
}
