//! Weights of a table: names, shapes and initial values.

use super::{Layer, Op, wire};
use crate::init::Filler;

/// Initial values of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// Drawn by a filler.
    Drawn(Filler),
    /// The same number everywhere.
    Constant(f32),
}

/// Shape and initial values of one tensor of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorRow {
    /// Name, after that of the row: `.weight`.
    pub(crate) part: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: Start,
}

impl Layer {
    /// Tensors of the row for an input with `channels`.
    pub(crate) fn weights(&self, channels: usize) -> Vec<TensorRow> {
        let with_bias = |shape: Vec<usize>, out: usize, bias: bool, filler: Filler| {
            let weight = TensorRow { part: ".weight", shape, start: Start::Drawn(filler) };
            let constant = Start::Constant(filler.bias());
            let bias = bias.then(|| TensorRow { part: ".bias", shape: vec![out], start: constant });
            std::iter::once(weight).chain(bias).collect()
        };
        match self.op {
            Op::Conv(c) => {
                let shape = vec![c.out, channels / c.groups, c.kernel, c.kernel];
                with_bias(shape, c.out, c.bias, c.filler)
            }
            Op::UpConv(c) => {
                let shape = vec![channels, c.out / c.groups, c.kernel, c.kernel];
                with_bias(shape, c.out, c.bias, c.filler)
            }
            Op::Linear(out, filler) => with_bias(vec![out, channels], out, true, filler),
            Op::BatchNorm { .. } => {
                let parts = [
                    (".weight", 1.0),
                    (".bias", 0.0),
                    (".running_mean", 0.0),
                    (".running_var", 1.0),
                ];
                let row = |(part, value)| TensorRow {
                    part,
                    shape: vec![channels],
                    start: Start::Constant(value),
                };
                parts.map(row).into()
            }
            _ => Vec::new(),
        }
    }

    /// Names and shapes of the tensors of the row for an input with `channels`.
    pub(crate) fn tensors(&self, channels: usize) -> Vec<(String, Vec<usize>)> {
        let named = |row: TensorRow| (format!("{}{}", self.name, row.part), row.shape);
        self.weights(channels).into_iter().map(named).collect()
    }

    /// Channels of the output for inputs with these channels.
    pub(crate) fn channels(&self, inputs: &[usize]) -> usize {
        match self.op {
            Op::Conv(c) | Op::UpConv(c) => c.out,
            Op::Linear(out, _) => out,
            Op::Flatten(positions) => inputs[0] * positions,
            Op::Unflatten { channels, .. } => channels,
            Op::Concat => inputs.iter().sum(),
            _ => inputs[0],
        }
    }
}

/// Channels of the input of each row of a table, whose own input has `channels`.
pub(crate) fn input_channels(
    layers: &[Layer],
    wiring: &[Vec<usize>],
    channels: usize,
) -> Vec<usize> {
    let mut outputs = vec![channels];
    let mut inputs = Vec::with_capacity(layers.len());
    for (layer, from) in layers.iter().zip(wiring) {
        let read: Vec<usize> = from.iter().map(|row| outputs[*row]).collect();
        inputs.push(read[0]);
        outputs.push(layer.channels(&read));
    }
    inputs
}

/// Names and shapes of all weights of a table that can be wired, in its order, row by row.
pub(crate) fn tensors(layers: &[Layer], channels: usize) -> Vec<Vec<(String, Vec<usize>)>> {
    let wiring = wire(layers).expect("a checked table");
    let inputs = input_channels(layers, &wiring, channels);
    layers.iter().zip(inputs).map(|(layer, channels)| layer.tensors(channels)).collect()
}
