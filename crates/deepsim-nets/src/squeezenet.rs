//! SqueezeNet (Iandola et al. 2016), a compact ImageNet classifier, in two versions.
//!
//! Not one of the paper's comparators: it measures whether reconstructions are closer in the
//! feature space of a network that no generator was trained with. Version 1.0 is the authors' Caffe
//! model; version 1.1 is torchvision's `squeezenet1_1`, the trunk of LPIPS (Zhang et al. 2018), and
//! its rows and weights have the names of PyTorch's modules.

use deepsim_ops::Pool2dConfig;

use crate::alexnet::POOL;
use crate::init::Filler;
use crate::layers::{Conv, FireNames, Layer, Op, conv, layer};

const fn fire(name: &'static str, squeeze: usize, expand: usize) -> Layer {
    layer(name, Op::Fire { squeeze, expand, names: FireNames::CAFFE })
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

pub(crate) const TAPS: [(&str, &str); 7] = [
    ("POOL1", "pool1"),
    ("FIRE4", "fire4"),
    ("POOL4", "pool4"),
    ("FIRE8", "fire8"),
    ("FIRE9", "fire9"),
    ("LOGITS", "pool_final"),
    ("PROB", "prob"),
];

/// Max-pooling 3x3 with stride 2, sizes rounded up.
const POOL_UP: Op = Op::MaxPool(Pool2dConfig::new(3, 2).ceil());

const fn module(name: &'static str, squeeze: usize, expand: usize) -> Layer {
    layer(name, Op::Fire { squeeze, expand, names: FireNames::TORCHVISION })
}

/// torchvision's `squeezenet1_1` for `(N, 3, H, W)`, 224 pixels in the original.
pub(crate) const TORCHVISION: [Layer; 17] = [
    conv("features.0", Conv::new(64, 3).stride(2)),
    layer("features.1", Op::Relu),
    layer("features.2", POOL_UP),
    module("features.3", 16, 64),
    module("features.4", 16, 64),
    layer("features.5", POOL_UP),
    module("features.6", 32, 128),
    module("features.7", 32, 128),
    layer("features.8", POOL_UP),
    module("features.9", 48, 192),
    module("features.10", 48, 192),
    module("features.11", 64, 256),
    module("features.12", 64, 256),
    conv("classifier.1", Conv::new(1000, 1).fill(Filler::Gaussian { std: 0.01, bias: 0.0 })),
    layer("classifier.2", Op::Relu),
    layer("classifier.3", Op::GlobalAvgPool),
    layer("prob", Op::Softmax),
];

/// Tap names of [`TORCHVISION`]; fire modules are counted as in the paper. The first seven are those
/// of LPIPS.
pub(crate) const TORCHVISION_TAPS: [(&str, &str); 9] = [
    ("CONV1", "features.1"),
    ("FIRE3", "features.4"),
    ("FIRE5", "features.7"),
    ("FIRE6", "features.9"),
    ("FIRE7", "features.10"),
    ("FIRE8", "features.11"),
    ("FIRE9", "features.12"),
    ("LOGITS", "classifier.3"),
    ("PROB", "prob"),
];
