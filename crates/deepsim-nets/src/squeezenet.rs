//! SqueezeNet 1.0 (Iandola et al. 2016), a compact ImageNet classifier.
//!
//! Not one of the paper's comparators: it measures whether reconstructions are closer in the
//! feature space of a network that no generator was trained with.

use crate::alexnet::POOL;
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};

const fn fire(name: &'static str, squeeze: usize, expand: usize) -> Layer {
    layer(name, Op::Fire { squeeze, expand })
}

/// The layers for `(N, 3, H, W)`, 227 pixels in the original. The output is 1000 class scores
/// before the softmax.
pub(crate) const LAYERS: [Layer; 17] = [
    conv("conv1", Conv::new(96, 7).stride(2)),
    layer("relu_conv1", Op::Relu),
    layer("pool1", POOL),
    fire("fire2", 16, 64),
    fire("fire3", 16, 64),
    fire("fire4", 32, 128),
    layer("pool4", POOL),
    fire("fire5", 32, 128),
    fire("fire6", 48, 192),
    fire("fire7", 48, 192),
    fire("fire8", 64, 256),
    layer("pool8", POOL),
    fire("fire9", 64, 256),
    // The padding is in the published definition; it adds a border of biases to the mean.
    conv("conv_final", Conv::new(1000, 1).pad(1).fill(Filler::Gaussian { std: 0.01, bias: 0.0 })),
    layer("relu_conv_final", Op::Relu),
    layer("pool_final", Op::GlobalAvgPool),
    layer("prob", Op::Softmax),
];

/// Tap names.
pub(crate) const TAPS: [(&str, &str); 7] = [
    ("POOL1", "pool1"),
    ("FIRE4", "fire4"),
    ("POOL4", "pool4"),
    ("FIRE8", "fire8"),
    ("FIRE9", "fire9"),
    ("LOGITS", "pool_final"),
    ("PROB", "prob"),
];
