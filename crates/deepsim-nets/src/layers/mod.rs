//! Networks as tables of layers.
//!
//! A [`Layer`] row is plain data that reads like a row of the paper's tables; a [`Stack`] is the
//! table with weights. Rows are named as in the authors' prototxt files, and a forward pass can
//! stop after any of them, which is how comparators are tapped.
//!
//! A row reads the output of the row before it. Branches name their inputs with [`Layer::after`]; [`Op::Add`]
//! joins the branches of a residual block, [`Op::Concat`] those of a fire module:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use deepsim_nets::layers::{Conv, Op, Stack, conv, layer};
//! let table = [
//!     conv("conv1", Conv::new(8, 3).stride(2).pad(1)),
//!     layer("relu1", Op::Relu),
//!     conv("conv2", Conv::new(8, 3).pad(1)),
//!     layer("add", Op::Add).after(&["conv2", "relu1"]),
//!     layer("relu2", Op::Relu),
//! ];
//! let (stack, params) = Stack::new(&table, 3, "residual", 0, &Device::Cpu)?;
//! assert_eq!(params.len(), 4);
//! let images = Tensor::ones((1, 3, 16, 16), DType::F32, &Device::Cpu)?;
//! assert_eq!(stack.forward(&images, None)?.dims(), [1, 8, 8, 8]);
//! # Ok::<(), deepsim_nets::NetError>(())
//! ```

mod stack;
mod table;
mod weights;
mod wiring;

use std::borrow::Cow;

use deepsim_ops::{AvgPool2dConfig, Conv2dConfig, LrnConfig, Pool2dConfig};

use crate::init::Filler;

pub use stack::Stack;
pub(crate) use table::Table;
pub(crate) use weights::{Start, tensors};
pub(crate) use wiring::{Wiring, wire};

/// One row of a network's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of the row, and of its weights.
    pub name: Cow<'static, str>,
    /// Operation.
    pub op: Op,
    /// Names of the rows whose outputs it reads; empty for the row before it.
    pub from: Vec<Cow<'static, str>>,
}

impl Layer {
    /// Reads the outputs of these rows instead of that of the row before it.
    pub fn after(self, rows: &[&'static str]) -> Self {
        Self { from: rows.iter().map(|row| Cow::Borrowed(*row)).collect(), ..self }
    }
}

/// Name of the network's input in [`Layer::from`].
pub const INPUT: &str = "input";

/// Operation of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution: the paper's up-convolution.
    UpConv(Conv),
    /// Fully connected layer with this many outputs; its input is `(N, C)`.
    Linear(usize, Filler),
    /// Batch normalisation with the running statistics of training, which are weights of the row: `weight`, `bias`,
    /// `running_mean` and `running_var`. Frozen networks compute it within the convolution before it.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `max(x, 0) + slope * min(x, 0)`.
    LeakyRelu(f64),
    /// Max-pooling.
    MaxPool(Pool2dConfig),
    /// Local response normalisation across channels.
    Lrn(LrnConfig),
    /// Mean over all positions, `(N, C, H, W) -> (N, C)`.
    GlobalAvgPool,
    /// `(N, C, H, W) -> (N, C * H * W)`, for maps with this many positions `H * W`.
    Flatten(usize),
    /// `(N, C * side * side) -> (N, C, side, side)`.
    Unflatten {
        /// Channels of the maps.
        channels: usize,
        /// Height and width of the maps.
        side: usize,
    },
    /// `factor * tanh(x)`.
    ScaledTanh(f64),
    /// Probabilities of `(N, K)` scores.
    Softmax,
    /// Dropout with this probability, in training only.
    Dropout(f64),
    /// Mean of each window.
    AvgPool(AvgPool2dConfig),
    /// Zeros around the maps.
    Pad {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
    /// Sum of two inputs of the same shape.
    Add,
    /// Maps of two inputs side by side along the channels.
    Concat,
}

/// Hyper-parameters of a convolutional row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Stride, or up-sampling factor of an up-convolution.
    pub stride: usize,
    /// Zero padding on each side.
    pub padding: usize,
    /// Groups.
    pub groups: usize,
    /// Adds a bias if true.
    pub bias: bool,
    /// Distribution of the initial weights.
    pub filler: Filler,
}

impl Conv {
    /// A `kernel` x `kernel` convolution to `out` channels: stride 1, no padding, bias, msra.
    pub const fn new(out: usize, kernel: usize) -> Self {
        let filler = Filler::Msra { coeff: 1.0 };
        Self { out, kernel, stride: 1, padding: 0, groups: 1, bias: true, filler }
    }

    /// Sets the stride.
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets the padding.
    pub const fn pad(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Sets the number of groups.
    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Leaves the bias out.
    pub const fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// Sets the weight filler.
    pub const fn fill(self, filler: Filler) -> Self {
        Self { filler, ..self }
    }

    pub(crate) fn config(self, leaky: Option<f32>) -> Conv2dConfig {
        Conv2dConfig {
            stride: (self.stride, self.stride),
            padding: (self.padding, self.padding),
            groups: self.groups,
            leaky,
            ..Conv2dConfig::default()
        }
    }
}

/// A convolutional row.
pub const fn conv(name: &'static str, conv: Conv) -> Layer {
    layer(name, Op::Conv(conv))
}

/// An up-convolutional row.
pub const fn upconv(name: &'static str, conv: Conv) -> Layer {
    layer(name, Op::UpConv(conv))
}

/// Any other row.
pub const fn layer(name: &'static str, op: Op) -> Layer {
    Layer { name: Cow::Borrowed(name), op, from: Vec::new() }
}
