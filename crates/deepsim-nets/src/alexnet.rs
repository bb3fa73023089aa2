//! AlexNet in the forms in which its weights exist, from the pixels to class probabilities.
//!
//! The paper says AlexNet and its code uses CaffeNet, the variant that pools before it normalises.
//! Weights trained in one order do not fit the other, so both are here, and torchvision's network of
//! the same name, which has fewer channels and no normalisation. VideoNet is CaffeNet with a smaller
//! last layer. With random weights CaffeNet is the paper's third comparator; the fillers are those of
//! Caffe's own definition.

use deepsim_ops::{LrnConfig, Pool2dConfig};

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};

/// Position of the normalisation in the first two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// conv, ReLU, normalise, pool: AlexNet as published and BVLC's `bvlc_alexnet`.
    NormPool,
    /// conv, ReLU, pool, normalise: BVLC's `bvlc_reference_caffenet`.
    PoolNorm,
}

/// Caffe rounds the size of a pooled map up: 64 pixels give maps of 14, 7, 7 and 3.
pub(crate) const POOL: Op = pool(true);
const NORM: Op = Op::Lrn(LrnConfig { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 });

/// Max-pooling 3x3 with stride 2.
pub(crate) const fn pool(ceil_mode: bool) -> Op {
    Op::MaxPool(Pool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (0, 0), ceil_mode })
}

const fn filler(bias: f32) -> Filler {
    Filler::Gaussian { std: 0.01, bias }
}

fn fc(name: &'static str, out: usize) -> Layer {
    layer(name, Op::Linear(out, Filler::Gaussian { std: 0.005, bias: 1.0 }))
}

/// conv1 to pool5 for `(N, 3, H, W)`, 227 pixels in the original.
pub(crate) fn trunk(order: Order) -> Vec<Layer> {
    let stage = match order {
        Order::NormPool => [("norm1", NORM), ("pool1", POOL), ("norm2", NORM), ("pool2", POOL)],
        Order::PoolNorm => [("pool1", POOL), ("norm1", NORM), ("pool2", POOL), ("norm2", NORM)],
    };
    [
        conv("conv1", Conv::new(96, 11).stride(4).fill(filler(0.0))),
        layer("relu1", Op::Relu),
        layer(stage[0].0, stage[0].1),
        layer(stage[1].0, stage[1].1),
        conv("conv2", Conv::new(256, 5).pad(2).groups(2).fill(filler(1.0))),
        layer("relu2", Op::Relu),
        layer(stage[2].0, stage[2].1),
        layer(stage[3].0, stage[3].1),
        conv("conv3", Conv::new(384, 3).pad(1).fill(filler(0.0))),
        layer("relu3", Op::Relu),
        conv("conv4", Conv::new(384, 3).pad(1).groups(2).fill(filler(1.0))),
        layer("relu4", Op::Relu),
        conv("conv5", Conv::new(256, 3).pad(1).groups(2).fill(filler(1.0))),
        layer("relu5", Op::Relu),
        layer("pool5", POOL),
    ]
    .into()
}

/// The fully connected part, for a pool5 of 256 x 6 x 6. It holds no dropout: a comparator is never
/// trained here.
fn head() -> [Layer; 7] {
    [
        layer("flatten", Op::Flatten(6 * 6)),
        fc("fc6", 4096),
        layer("relu6", Op::Relu),
        fc("fc7", 4096),
        layer("relu7", Op::Relu),
        layer("fc8", Op::Linear(1000, filler(0.0))),
        layer("prob", Op::Softmax),
    ]
}

/// AlexNet or CaffeNet for `(N, 3, 227, 227)`; without its last seven rows it takes other sizes too.
pub(crate) fn layers(order: Order) -> Vec<Layer> {
    [trunk(order), head().into()].concat()
}

/// A stand-in for AlexNet with a small head: fc6 and fc7 of 256, and 10 classes. Its features FC6 to FC8
/// exercise everything that the real ones do where the real ones, 235 MB, are not at hand.
pub(crate) fn stand_in() -> Vec<Layer> {
    let [flatten, _, relu6, _, relu7, ..] = head();
    let scores = layer("fc8", Op::Linear(10, filler(0.0)));
    [trunk(Order::NormPool), vec![flatten, fc("fc6", 256), relu6, fc("fc7", 256), relu7, scores]]
        .concat()
}

/// VideoNet (Wang & Gupta 2015) for `(N, 3, 227, 227)`: CaffeNet with fc7 of 1024.
pub(crate) fn videonet() -> Vec<Layer> {
    let [flatten, fc6, relu6, _, relu7, ..] = head();
    [trunk(Order::PoolNorm), vec![flatten, fc6, relu6, fc("fc7", 1024), relu7]].concat()
}

/// conv1 to pool5 without normalisations, with weights to begin training from.
pub(crate) fn to_train() -> Vec<Layer> {
    let mut table = trunk(Order::NormPool);
    table.retain(|layer| !matches!(layer.op, Op::Lrn(_)));
    for layer in &mut table {
        if let Op::Conv(conv) = &mut layer.op {
            *conv = conv.fill(Filler::Msra { coeff: 1.0 });
        }
    }
    table
}

/// The paper's names: CONVk includes the ReLU, normalisation and pooling that follow. FC8 are the
/// class scores before the softmax. Networks with a shorter head have the first of them; torchvision's
/// rows are named as in [`Order::NormPool`].
pub(crate) const fn taps(order: Order) -> [(&'static str, &'static str); 9] {
    let (first, second) = match order {
        Order::NormPool => ("pool1", "pool2"),
        Order::PoolNorm => ("norm1", "norm2"),
    };
    [
        ("CONV1", first),
        ("CONV2", second),
        ("CONV3", "relu3"),
        ("CONV4", "relu4"),
        ("CONV5", "pool5"),
        ("FC6", "relu6"),
        ("FC7", "relu7"),
        ("FC8", "fc8"),
        ("PROB", "prob"),
    ]
}

const fn same(out: usize, kernel: usize) -> Conv {
    Conv::new(out, kernel).pad(kernel / 2)
}

/// torchvision's `alexnet` (the "one weird trick" form, without normalisation) for
/// `(N, 3, 224, 224)`.
pub(crate) fn torchvision() -> Vec<Layer> {
    let trunk = [
        conv("conv1", Conv::new(64, 11).stride(4).pad(2)),
        layer("relu1", Op::Relu),
        layer("pool1", pool(false)),
        conv("conv2", same(192, 5)),
        layer("relu2", Op::Relu),
        layer("pool2", pool(false)),
        conv("conv3", same(384, 3)),
        layer("relu3", Op::Relu),
        conv("conv4", same(256, 3)),
        layer("relu4", Op::Relu),
        conv("conv5", same(256, 3)),
        layer("relu5", Op::Relu),
        layer("pool5", pool(false)),
    ];
    trunk.into_iter().chain(head()).collect()
}

/// Places of the layers in the modules of torchvision's `alexnet`.
pub(crate) const TORCHVISION_ALIASES: [(&str, &str); 8] = [
    ("features.0", "conv1"),
    ("features.3", "conv2"),
    ("features.6", "conv3"),
    ("features.8", "conv4"),
    ("features.10", "conv5"),
    ("classifier.1", "fc6"),
    ("classifier.4", "fc7"),
    ("classifier.6", "fc8"),
];
