//! Networks as tables of layers.
//!
//! A [`Layer`] row is plain data that reads like a row of the paper's tables; a [`Stack`] is the
//! table with weights. Rows are named as in the authors' prototxt files, and a forward pass can
//! stop after any of them, which is how comparators are tapped.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_ops::{
    Conv2dConfig, LrnConfig, Pool2dConfig, Step, conv2d, dropout_each, global_avg_pool2d,
    leaky_relu, linear, relu, sequence,
};
use rand_chacha::ChaCha12Rng;

use crate::NetError;
use crate::init::Filler;
use crate::params::ParamBuilder;

/// One row of a network's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Name of the row, and of its weights.
    pub name: &'static str,
    /// What it does.
    pub op: Op,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution: the paper's up-convolution.
    UpConv(Conv),
    /// Fully connected layer with this many outputs; its input is `(N, C)`.
    Linear(usize, Filler),
    /// `max(x, 0)`.
    Relu,
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
        /// Their height and width.
        side: usize,
    },
    /// `factor * tanh(x)`.
    ScaledTanh(f64),
    /// Probabilities of `(N, K)` scores.
    Softmax,
    /// Dropout with this probability, in training only.
    Dropout(f64),
    /// SqueezeNet's fire module: 1x1 squeeze, then 1x1 and 3x3 expand side by side.
    Fire {
        /// Channels of the squeeze convolution.
        squeeze: usize,
        /// Channels of each of the two expand convolutions.
        expand: usize,
        /// What its weights are called.
        names: FireNames,
    },
}

/// What follows a fire module's name in the names of its weights: for the squeeze convolution, the
/// 1x1 and the 3x3 expand convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FireNames(pub [&'static str; 3]);

impl FireNames {
    /// The authors' Caffe models: `fire2/conv1x1_1.weight`.
    pub const CAFFE: Self = Self(["/conv1x1_1", "/conv1x1_2", "/conv3x3_2"]);
    /// torchvision: `features.3.squeeze.weight`.
    pub const TORCHVISION: Self = Self([".squeeze", ".expand1x1", ".expand3x3"]);
}

/// Numbers of a convolutional row.
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
    /// Whether there is a bias.
    pub bias: bool,
    /// How the weights start.
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
        }
    }
}

/// A convolutional row.
pub const fn conv(name: &'static str, conv: Conv) -> Layer {
    Layer { name, op: Op::Conv(conv) }
}

/// An up-convolutional row.
pub const fn upconv(name: &'static str, conv: Conv) -> Layer {
    Layer { name, op: Op::UpConv(conv) }
}

/// Any other row.
pub const fn layer(name: &'static str, op: Op) -> Layer {
    Layer { name, op }
}

/// Names and shapes of all weights of a table, in its order.
pub(crate) fn tensors(layers: &[Layer], mut channels: usize) -> Vec<(String, Vec<usize>)> {
    let named = |layer: &Layer| {
        let (shapes, _) = layer.weights(&mut channels);
        let name = layer.name;
        shapes.into_iter().map(move |(part, shape)| (format!("{name}{part}"), shape))
    };
    layers.iter().flat_map(named).collect()
}

impl Layer {
    /// Endings of the names and shapes of its weights and biases, which have one axis, for an input
    /// with `channels`, and how they are filled; `channels` becomes that of the output.
    pub(crate) fn weights(&self, channels: &mut usize) -> (Vec<(String, Vec<usize>)>, Filler) {
        let input = *channels;
        let with_bias = |shape: Vec<usize>, out: usize, bias: bool| {
            let mut all = vec![(".weight".to_owned(), shape)];
            all.extend(bias.then(|| (".bias".to_owned(), vec![out])));
            all
        };
        match self.op {
            Op::Conv(c) => {
                *channels = c.out;
                let shape = vec![c.out, input / c.groups, c.kernel, c.kernel];
                (with_bias(shape, c.out, c.bias), c.filler)
            }
            Op::UpConv(c) => {
                *channels = c.out;
                let shape = vec![input, c.out / c.groups, c.kernel, c.kernel];
                (with_bias(shape, c.out, c.bias), c.filler)
            }
            Op::Linear(out, filler) => {
                *channels = out;
                (with_bias(vec![out, input], out, true), filler)
            }
            Op::Fire { squeeze, expand, names } => {
                *channels = 2 * expand;
                let shapes =
                    [[squeeze, input, 1, 1], [expand, squeeze, 1, 1], [expand, squeeze, 3, 3]];
                let shapes = names.0.into_iter().zip(shapes).flat_map(|(part, shape)| {
                    with_bias(shape.to_vec(), shape[0], true)
                        .into_iter()
                        .map(move |(end, shape)| (format!("{part}{end}"), shape))
                });
                (shapes.collect(), Filler::Msra { coeff: 1.0 })
            }
            op => {
                match op {
                    Op::Flatten(positions) => *channels *= positions,
                    Op::Unflatten { channels: maps, .. } => *channels = maps,
                    _ => {}
                }
                (Vec::new(), Filler::Msra { coeff: 1.0 })
            }
        }
    }
}

/// A table of layers with weights.
#[derive(Clone, Debug)]
pub struct Stack {
    rows: Vec<(Layer, Vec<Tensor>)>,
}

impl Stack {
    /// Makes the weights of `layers` for an input with `channels` channels; each weight is called
    /// `{prefix}{row}.weight` or `.bias`.
    pub(crate) fn new(
        layers: &[Layer],
        mut channels: usize,
        prefix: &str,
        builder: &mut ParamBuilder<'_>,
    ) -> Result<Self, NetError> {
        let mut rows = Vec::with_capacity(layers.len());
        for &layer in layers {
            let (shapes, filler) = layer.weights(&mut channels);
            let mut weights = Vec::with_capacity(shapes.len());
            for (part, shape) in shapes {
                let name = format!("{prefix}{}{part}", layer.name);
                weights.push(match shape[..] {
                    [len] => builder.bias(name, len, filler)?,
                    _ => builder.weight(name, &shape, filler)?,
                });
            }
            rows.push((layer, weights));
        }
        Ok(Self { rows })
    }

    /// The same weights (shared, not copied) without gradients: an optimiser step on the original
    /// is seen here, but a backward pass through this stack computes no weight gradient.
    pub fn frozen(&self) -> Self {
        let detach = |weights: &Vec<Tensor>| weights.iter().map(Tensor::detach).collect();
        Self { rows: self.rows.iter().map(|(layer, w)| (*layer, detach(w))).collect() }
    }

    /// The rows of the table.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.rows.iter().map(|(layer, _)| layer)
    }

    /// Runs all rows. Dropout is active only when `dropout_rngs` are given: one for each sample, or
    /// one for each of some equal parts of the batch.
    ///
    /// # Errors
    /// If the input does not fit a row.
    pub fn forward(
        &self,
        x: &Tensor,
        dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Tensor, NetError> {
        self.forward_rows(x, 0..self.rows.len(), dropout_rngs)
    }

    /// The outputs of some rows, in one pass and without dropout. `rows` are positions in the table,
    /// each greater than the one before it.
    ///
    /// # Errors
    /// If the input does not fit a row.
    pub fn forward_to(&self, x: &Tensor, rows: &[usize]) -> Result<Vec<Tensor>, NetError> {
        let (mut outputs, mut x, mut start) = (Vec::with_capacity(rows.len()), x.clone(), 0);
        for &row in rows {
            x = self.forward_rows(&x, start..row + 1, None)?;
            start = row + 1;
            outputs.push(x.clone());
        }
        Ok(outputs)
    }

    fn forward_rows(
        &self,
        x: &Tensor,
        rows: Range<usize>,
        mut dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Tensor, NetError> {
        let mut x = x.clone();
        // Spatial operations are run together, which is faster than one by one.
        let mut steps: Vec<Step> = Vec::new();
        let flush = |x: Tensor, steps: &mut Vec<Step>| match steps.is_empty() {
            true => Ok(x),
            false => sequence(&x, &std::mem::take(steps)),
        };
        let mut rows = self.rows[rows].iter().peekable();
        while let Some((layer, w)) = rows.next() {
            // An activation after a convolution is computed in the same pass.
            let leaky = match (layer.op, rows.peek().map(|(next, _)| next.op)) {
                (Op::Conv(_) | Op::UpConv(_), Some(Op::Relu)) => Some(0.0),
                (Op::Conv(_) | Op::UpConv(_), Some(Op::LeakyRelu(slope))) => Some(slope as f32),
                _ => None,
            };
            if leaky.is_some() {
                rows.next();
            }
            let weights = || (w[0].clone(), w.get(1).cloned());
            match layer.op {
                Op::Conv(c) => {
                    let ((weight, bias), config) = (weights(), c.config(leaky));
                    steps.push(Step::Conv2d { weight, bias, config });
                    continue;
                }
                Op::UpConv(c) => {
                    let ((weight, bias), config) = (weights(), c.config(leaky));
                    steps.push(Step::ConvTranspose2d { weight, bias, config });
                    continue;
                }
                Op::MaxPool(config) => {
                    steps.push(Step::MaxPool2d(config));
                    continue;
                }
                Op::Lrn(config) => {
                    steps.push(Step::LocalResponseNorm(config));
                    continue;
                }
                _ => {}
            }
            x = flush(x, &mut steps)?;
            x = match layer.op {
                Op::Conv(_) | Op::UpConv(_) | Op::MaxPool(_) | Op::Lrn(_) => x,
                Op::Linear(..) => linear(&x, &w[0], w.get(1))?,
                Op::Relu => relu(&x)?,
                Op::LeakyRelu(slope) => leaky_relu(&x, slope)?,
                Op::GlobalAvgPool => global_avg_pool2d(&x)?,
                Op::Flatten(_) => x.flatten_from(1)?,
                Op::Unflatten { channels, side } => x.reshape(((), channels, side, side))?,
                Op::ScaledTanh(factor) => (x.tanh()? * factor)?,
                Op::Softmax => softmax(&x)?,
                Op::Dropout(p) => match dropout_rngs.as_deref_mut() {
                    Some(rngs) => dropout_each(&x, p, rngs)?,
                    None => x,
                },
                Op::Fire { .. } => fire(&x, w)?,
            };
        }
        Ok(flush(x, &mut steps)?)
    }
}

fn softmax(x: &Tensor) -> Result<Tensor, NetError> {
    let last = x.rank() - 1;
    let exponentials = x.broadcast_sub(&x.max_keepdim(last)?.detach())?.exp()?;
    Ok(exponentials.broadcast_div(&exponentials.sum_keepdim(last)?)?)
}

fn fire(x: &Tensor, w: &[Tensor]) -> Result<Tensor, NetError> {
    let relu = |padding| Conv2dConfig::new(1, padding).with_leaky(0.0);
    let squeezed = conv2d(x, &w[0], Some(&w[1]), relu(0))?;
    let expand1 = conv2d(&squeezed, &w[2], Some(&w[3]), relu(0))?;
    let expand3 = conv2d(&squeezed, &w[4], Some(&w[5]), relu(1))?;
    Ok(Tensor::cat(&[expand1, expand3], 1)?)
}
