//! A table of layers with weights.

use candle_core::{Device, Tensor};
use deepsim_ops::{
    Conv2dConfig, Step, avg_pool2d, conv2d, dropout_each, global_avg_pool2d, leaky_relu, linear,
    relu, relu6, sequence,
};
use rand_chacha::ChaCha12Rng;

use super::weights::input_channels;
use super::{Layer, Op, wire};
use crate::params::ParamBuilder;
use crate::{NetError, Params};

/// A table of layers with weights.
#[derive(Clone, Debug)]
pub struct Stack {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    layer: Layer,
    weights: Vec<Tensor>,
    /// Positions of its inputs, as [`wire`] finds them.
    inputs: Vec<usize>,
}

impl Stack {
    /// Makes a network of a table, for an input with `channels` channels, and draws its weights: the same ones for
    /// the same name and seed. Returns the weights too, each called `{row}.weight` or `.bias`.
    ///
    /// # Errors
    /// If a row reads one that is not above it, or a weight cannot be allocated.
    pub fn new(
        layers: &[Layer],
        channels: usize,
        net: &str,
        seed: u64,
        device: &Device,
    ) -> Result<(Self, Params), NetError> {
        let mut builder = ParamBuilder::new(net, seed, device);
        let stack = Self::build(layers, channels, "", &mut builder)?;
        Ok((stack, builder.params))
    }

    /// Makes the weights of `layers` for an input with `channels` channels; each weight is called
    /// `{prefix}{row}.weight` or `.bias`.
    pub(crate) fn build(
        layers: &[Layer],
        channels: usize,
        prefix: &str,
        builder: &mut ParamBuilder<'_>,
    ) -> Result<Self, NetError> {
        let wiring = wire(layers)?;
        let channels = input_channels(layers, &wiring, channels);
        let mut rows = Vec::with_capacity(layers.len());
        for ((layer, inputs), channels) in layers.iter().zip(wiring).zip(channels) {
            let mut weights = Vec::new();
            for tensor in layer.weights(channels) {
                let name = format!("{prefix}{}{}", layer.name, tensor.part);
                weights.push(builder.tensor(name, &tensor.shape, tensor.start)?);
            }
            rows.push(Row { layer: layer.clone(), weights, inputs });
        }
        Ok(Self { rows })
    }

    /// The same weights (shared, not copied) without gradients: an optimiser step on the original
    /// is seen here, but a backward pass through this stack computes no weight gradient.
    pub fn frozen(&self) -> Self {
        let detach = |row: &Row| Row {
            weights: row.weights.iter().map(Tensor::detach).collect(),
            ..row.clone()
        };
        Self { rows: self.rows.iter().map(detach).collect() }
    }

    /// Computes batch normalisations within the convolutions before them, whose weights are copied for that. One
    /// that follows no convolution, or one whose output is read elsewhere or asked for, stays a row.
    ///
    /// # Errors
    /// If a weight cannot be computed.
    pub(crate) fn folded(mut self, asked_for: &[usize]) -> Result<Self, NetError> {
        for at in 1..self.rows.len() {
            let (above, below) = self.rows.split_at_mut(at);
            let (convolution, norm) = (&mut above[at - 1], &mut below[0]);
            let Op::BatchNorm { epsilon } = norm.layer.op else { continue };
            let Op::Conv(config) = &mut convolution.layer.op else { continue };
            let also_read = below[1..].iter().any(|row| row.inputs.contains(&at));
            if below[0].inputs != [at] || also_read || asked_for.contains(&(at - 1)) {
                continue;
            }
            let (scale, shift) = affine(&below[0].weights, epsilon)?;
            let weight = &convolution.weights[0];
            let folded = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
            let bias = match convolution.weights.get(1) {
                Some(bias) => ((bias * scale)? + shift)?,
                None => shift,
            };
            config.bias = true;
            convolution.weights = vec![folded, bias];
            below[0].weights.clear();
        }
        Ok(self)
    }

    /// Returns true if a row's output is not available, because the normalisation after it is computed with it.
    pub(crate) fn is_folded(&self, row: usize) -> bool {
        let next = self.rows.get(row + 1);
        next.is_some_and(|next| {
            matches!(next.layer.op, Op::BatchNorm { .. }) && next.weights.is_empty()
        })
    }

    /// The rows of the table.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.rows.iter().map(|row| &row.layer)
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
        match self.rows.len() {
            0 => Ok(x.clone()),
            rows => Ok(self.run(x, &[rows - 1], dropout_rngs)?.remove(0)),
        }
    }

    /// The outputs of some rows, in one pass and without dropout. `rows` are positions in the table,
    /// each greater than the one before it.
    ///
    /// # Errors
    /// If the input does not fit a row.
    pub fn forward_to(&self, x: &Tensor, rows: &[usize]) -> Result<Vec<Tensor>, NetError> {
        self.run(x, rows, None)
    }

    fn run(
        &self,
        x: &Tensor,
        wanted: &[usize],
        mut dropout_rngs: Option<&mut [ChaCha12Rng]>,
    ) -> Result<Vec<Tensor>, NetError> {
        let Some(&last) = wanted.last() else { return Ok(Vec::new()) };
        let rows = &self.rows[..=last];
        // The last row that reads each position; outputs that are asked for are kept to the end.
        let mut last_read = vec![0; rows.len() + 1];
        for (at, row) in rows.iter().enumerate() {
            row.inputs.iter().for_each(|input| last_read[*input] = at);
        }
        wanted.iter().for_each(|row| last_read[row + 1] = rows.len());
        // True if the row's output is read by the next row alone, so that both may run as one.
        let passes_on = |at: usize| {
            let next = rows.get(at + 1);
            last_read[at + 1] == at + 1 && next.is_some_and(|next| next.inputs == [at + 1])
        };
        let mut outputs: Vec<Option<Tensor>> = vec![None; rows.len() + 1];
        outputs[0] = Some(x.clone());
        let mut at = 0;
        while at < rows.len() {
            let inputs: Vec<Tensor> =
                rows[at].inputs.iter().filter_map(|i| outputs[*i].clone()).collect();
            // Spatial operations are run together, which is faster than one by one.
            let (steps, end) = steps(rows, at, passes_on);
            let output = match &steps[..] {
                [] => one(&rows[at], &inputs, dropout_rngs.as_deref_mut())?,
                steps => sequence(&inputs[0], steps)?,
            };
            at = end.max(at + 1);
            outputs[at] = Some(output);
            for (position, read) in last_read.iter().enumerate() {
                if *read < at && position < at {
                    outputs[position] = None;
                }
            }
        }
        Ok(wanted.iter().filter_map(|row| outputs[row + 1].clone()).collect())
    }
}

/// Spatial operations from row `at` on that run as one sequence, and the position after them. An activation after a
/// convolution is computed in the same pass.
fn steps(rows: &[Row], mut at: usize, passes_on: impl Fn(usize) -> bool) -> (Vec<Step>, usize) {
    let mut steps = Vec::new();
    loop {
        let row = &rows[at];
        let activation = rows.get(at + 1).filter(|_| passes_on(at)).map(|next| next.layer.op);
        let leaky = match (row.layer.op, activation) {
            (Op::Conv(_) | Op::UpConv(_), Some(Op::Relu)) => Some(0.0),
            (Op::Conv(_) | Op::UpConv(_), Some(Op::LeakyRelu(slope))) => Some(slope as f32),
            _ => None,
        };
        let weights = || (row.weights[0].clone(), row.weights.get(1).cloned());
        steps.push(match row.layer.op {
            Op::Conv(c) => {
                let ((weight, bias), config) = (weights(), c.config(leaky));
                Step::Conv2d { weight, bias, config }
            }
            Op::UpConv(c) => {
                let ((weight, bias), config) = (weights(), c.config(leaky));
                Step::ConvTranspose2d { weight, bias, config }
            }
            Op::MaxPool(config) => Step::MaxPool2d(config),
            Op::Lrn(config) => Step::LocalResponseNorm(config),
            _ => return (steps, at),
        });
        at += if leaky.is_some() { 2 } else { 1 };
        if at == rows.len() || !passes_on(at - 1) {
            return (steps, at);
        }
    }
}

/// Runs a row that is no part of a sequence.
fn one(
    row: &Row,
    inputs: &[Tensor],
    dropout_rngs: Option<&mut [ChaCha12Rng]>,
) -> Result<Tensor, NetError> {
    let (x, w) = (&inputs[0], &row.weights);
    Ok(match row.layer.op {
        Op::Conv(_) | Op::UpConv(_) | Op::MaxPool(_) | Op::Lrn(_) => x.clone(),
        Op::Linear(..) => linear(x, &w[0], w.get(1))?,
        Op::BatchNorm { .. } if w.is_empty() => x.clone(),
        Op::BatchNorm { epsilon } => normalised(x, w, epsilon)?,
        Op::Relu => relu(x)?,
        Op::Relu6 => relu6(x)?,
        Op::LeakyRelu(slope) => leaky_relu(x, slope)?,
        Op::AvgPool(config) => avg_pool2d(x, config)?,
        Op::GlobalAvgPool => global_avg_pool2d(x)?,
        Op::Pad { top, bottom, left, right } => {
            x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?
        }
        Op::Flatten(_) => x.flatten_from(1)?,
        Op::Unflatten { channels, side } => x.reshape(((), channels, side, side))?,
        Op::ScaledTanh(factor) => (x.tanh()? * factor)?,
        Op::Softmax => softmax(x)?,
        Op::Dropout(p) => match dropout_rngs {
            Some(rngs) => dropout_each(x, p, rngs)?,
            None => x.clone(),
        },
        Op::Add => (x + &inputs[1])?,
        Op::Concat => Tensor::cat(inputs, 1)?,
    })
}

/// Scale and shift of each channel that a batch normalisation with running statistics amounts to.
fn affine(weights: &[Tensor], epsilon: f64) -> Result<(Tensor, Tensor), NetError> {
    let [weight, bias, mean, variance] = weights else {
        return Err(candle_core::Error::Msg("batch norm: expected 4 weights".into()).into());
    };
    let scale = (weight / (variance.detach() + epsilon)?.sqrt()?)?;
    let shift = (bias - (mean.detach() * &scale)?)?;
    Ok((scale, shift))
}

/// Batch normalisation with running statistics: a 1x1 convolution of each channel.
fn normalised(x: &Tensor, weights: &[Tensor], epsilon: f64) -> Result<Tensor, NetError> {
    let (scale, shift) = affine(weights, epsilon)?;
    let channels = scale.elem_count();
    let each = Conv2dConfig::default().with_groups(channels);
    Ok(conv2d(x, &scale.reshape((channels, 1, 1, 1))?, Some(&shift), each)?)
}

fn softmax(x: &Tensor) -> Result<Tensor, NetError> {
    let last = x.rank() - 1;
    let exponentials = x.broadcast_sub(&x.max_keepdim(last)?.detach())?.exp()?;
    Ok(exponentials.broadcast_div(&exponentials.sum_keepdim(last)?)?)
}
