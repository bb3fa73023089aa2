//! Generators that turn AlexNet's features back into images, in the layouts of the nine that the
//! authors released (v1 Table 5 = v2 Table 1 for FC6; the others from the released definitions).
//!
//! Layers called `convN_1` are 3x3 convolutions that the authors stored as transposed convolutions in
//! most networks: their weights lie as `(in, out, 3, 3)`, which also decides Caffe's fan-in. They are
//! kept as such here, so that released weights fit and initial weights are the same.

use serde::{Deserialize, Serialize};

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer, tensors, upconv};

/// Layer of CaffeNet that a generator inverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GeneratorKind {
    /// CONV1: norm1, 96 x 27 x 27.
    Norm1,
    /// CONV2: norm2, 256 x 13 x 13.
    Norm2,
    /// CONV3: relu3, 384 x 13 x 13.
    Conv3,
    /// CONV4: relu4, 384 x 13 x 13.
    Conv4,
    /// CONV5: pool5, 256 x 6 x 6.
    Pool5,
    /// FC6: 4096 numbers. Also the decoder of the variational autoencoder.
    Fc6,
    /// FC7: 4096 numbers.
    Fc7,
    /// FC8: the 1000 class scores before the softmax.
    Fc8,
}

const SLOPE: Op = Op::LeakyRelu(0.3);

/// Multipliers of Caffe's msra filler in the authors' code.
const UP: f64 = 1.8;
const SAME: f64 = 0.9;

const fn msra(coeff: f64) -> Filler {
    Filler::Msra { coeff }
}

/// A fully connected layer.
const fn fc(name: &'static str) -> [Layer; 2] {
    [layer(name, Op::Linear(4096, msra(1.0))), layer("lrelu", SLOPE)]
}

/// A convolution with bias, which begins the networks for maps.
pub(crate) const fn first(name: &'static str, conv_: Conv) -> [Layer; 2] {
    [conv(name, conv_), layer("lrelu", SLOPE)]
}

/// The paper's up-convolution: twice the height and width.
pub(crate) const fn up(name: &'static str, out: usize) -> [Layer; 2] {
    [upconv_2(name, out), layer("lrelu", SLOPE)]
}

const fn upconv_2(name: &'static str, out: usize) -> Layer {
    upconv(name, Conv::new(out, 4).stride(2).pad(1).no_bias().fill(msra(UP)))
}

/// A 3x3 convolution, stored as a transposed one.
const fn same(name: &'static str, out: usize) -> [Layer; 2] {
    [upconv(name, Conv::new(out, 3).pad(1).no_bias().fill(msra(SAME))), layer("lrelu", SLOPE)]
}

/// A 3x3 convolution, stored as one.
pub(crate) const fn plain(name: &'static str, out: usize) -> [Layer; 2] {
    [plain_3(name, out), layer("lrelu", SLOPE)]
}

const fn plain_3(name: &'static str, out: usize) -> Layer {
    conv(name, Conv::new(out, 3).pad(1).no_bias().fill(msra(SAME)))
}

/// `255 tanh`, the last layer of the generators for CONV1 to CONV4.
pub(crate) const TANH: Layer = layer("tanh", Op::ScaledTanh(255.0));

impl GeneratorKind {
    /// Every kind, shallow to deep.
    pub const ALL: [Self; 8] = [
        Self::Norm1,
        Self::Norm2,
        Self::Conv3,
        Self::Conv4,
        Self::Pool5,
        Self::Fc6,
        Self::Fc7,
        Self::Fc8,
    ];

    /// The name of the authors' release.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The comparator's tap whose features it inverts.
    pub fn tap(self) -> &'static str {
        self.row().1
    }

    /// Shape of one sample's features.
    pub fn features(self) -> &'static [usize] {
        self.row().2
    }

    /// Name, tap, and shape of the features.
    fn row(self) -> (&'static str, &'static str, &'static [usize]) {
        match self {
            Self::Norm1 => ("norm1", "CONV1", &[96, 27, 27]),
            Self::Norm2 => ("norm2", "CONV2", &[256, 13, 13]),
            Self::Conv3 => ("conv3", "CONV3", &[384, 13, 13]),
            Self::Conv4 => ("conv4", "CONV4", &[384, 13, 13]),
            Self::Pool5 => ("pool5", "CONV5", &[256, 6, 6]),
            Self::Fc6 => ("fc6", "FC6", &[4096]),
            Self::Fc7 => ("fc7", "FC7", &[4096]),
            Self::Fc8 => ("fc8", "FC8", &[1000]),
        }
    }

    pub(crate) fn table(self) -> Vec<Layer> {
        let k3 = |out| Conv::new(out, 3);
        match self {
            Self::Norm1 | Self::Norm2 => {
                let reduce = match self {
                    Self::Norm1 => first("Rconv6", k3(128).stride(2).pad(2)),
                    _ => first("Rconv6", k3(256).pad(2)),
                };
                let body = [
                    reduce,
                    first("Rconv7", k3(128).pad(1)),
                    first("Rconv8", k3(128).pad(1)),
                    up("deconv4", 128),
                    plain("conv4_1", 128),
                    up("deconv3", 64),
                    plain("conv3_1", 64),
                    up("deconv2", 32),
                    plain("conv2_1", 32),
                ];
                // There is no activation between the last two.
                [&body.concat()[..], &[upconv_2("deconv1", 16), plain_3("conv1_1", 3), TANH]]
                    .concat()
            }
            Self::Conv3 | Self::Conv4 => {
                let body = [
                    first("Rconv6", k3(384)),
                    first("Rconv7", k3(512)),
                    first("Rconv8", Conv::new(512, 2)),
                    up("deconv5", 256),
                    same("conv5_1", 256),
                    up("deconv4", 128),
                    same("conv4_1", 128),
                    up("deconv3", 128),
                    same("conv3_1", 128),
                    up("deconv2", 64),
                    plain("conv2_1", 32),
                    up("deconv1", 16),
                ];
                [&body.concat()[..], &[plain_3("conv1_1", 3), TANH]].concat()
            }
            Self::Pool5 => {
                let body = [
                    first("Rconv6", k3(512).pad(1)),
                    first("Rconv7", k3(512).pad(1)),
                    first("Rconv8", k3(512)),
                ];
                [body.concat(), upconvolutions(STAGES.len())].concat()
            }
            Self::Fc6 | Self::Fc7 | Self::Fc8 => {
                [connected(), upconvolutions(STAGES.len())].concat()
            }
        }
    }

    /// Names and shapes of all weights, in the order of the layers.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        tensors(&self.table(), self.features()[0]).concat()
    }
}

/// Side of the maps that fully connected layers end with.
pub(crate) const REACHED: usize = 4;

/// Numbers to maps of [`REACHED`] pixels.
pub(crate) fn connected() -> Vec<Layer> {
    let body = [fc("defc7"), fc("defc6"), fc("defc5")];
    let maps = layer("reshape", Op::Unflatten { channels: 256, side: REACHED });
    [&body.concat()[..], &[maps]].concat()
}

/// Three convolutions of so many channels to maps whose side is a power of two, and that side.
pub(crate) fn reduced(side: usize, channels: usize) -> (Vec<Layer>, usize) {
    let reached = 1 << side.ilog2();
    let mut left = side - reached;
    let mut rows = Vec::new();
    for (i, name) in ["Rconv6", "Rconv7", "Rconv8"].into_iter().enumerate() {
        let shrink = left.div_ceil(3 - i);
        left -= shrink;
        // A kernel that is larger by one than what it takes away; the usual 3x3 where it takes nothing.
        let conv = match shrink {
            0 => Conv::new(channels, 3).pad(1),
            shrink => Conv::new(channels, shrink + 1),
        };
        rows.extend(first(name, conv));
    }
    (rows, reached)
}

/// Rows from the largest maps to the smallest: of an up-convolution the name and channels, and the
/// 3x3 convolution after it.
type Stage = (&'static str, usize, Option<(&'static str, usize)>);

/// The stages of v1 Table 5, from the output backwards; the last of them draws the image.
pub(crate) const STAGES: [Stage; 6] = [
    ("deconv0", 3, None),
    ("deconv1", 32, None),
    ("deconv2", 64, None),
    ("deconv3", 128, Some(("conv3_1", 128))),
    ("deconv4", 256, Some(("conv4_1", 256))),
    ("deconv5", 256, Some(("conv5_1", 512))),
];

/// The last `doublings` stages: maps to an image of `2^doublings` times their side, e.g. from 4 to 256
/// pixels (v1 Table 5).
pub(crate) fn upconvolutions(doublings: usize) -> Vec<Layer> {
    let mut rows = Vec::new();
    for &(name, channels, after) in STAGES[1..doublings].iter().rev() {
        rows.extend(up(name, channels));
        rows.extend(after.into_iter().flat_map(|(name, channels)| same(name, channels)));
    }
    rows.push(upconv_2(STAGES[0].0, STAGES[0].1));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn have_the_published_numbers_of_weights() {
        let count = |kind: GeneratorKind| -> usize {
            kind.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        assert_eq!(count(GeneratorKind::Fc6), 56_096_256);
        assert_eq!(count(GeneratorKind::Fc7), 56_096_256);
        assert_eq!(count(GeneratorKind::Fc8), 43_415_040);
    }
}
