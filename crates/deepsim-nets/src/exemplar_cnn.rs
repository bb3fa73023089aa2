//! Exemplar-CNN 64c5-128c5-256c5-512f (Dosovitskiy et al. 2014), one of the paper's comparators.
//!
//! Trained on 32x32 patches; as a comparator it is run convolutionally on whole images, so that
//! CONV3 of a 64x64 image is `256 x 16 x 16`. The fully connected layer is an 8x8 convolution.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;

use crate::alexnet::POOL;
use crate::image::{ChannelOrder, Images, PixelFormat};
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Stack, conv, layer};
use crate::{NetError, Params, Pass};

/// RGB minus a mean colour, divided by 256. The release subtracts the mean image of its own
/// patches, which is not published; the mean colour of photographs stands in for it.
pub const FORMAT: PixelFormat =
    PixelFormat { order: ChannelOrder::Rgb, mean: [123.0, 117.0, 104.0], scale: [1.0 / 256.0; 3] };

const fn same5(out: usize, std: f64) -> Conv {
    Conv::new(out, 5).pad(2).fill(Filler::Gaussian { std, bias: 0.1 })
}

/// The layers for `(N, 3, H, W)`.
pub(crate) fn layers() -> Vec<Layer> {
    [
        conv("conv1", same5(64, 0.05)),
        layer("relu1", Op::Relu),
        layer("pool1", POOL),
        conv("conv2", same5(128, 0.02)),
        layer("relu2", Op::Relu),
        layer("pool2", POOL),
        conv("conv3", same5(256, 0.01)),
        layer("relu3", Op::Relu),
        conv("fc4", Conv::new(512, 8).fill(Filler::Gaussian { std: 0.01, bias: 0.1 })),
        layer("relu4", Op::Relu),
    ]
    .into()
}

/// Tap names: CONVk includes the ReLU and pooling that follow.
pub(crate) const TAPS: [(&str, &str); 4] =
    [("CONV1", "pool1"), ("CONV2", "pool2"), ("CONV3", "relu3"), ("FC4", "relu4")];

/// Name of the layer that tells surrogate classes apart; it is no part of the comparator.
pub const CLASSIFIER: &str = "classifier";

/// Side of the patches of training.
const PATCH: usize = 32;

/// Rows of the network in training.
fn in_training(classes: usize) -> Vec<Layer> {
    let scores = Op::Linear(classes, Filler::Gaussian { std: 0.005, bias: 0.0 });
    let head = [
        layer("flatten", Op::Flatten(1)),
        layer("drop4", Op::Dropout(0.5)),
        layer(CLASSIFIER, scores),
    ];
    layers().into_iter().chain(head).collect()
}

/// The network in training: on patches of 32x32, with a classifier of surrogate classes on top.
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::{Images, exemplar_cnn};
/// let net = exemplar_cnn::ExemplarCnn::new(10, 0, &Device::Cpu)?;
/// let patches = Images::from_u8(&[9; 2 * 3072], 2, 32, 32, exemplar_cnn::FORMAT, &Device::Cpu)?;
/// assert_eq!(net.forward(&patches, None)?.dims(), [2, 10]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExemplarCnn {
    stack: Stack,
    params: Params,
}

impl ExemplarCnn {
    /// A network for `classes` surrogate classes, with the fillers of the release.
    ///
    /// # Errors
    /// If a weight cannot be allocated.
    pub fn new(classes: usize, seed: u64, device: &Device) -> Result<Self, NetError> {
        let (stack, params) = Stack::new(&in_training(classes), 3, "exemplar-cnn", seed, device)?;
        Ok(Self { stack, params })
    }

    /// Cost of one pass over a patch of 32x32 pixels, with `classes` surrogate classes.
    ///
    /// # Errors
    /// If the patches do not fit a layer, which those of 32x32 pixels do.
    pub fn cost(classes: usize) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        pass.begin(&in_training(classes), "", &[3, PATCH, PATCH])?;
        Ok(pass)
    }

    /// Scores of the surrogate classes. Dropout is active only when `dropout_rngs` are given, one for
    /// each patch.
    ///
    /// # Shapes
    /// `(N, 3, 32, 32) -> (N, classes)`
    ///
    /// # Errors
    /// If the patches have another size.
    pub fn forward(
        &self,
        patches: &Images,
        dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Tensor, NetError> {
        self.stack.forward(patches.convert(FORMAT)?.tensor(), dropout_rngs)
    }

    /// All weights, the classifier's last.
    pub fn params(&self) -> &Params {
        &self.params
    }
}
