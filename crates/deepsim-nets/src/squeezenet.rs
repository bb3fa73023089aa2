//! SqueezeNet (Iandola et al. 2016), a compact ImageNet classifier, in two versions.
//!
//! Not one of the paper's comparators: it measures whether reconstructions are closer in the
//! feature space of a network that no generator was trained with. Version 1.0 is the authors' Caffe
//! model; version 1.1 is torchvision's `squeezenet1_1`, the trunk of LPIPS (Zhang et al. 2018), and
//! its rows and weights have the names of PyTorch's modules.

use deepsim_ops::Pool2dConfig;

use crate::alexnet::POOL;
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};

/// Endings of the names of a fire module's squeeze, 1x1 and 3x3 expand convolutions.
type FireNames = [&'static str; 3];

/// The authors' Caffe models: `fire2/conv1x1_1.weight`.
const CAFFE: FireNames = ["/conv1x1_1", "/conv1x1_2", "/conv3x3_2"];
/// torchvision: `features.3.squeeze.weight`.
const MODULES: FireNames = [".squeeze", ".expand1x1", ".expand3x3"];

/// SqueezeNet's fire module: 1x1 squeeze, then 1x1 and 3x3 expand side by side. Its output has the name of the module.
fn fire(module: &str, squeeze: usize, expand: usize, names: FireNames) -> [Layer; 7] {
    let named = |name: String, op, from: &[&str]| Layer {
        name: name.into(),
        op,
        from: from.iter().map(|row| row.to_string().into()).collect(),
    };
    let conv = |name: &str, conv, from: &[&str]| named(name.into(), Op::Conv(conv), from);
    let relu = |name: &str| named(format!("{name}.relu"), Op::Relu, &[]);
    let [squeezed, one, three] = names.map(|end| format!("{module}{end}"));
    let [input, left, right] = [&squeezed, &one, &three].map(|name| format!("{name}.relu"));
    [
        conv(&squeezed, Conv::new(squeeze, 1), &[]),
        relu(&squeezed),
        conv(&one, Conv::new(expand, 1), &[]),
        relu(&one),
        conv(&three, Conv::new(expand, 3).pad(1), &[&input]),
        relu(&three),
        named(module.into(), Op::Concat, &[&left, &right]),
    ]
}

/// The layers for `(N, 3, H, W)`, 227 pixels in the original. The output is 1000 class scores
/// before the softmax.
pub(crate) fn layers() -> Vec<Layer> {
    let fire = |name, squeeze, expand| fire(name, squeeze, expand, CAFFE).to_vec();
    let row = |name, op| vec![layer(name, op)];
    // The padding is in the published definition; it adds a border of biases to the mean.
    let last = Conv::new(1000, 1).pad(1).fill(Filler::Gaussian { std: 0.01, bias: 0.0 });
    [
        vec![conv("conv1", Conv::new(96, 7).stride(2))],
        row("relu_conv1", Op::Relu),
        row("pool1", POOL),
        fire("fire2", 16, 64),
        fire("fire3", 16, 64),
        fire("fire4", 32, 128),
        row("pool4", POOL),
        fire("fire5", 32, 128),
        fire("fire6", 48, 192),
        fire("fire7", 48, 192),
        fire("fire8", 64, 256),
        row("pool8", POOL),
        fire("fire9", 64, 256),
        vec![conv("conv_final", last)],
        row("relu_conv_final", Op::Relu),
        row("pool_final", Op::GlobalAvgPool),
        row("prob", Op::Softmax),
    ]
    .concat()
}

pub(crate) const TAPS: [(&str, &str); 7] = [
    ("POOL1", "pool1"),
    ("FIRE4", "fire4"),
    ("POOL4", "pool4"),
    ("FIRE8", "fire8"),
    ("FIRE9", "fire9"),
    ("LOGITS", "pool_final"),
    ("PROB", "prob"),
];

/// Names of the authors' first release for the same layers.
pub(crate) fn aliases() -> Vec<(String, String)> {
    let parts = ["squeeze1x1", "expand1x1", "expand3x3"];
    let module = |module: usize| {
        let name =
            move |(alias, end)| (format!("fire{module}/{alias}"), format!("fire{module}{end}"));
        parts.into_iter().zip(CAFFE).map(name)
    };
    let last = ("conv10".to_owned(), "conv_final".to_owned());
    (2..=9).flat_map(module).chain([last]).collect()
}

/// Max-pooling 3x3 with stride 2, sizes rounded up.
const POOL_UP: Op = Op::MaxPool(Pool2dConfig::new(3, 2).ceil());

/// torchvision's `squeezenet1_1` for `(N, 3, H, W)`, 224 pixels in the original.
pub(crate) fn torchvision() -> Vec<Layer> {
    let fire = |name, squeeze, expand| fire(name, squeeze, expand, MODULES).to_vec();
    let row = |name, op| vec![layer(name, op)];
    let last = Conv::new(1000, 1).fill(Filler::Gaussian { std: 0.01, bias: 0.0 });
    [
        vec![conv("features.0", Conv::new(64, 3).stride(2))],
        row("features.1", Op::Relu),
        row("features.2", POOL_UP),
        fire("features.3", 16, 64),
        fire("features.4", 16, 64),
        row("features.5", POOL_UP),
        fire("features.6", 32, 128),
        fire("features.7", 32, 128),
        row("features.8", POOL_UP),
        fire("features.9", 48, 192),
        fire("features.10", 48, 192),
        fire("features.11", 64, 256),
        fire("features.12", 64, 256),
        vec![conv("classifier.1", last)],
        row("classifier.2", Op::Relu),
        row("classifier.3", Op::GlobalAvgPool),
        row("prob", Op::Softmax),
    ]
    .concat()
}

/// Tap names of [`torchvision`]; fire modules are counted as in the paper. The first seven are those
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
