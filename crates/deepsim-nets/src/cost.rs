//! Cost of networks, counted from their tables without building or running anything.
//!
//! A [`Pass`] walks the same rows that [`Stack`](crate::layers::Stack) builds, so that a count cannot differ
//! from the network:
//!
//! ```
//! use deepsim_nets::{AutoencoderConfig, ComparatorKind};
//! let autoencoder = AutoencoderConfig::default().cost(64)?;
//! assert_eq!(autoencoder.layers[0].name, "encoder.c1");
//! let conv3 = ComparatorKind::AlexNet.cost("CONV3", 64)?;
//! println!("{:.1} MFLOP, {} weights", conv3.flops() / 1e6, conv3.weights());
//! # Ok::<(), deepsim_nets::NetError>(())
//! ```

use serde::Serialize;

use crate::NetError;
use crate::layers::{Layer, Op};
use crate::sides::after;

/// Operation of a layer with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Convolution.
    Conv,
    /// Transposed convolution.
    UpConv,
    /// Fully connected layer: a convolution of a single pixel.
    Linear,
}

/// Shape and cost of a layer with weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// Name of its weights, without `.weight`.
    pub name: String,
    /// Operation.
    pub kind: LayerKind,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the square input in pixels.
    pub side: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride, or up-sampling factor.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Groups.
    pub groups: usize,
    /// True if there is a bias.
    pub bias: bool,
    /// True if the input is one of the network: no gradient of it is computed in training.
    pub first: bool,
    /// Nominal FLOPs of one forward pass over one image: every tap counts, those on the padding too. Each of the
    /// two gradients costs as many.
    pub flops: f64,
    /// Number of weights and biases.
    pub weights: usize,
}

/// Cost of one forward pass over one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pass {
    /// Layers with weights, in the order of the network.
    pub layers: Vec<LayerCost>,
    /// Floats that a backward pass needs: the inputs, and the outputs of all layers. An activation overwrites the
    /// output of its convolution; pooling, normalisation and dropout keep as many numbers again.
    pub activations: usize,
}

impl Pass {
    /// FLOPs of all layers.
    pub fn flops(&self) -> f64 {
        self.layers.iter().map(|layer| layer.flops).sum()
    }

    /// FLOPs of the layers that read an input of the network, which a gradient at that input would cost.
    pub fn first_flops(&self) -> f64 {
        self.layers.iter().filter(|layer| layer.first).map(|layer| layer.flops).sum()
    }

    /// Number of weights and biases.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights).sum()
    }

    /// Adds a table whose input is one of the network, with `prefix` before the names of its rows; returns the
    /// shape of its output.
    ///
    /// # Errors
    /// If a row does not fit its input.
    pub(crate) fn begin(
        &mut self,
        layers: &[Layer],
        prefix: &str,
        input: &[usize],
    ) -> Result<Vec<usize>, NetError> {
        self.activations += input.iter().product::<usize>();
        let from = self.layers.len();
        let output = self.extend(layers, prefix, input)?;
        if let Some(first) = self.layers.get_mut(from) {
            first.first = true;
        }
        Ok(output)
    }

    /// Adds a table whose input is the output of another one, as [`Pass::begin`].
    ///
    /// # Errors
    /// If a row does not fit its input.
    pub(crate) fn extend(
        &mut self,
        layers: &[Layer],
        prefix: &str,
        input: &[usize],
    ) -> Result<Vec<usize>, NetError> {
        let mut shape = input.to_vec();
        let mut convolution = false;
        for layer in layers {
            let output = after(layer.op, shape.clone()).ok_or_else(|| NetError::Shape {
                operation: "cost of a network",
                wanted: format!("an input that fits the layer {prefix}{}", layer.name),
                got: format!("{shape:?}"),
            })?;
            self.layers.extend(rows(layer, prefix, &shape, &output));
            self.activations += kept(layer.op, output.iter().product(), convolution);
            convolution = matches!(layer.op, Op::Conv(_) | Op::UpConv(_));
            shape = output;
        }
        Ok(shape)
    }
}

/// Floats that a layer keeps beside its input.
fn kept(op: Op, outputs: usize, after_convolution: bool) -> usize {
    match op {
        Op::Relu | Op::LeakyRelu(_) if after_convolution => 0,
        Op::Flatten(_) | Op::Unflatten { .. } => 0,
        Op::MaxPool(_) | Op::Lrn(_) | Op::Dropout(_) => 2 * outputs,
        // The squeezed maps, both expansions, and these side by side.
        Op::Fire { squeeze, expand, .. } => outputs * squeeze / (2 * expand) + 2 * outputs,
        Op::Conv(_)
        | Op::UpConv(_)
        | Op::Linear(..)
        | Op::Relu
        | Op::LeakyRelu(_)
        | Op::GlobalAvgPool
        | Op::ScaledTanh(_)
        | Op::Softmax => outputs,
    }
}

/// The convolutions of a row: one, none, or those of a fire module.
fn rows(layer: &Layer, prefix: &str, input: &[usize], output: &[usize]) -> Vec<LayerCost> {
    let mut channels = input.first().copied().unwrap_or(0);
    let (tensors, _) = layer.weights(&mut channels);
    let area = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
    let mut rows: Vec<LayerCost> = Vec::new();
    for (part, shape) in tensors {
        // A bias follows the weight that it belongs to.
        if let ([len], Some(row)) = (&shape[..], rows.last_mut()) {
            row.bias = true;
            row.weights += len;
            continue;
        }
        let (kind, stride, padding, groups) = match layer.op {
            Op::Conv(c) => (LayerKind::Conv, c.stride, c.padding, c.groups),
            Op::UpConv(c) => (LayerKind::UpConv, c.stride, c.padding, c.groups),
            Op::Fire { .. } => (LayerKind::Conv, 1, shape[2] / 2, 1),
            _ => (LayerKind::Linear, 1, 0, 1),
        };
        let (inputs, outputs, positions) = match kind {
            LayerKind::UpConv => (shape[0], shape[1] * groups, area(input)),
            LayerKind::Conv | LayerKind::Linear => (shape[1] * groups, shape[0], area(output)),
        };
        let weights: usize = shape.iter().product();
        rows.push(LayerCost {
            name: format!("{prefix}{}{}", layer.name, part.trim_end_matches(".weight")),
            kind,
            inputs,
            outputs,
            side: input.get(1).copied().unwrap_or(1),
            kernel: shape.get(2).copied().unwrap_or(1),
            stride,
            padding,
            groups,
            bias: false,
            first: false,
            flops: 2.0 * weights as f64 * positions as f64,
            weights,
        });
    }
    rows
}
