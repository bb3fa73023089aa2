//! Trunks of AlexNet, conv1 to pool5, in the two orders in which its weights exist.
//!
//! The paper says AlexNet and its code uses CaffeNet, the variant that pools before it normalises.
//! Weights trained in one order do not fit the other, so both are here. With random weights the
//! network is the paper's third comparator; the fillers are those of Caffe's own definition.

use deepsim_ops::{LrnConfig, Pool2dConfig};

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};

/// Where normalisation stands in the first two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// conv, ReLU, normalise, pool: AlexNet as published and BVLC's `bvlc_alexnet`.
    NormPool,
    /// conv, ReLU, pool, normalise: BVLC's `bvlc_reference_caffenet`.
    PoolNorm,
}

/// Caffe rounds the size of a pooled map up: 64 pixels give maps of 14, 7, 7 and 3.
pub(crate) const POOL: Op =
    Op::MaxPool(Pool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (0, 0), ceil_mode: true });
const NORM: Op = Op::Lrn(LrnConfig { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 });

const fn filler(bias: f32) -> Filler {
    Filler::Gaussian { std: 0.01, bias }
}

/// The layers for `(N, 3, H, W)`, 227 pixels in the original.
pub(crate) const fn trunk(order: Order) -> [Layer; 15] {
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
}

/// The paper's names: CONVk includes the ReLU, normalisation and pooling that follow.
pub(crate) const fn taps(order: Order) -> [(&'static str, &'static str); 5] {
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
    ]
}
