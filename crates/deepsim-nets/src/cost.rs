//! Cost of networks, counted from their tables without building or running anything.
//!
//! A [`Pass`] walks the same rows that [`Stack`](crate::layers::Stack) builds, so that a count cannot differ
//! from the network:
//!
//! ```
//! use deepsim_nets::{AutoencoderConfig, ComparatorKind};
//! let autoencoder = AutoencoderConfig::default().cost(64)?;
//! assert_eq!(autoencoder.layers[0].name, "encoder.c1");
//! let conv3 = ComparatorKind::alexnet().cost("CONV3", 64)?;
//! println!("{:.1} MFLOP, {} weights", conv3.flops() / 1e6, conv3.weights());
//! # Ok::<(), deepsim_nets::NetError>(())
//! ```

use serde::Serialize;

use crate::NetError;
use crate::layers::{Layer, Op, wire};
use crate::sides::shapes;

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
    /// True if the input is the network's own: training computes no gradient for it.
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
        let wiring = wire(layers)?;
        let shapes = shapes(layers, &wiring, input).map_err(|(row, found)| NetError::Shape {
            operation: "cost of a network",
            wanted: format!("an input that fits the layer {prefix}{}", layers[row].name),
            got: format!("{found:?}"),
        })?;
        for (row, (layer, from)) in layers.iter().zip(&wiring).enumerate() {
            let (input, output) = (&shapes[from[0]], &shapes[row + 1]);
            self.layers.extend(cost(layer, prefix, input, output));
            let above = from[0].checked_sub(1).map(|above| layers[above].op);
            let convolution = matches!(above, Some(Op::Conv(_) | Op::UpConv(_)));
            self.activations += kept(layer.op, output.iter().product(), convolution);
        }
        Ok(shapes.last().cloned().unwrap_or_default())
    }
}

/// Floats that a layer keeps beside its input.
fn kept(op: Op, outputs: usize, after_convolution: bool) -> usize {
    match op {
        Op::Relu | Op::LeakyRelu(_) if after_convolution => 0,
        Op::Flatten(_) | Op::Unflatten { .. } => 0,
        Op::MaxPool(_) | Op::Lrn(_) | Op::Dropout(_) => 2 * outputs,
        // Computed within the convolution before it.
        Op::BatchNorm { .. } if after_convolution => 0,
        Op::Conv(_)
        | Op::UpConv(_)
        | Op::Linear(..)
        | Op::BatchNorm { .. }
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu(_)
        | Op::AvgPool(_)
        | Op::Pad { .. }
        | Op::Add
        | Op::Concat
        | Op::GlobalAvgPool
        | Op::ScaledTanh(_)
        | Op::Softmax => outputs,
    }
}

/// Cost of a row that is a convolution or fully connected layer.
fn cost(layer: &Layer, prefix: &str, input: &[usize], output: &[usize]) -> Option<LayerCost> {
    let area = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
    let (kind, bias, stride, padding, groups, positions) = match layer.op {
        Op::Conv(c) => (LayerKind::Conv, c.bias, c.stride, c.padding, c.groups, area(output)),
        Op::UpConv(c) => (LayerKind::UpConv, c.bias, c.stride, c.padding, c.groups, area(input)),
        Op::Linear(..) => (LayerKind::Linear, true, 1, 0, 1, 1),
        _ => return None,
    };
    let tensors = layer.weights(input[0]);
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let kernel = &tensors[0].shape;
    Some(LayerCost {
        name: format!("{prefix}{}", layer.name),
        kind,
        inputs: input[0],
        outputs: output[0],
        side: input.get(1).copied().unwrap_or(1),
        kernel: kernel.get(2).copied().unwrap_or(1),
        stride,
        padding,
        groups,
        bias,
        first: false,
        flops: 2.0 * count(kernel) as f64 * positions as f64,
        weights: tensors.iter().map(|tensor| count(&tensor.shape)).sum(),
    })
}
