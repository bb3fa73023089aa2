//! Networks that are trained as comparators: a classifier of surrogate classes on top of their features.
//!
//! A surrogate class is one picture, or one patch of it, with all its random changes. A network that distinguishes
//! thousands of such classes has learned features of the pictures' content without labels (Dosovitskiy et al. 2014;
//! with whole pictures, instance discrimination, Wu et al. 2018).

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;

use crate::init::Filler;
use crate::layers::{Layer, Op, Stack, layer};
use crate::{ComparatorKind, Images, NetError, Params, Pass, PixelFormat};

/// Name of the layer that classifies surrogate classes; it is not part of the comparator.
pub const CLASSIFIER: &str = "classifier";

/// A network in training, with a classifier of surrogate classes on top of one of its taps.
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::{ComparatorKind, Images, PixelFormat, SurrogateNet};
/// let (kind, device) = (ComparatorKind::exemplar_cnn(), Device::Cpu);
/// let net = SurrogateNet::new(&kind, "FC4", 32, 10, 0, &device)?;
/// let patches = Images::from_u8(&[9; 2 * 3072], 2, 32, 32, PixelFormat::RGB_U8, &device)?;
/// assert_eq!(net.forward(&patches, None)?.dims(), [2, 10]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SurrogateNet {
    stack: Stack,
    params: Params,
    pixels: PixelFormat,
}

impl SurrogateNet {
    /// Creates a network with random weights and a classifier of `classes` surrogate classes on its features at `tap`,
    /// for images of `side` pixels.
    ///
    /// # Errors
    /// If the network has no such tap, images of this size do not fit, or a weight cannot be allocated.
    pub fn new(
        kind: &ComparatorKind,
        tap: &str,
        side: usize,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        let table = in_training(kind, tap, side, classes)?;
        let (stack, params) = Stack::new(&table, 3, kind.name(), seed, device)?;
        Ok(Self { stack, params, pixels: kind.spec().pixels })
    }

    /// Cost of one pass over an image of `side` pixels.
    ///
    /// # Errors
    /// As [`SurrogateNet::new`].
    pub fn cost(
        kind: &ComparatorKind,
        tap: &str,
        side: usize,
        classes: usize,
    ) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        pass.begin(&in_training(kind, tap, side, classes)?, "", &[3, side, side])?;
        Ok(pass)
    }

    /// Scores of the surrogate classes. Dropout is active only when `dropout_rngs` are given, one for
    /// each image.
    ///
    /// # Shapes
    /// `(N, 3, side, side) -> (N, classes)`
    ///
    /// # Errors
    /// If the images have another size.
    pub fn forward(
        &self,
        images: &Images,
        dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Tensor, NetError> {
        self.stack.forward(images.convert(self.pixels)?.tensor(), dropout_rngs)
    }

    /// The format of pixels that the network takes; others are converted to it.
    pub fn pixels(&self) -> PixelFormat {
        self.pixels
    }

    /// Returns all weights, the classifier's last.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Rows of the network in training.
fn in_training(
    kind: &ComparatorKind,
    tap: &str,
    side: usize,
    classes: usize,
) -> Result<Vec<Layer>, NetError> {
    let positions = kind.shape(tap, side, side)?.iter().skip(1).product();
    let scores = Op::Linear(classes, Filler::Gaussian { std: 0.005, bias: 0.0 });
    let head = [
        layer("flatten", Op::Flatten(positions)),
        layer("dropout", Op::Dropout(0.5)),
        layer(CLASSIFIER, scores),
    ];
    Ok(kind.rows(tap)?.iter().cloned().chain(head).collect())
}
