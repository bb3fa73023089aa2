//! Rows of a description: the operations of [`Op`] with the words of a TOML file.

use deepsim_ops::{AvgPool2dConfig, LrnConfig, Pool2dConfig};
use serde::{Deserialize, Serialize};

use crate::init::Filler;
use crate::layers::{Conv, Op};

/// Operation of a row. Numbers that are left out have the defaults of PyTorch's modules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum RowOp {
    Conv(ConvRow),
    UpConv(ConvRow),
    Linear {
        out: usize,
        #[serde(default, skip_serializing_if = "is_default")]
        filler: FillerRow,
    },
    BatchNorm {
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    Relu {},
    Relu6 {},
    LeakyRelu {
        slope: f64,
    },
    MaxPool(PoolRow),
    AvgPool(AvgPoolRow),
    Lrn {
        size: usize,
        alpha: f32,
        beta: f32,
        k: f32,
    },
    GlobalAvgPool {},
    Pad {
        #[serde(default)]
        top: usize,
        #[serde(default)]
        bottom: usize,
        #[serde(default)]
        left: usize,
        #[serde(default)]
        right: usize,
    },
    Flatten {
        positions: usize,
    },
    Unflatten {
        channels: usize,
        side: usize,
    },
    ScaledTanh {
        factor: f64,
    },
    Softmax {},
    Dropout {
        probability: f64,
    },
    Add {},
    Concat {},
}

/// Numbers of a convolution.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConvRow {
    out: usize,
    kernel: usize,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    stride: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    padding: usize,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    groups: usize,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    bias: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    filler: FillerRow,
}

/// Numbers of a pooling with square windows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolRow {
    kernel: usize,
    stride: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    padding: usize,
    /// Rounds sizes up.
    #[serde(default, skip_serializing_if = "is_default")]
    ceil: bool,
}

/// Numbers of an average pooling with square windows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AvgPoolRow {
    kernel: usize,
    stride: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    padding: usize,
    /// Rounds sizes up.
    #[serde(default, skip_serializing_if = "is_default")]
    ceil: bool,
    /// Divides by the pixels of the padding too.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    count_include_pad: bool,
}

/// Distribution of random weights.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum FillerRow {
    Msra { coeff: f64 },
    Gaussian { std: f64, bias: f32 },
}

impl Default for FillerRow {
    fn default() -> Self {
        Self::Msra { coeff: 1.0 }
    }
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Epsilon of PyTorch's batch normalisation.
fn epsilon() -> f64 {
    1e-5
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Filler> for FillerRow {
    fn from(filler: Filler) -> Self {
        match filler {
            Filler::Msra { coeff } => Self::Msra { coeff },
            Filler::Gaussian { std, bias } => Self::Gaussian { std, bias },
        }
    }
}

impl From<FillerRow> for Filler {
    fn from(row: FillerRow) -> Self {
        match row {
            FillerRow::Msra { coeff } => Self::Msra { coeff },
            FillerRow::Gaussian { std, bias } => Self::Gaussian { std, bias },
        }
    }
}

impl From<Conv> for ConvRow {
    fn from(conv: Conv) -> Self {
        let Conv { out, kernel, stride, padding, groups, bias, filler } = conv;
        Self { out, kernel, stride, padding, groups, bias, filler: filler.into() }
    }
}

impl From<ConvRow> for Conv {
    fn from(row: ConvRow) -> Self {
        let ConvRow { out, kernel, stride, padding, groups, bias, filler } = row;
        Self { out, kernel, stride, padding, groups, bias, filler: filler.into() }
    }
}

impl From<PoolRow> for Pool2dConfig {
    fn from(row: PoolRow) -> Self {
        let PoolRow { kernel, stride, padding, ceil } = row;
        Self { padding: (padding, padding), ceil_mode: ceil, ..Self::new(kernel, stride) }
    }
}

impl From<Pool2dConfig> for PoolRow {
    /// Tables have square windows.
    fn from(config: Pool2dConfig) -> Self {
        let Pool2dConfig { kernel, stride, padding, ceil_mode: ceil } = config;
        Self { kernel: kernel.0, stride: stride.0, padding: padding.0, ceil }
    }
}

impl From<AvgPool2dConfig> for AvgPoolRow {
    fn from(config: AvgPool2dConfig) -> Self {
        let AvgPool2dConfig { windows, count_include_pad } = config;
        let PoolRow { kernel, stride, padding, ceil } = windows.into();
        Self { kernel, stride, padding, ceil, count_include_pad }
    }
}

impl From<AvgPoolRow> for AvgPool2dConfig {
    fn from(row: AvgPoolRow) -> Self {
        let AvgPoolRow { kernel, stride, padding, ceil, count_include_pad } = row;
        let windows = PoolRow { kernel, stride, padding, ceil }.into();
        Self { windows, count_include_pad }
    }
}

impl From<Op> for RowOp {
    fn from(op: Op) -> Self {
        match op {
            Op::Conv(conv) => Self::Conv(conv.into()),
            Op::UpConv(conv) => Self::UpConv(conv.into()),
            Op::Linear(out, filler) => Self::Linear { out, filler: filler.into() },
            Op::BatchNorm { epsilon } => Self::BatchNorm { epsilon },
            Op::Relu => Self::Relu {},
            Op::Relu6 => Self::Relu6 {},
            Op::LeakyRelu(slope) => Self::LeakyRelu { slope },
            Op::MaxPool(config) => Self::MaxPool(config.into()),
            Op::AvgPool(config) => Self::AvgPool(config.into()),
            Op::Lrn(LrnConfig { size, alpha, beta, k }) => Self::Lrn { size, alpha, beta, k },
            Op::GlobalAvgPool => Self::GlobalAvgPool {},
            Op::Pad { top, bottom, left, right } => Self::Pad { top, bottom, left, right },
            Op::Flatten(positions) => Self::Flatten { positions },
            Op::Unflatten { channels, side } => Self::Unflatten { channels, side },
            Op::ScaledTanh(factor) => Self::ScaledTanh { factor },
            Op::Softmax => Self::Softmax {},
            Op::Dropout(probability) => Self::Dropout { probability },
            Op::Add => Self::Add {},
            Op::Concat => Self::Concat {},
        }
    }
}

impl From<RowOp> for Op {
    fn from(row: RowOp) -> Self {
        match row {
            RowOp::Conv(conv) => Self::Conv(conv.into()),
            RowOp::UpConv(conv) => Self::UpConv(conv.into()),
            RowOp::Linear { out, filler } => Self::Linear(out, filler.into()),
            RowOp::BatchNorm { epsilon } => Self::BatchNorm { epsilon },
            RowOp::Relu {} => Self::Relu,
            RowOp::Relu6 {} => Self::Relu6,
            RowOp::LeakyRelu { slope } => Self::LeakyRelu(slope),
            RowOp::MaxPool(pool) => Self::MaxPool(pool.into()),
            RowOp::AvgPool(pool) => Self::AvgPool(pool.into()),
            RowOp::Lrn { size, alpha, beta, k } => Self::Lrn(LrnConfig { size, alpha, beta, k }),
            RowOp::GlobalAvgPool {} => Self::GlobalAvgPool,
            RowOp::Pad { top, bottom, left, right } => Self::Pad { top, bottom, left, right },
            RowOp::Flatten { positions } => Self::Flatten(positions),
            RowOp::Unflatten { channels, side } => Self::Unflatten { channels, side },
            RowOp::ScaledTanh { factor } => Self::ScaledTanh(factor),
            RowOp::Softmax {} => Self::Softmax,
            RowOp::Dropout { probability } => Self::Dropout(probability),
            RowOp::Add {} => Self::Add,
            RowOp::Concat {} => Self::Concat,
        }
    }
}
