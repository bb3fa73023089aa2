//! Exemplar-CNN 64c5-128c5-256c5-512f (Dosovitskiy et al. 2014), one of the paper's comparators.
//!
//! Trained on 32x32 patches; as a comparator it is run convolutionally on whole images, so that
//! CONV3 of a 64x64 image is `256 x 16 x 16`. The fully connected layer is an 8x8 convolution.

use crate::alexnet::POOL;
use crate::image::{ChannelOrder, PixelFormat};
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};

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

/// Tap whose features are classified in training.
pub const TRAINED_TAP: &str = "FC4";

/// Side of the patches of training.
pub const PATCH: usize = 32;
