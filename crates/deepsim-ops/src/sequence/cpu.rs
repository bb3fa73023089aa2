//! Forward and backward pass of a sequence on the CPU.

use candle_core::{Result, Tensor};

use super::{Kind, Layer, Sequence};
use crate::cpu::buffer::Buffer;
use crate::cpu::correlate::Finish;
use crate::cpu::simd::Isa;
use crate::cpu::weight_gradient::{backward_bias, backward_weight};
use crate::cpu::{conv, elementwise, layout, lrn, pool};
use crate::glue::with;

/// Maps kept by a forward pass for the backward pass, channels-last.
pub(super) struct Saved {
    /// The input, then the output of every layer.
    maps: Vec<Buffer>,
    extras: Vec<Extra>,
}

/// Further values that a layer keeps for its backward pass.
enum Extra {
    None,
    /// Source of each maximum.
    From(Vec<u32>),
    /// Denominators of a normalisation.
    Scale(Buffer),
}

/// Calls `f` with the values of an optional tensor.
fn with_some<R>(
    op: &'static str,
    tensor: Option<&Tensor>,
    f: impl FnOnce(Option<&[f32]>) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => with(op, tensor, |values| f(Some(values))),
        None => f(None),
    }
}

impl Sequence {
    /// Returns the result, channels-first.
    pub(super) fn forward(&self, x: &[f32]) -> Result<(Vec<f32>, Option<Saved>)> {
        let isa = Isa::best();
        let mut map = Buffer::new(x.len());
        match self.layers.first() {
            Some(Layer { input: [_, c, h, w], .. }) => {
                layout::transpose(isa, x, *c, h * w, &mut map)
            }
            None => map.copy_from_slice(x),
        }
        let (mut maps, mut extras) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let (y, extra) = self.layer_forward(isa, layer, &map)?;
            let x = std::mem::replace(&mut map, y);
            if self.keep {
                maps.push(x);
                extras.push(extra);
            }
        }
        let mut y = vec![0f32; map.len()];
        match self.layers.last() {
            Some(Layer { output: [_, c, h, w], .. }) => {
                layout::transpose(isa, &map, h * w, *c, &mut y)
            }
            None => y.copy_from_slice(&map),
        }
        maps.push(map);
        Ok((y, self.keep.then_some(Saved { maps, extras })))
    }

    fn layer_forward(&self, isa: Isa, layer: &Layer, x: &[f32]) -> Result<(Buffer, Extra)> {
        let [n, c, h, w] = layer.output;
        Ok(match &layer.kind {
            Kind::Conv { shape, transposed, weight, bias, slope } => {
                let mut y = Buffer::new(n * c * h * w);
                with(self.op, self.parameters.get(*weight), |w| {
                    let bias = bias.map(|bias| self.parameters.get(bias));
                    with_some(self.op, bias, |bias| {
                        let finish = Finish { bias, leaky: *slope, gate: None };
                        if *transposed {
                            conv::backward_data(shape, isa, x, w, finish, &mut y);
                        } else {
                            conv::forward(shape, isa, x, w, finish, &mut y);
                        }
                        Ok(())
                    })
                })?;
                (y, Extra::None)
            }
            Kind::LeakyRelu(slope) => {
                let mut y = Buffer::new(x.len());
                y.copy_from_slice(x);
                elementwise::gate(isa, &mut y, x, *slope);
                (y, Extra::None)
            }
            Kind::MaxPool(shape) => {
                let (y, from) = pool::max_forward(shape, isa, x);
                (y, Extra::From(from))
            }
            Kind::Lrn(config) => {
                let (y, scale) = lrn::forward(*config, isa, x, c);
                (y, Extra::Scale(scale))
            }
            Kind::Mean => {
                let [_, _, h, w] = layer.input;
                (pool::mean_forward(x, c, h * w), Extra::None)
            }
        })
    }

    /// Stores the gradients of the parameters with them; returns that of the input if `wanted`.
    pub(super) fn backward(
        &self,
        saved: &Saved,
        dy: &[f32],
        wanted: bool,
    ) -> Result<Option<Vec<f32>>> {
        let isa = Isa::best();
        let mut gradient = Buffer::new(dy.len());
        match self.layers.last() {
            Some(Layer { output: [_, c, h, w], .. }) => {
                layout::transpose(isa, dy, *c, h * w, &mut gradient);
            }
            None => gradient.copy_from_slice(dy),
        }
        // Layers from this one on are followed by something that needs a gradient.
        let needed = |layer: &Layer| match &layer.kind {
            Kind::Conv { weight, bias, .. } => {
                self.parameters.is_tracked(*weight)
                    || bias.is_some_and(|bias| self.parameters.is_tracked(bias))
            }
            _ => false,
        };
        let end = match wanted {
            true => 0,
            false => self.layers.iter().position(needed).unwrap_or(self.layers.len()),
        };
        let mut gated = false;
        for (i, layer) in self.layers.iter().enumerate().skip(end).rev() {
            if let Some(slope) = layer.kind.slope().filter(|_| !gated) {
                elementwise::gate(isa, &mut gradient, &saved.maps[i + 1], slope);
            }
            let (x, goes_on) = (&saved.maps[i], wanted || i > end);
            self.leave_gradients(isa, layer, x, &gradient)?;
            if !goes_on {
                break;
            }
            // A convolution applies the rectifier before it while its result is in the cache.
            let before = i.checked_sub(1).and_then(|before| self.layers[before].kind.slope());
            let gate = before.map(|slope| (&x[..], slope));
            gated = matches!(layer.kind, Kind::Conv { .. }) && gate.is_some();
            let extra = &saved.extras[i];
            if let Some(dx) = self.layer_backward(isa, layer, x, extra, &gradient, gate)? {
                gradient = dx;
            }
        }
        if !wanted {
            return Ok(None);
        }
        let mut dx = vec![0f32; gradient.len()];
        match self.layers.first() {
            Some(Layer { input: [_, c, h, w], .. }) => {
                layout::transpose(isa, &gradient, h * w, *c, &mut dx);
            }
            None => dx.copy_from_slice(&gradient),
        }
        Ok(Some(dx))
    }

    fn leave_gradients(&self, isa: Isa, layer: &Layer, x: &[f32], dy: &[f32]) -> Result<()> {
        let Kind::Conv { shape, transposed, weight, bias, .. } = &layer.kind else { return Ok(()) };
        if self.parameters.is_tracked(*weight) {
            let (from, to) = if *transposed { (dy, x) } else { (x, dy) };
            self.parameters.leave(*weight, backward_weight(shape, isa, from, to))?;
        }
        if let Some(bias) = bias.filter(|bias| self.parameters.is_tracked(*bias)) {
            self.parameters.leave(bias, backward_bias(isa, dy, layer.output[1]))?;
        }
        Ok(())
    }

    /// Returns the gradient to the layer's input; `None` if it equals the one to its output.
    fn layer_backward(
        &self,
        isa: Isa,
        layer: &Layer,
        x: &[f32],
        extra: &Extra,
        dy: &[f32],
        gate: Option<(&[f32], f32)>,
    ) -> Result<Option<Buffer>> {
        let [_, c, h, w] = layer.input;
        Ok(match (&layer.kind, extra) {
            (Kind::Conv { shape, transposed, weight, .. }, _) => {
                let mut dx = Buffer::new(x.len());
                let finish = Finish { gate, ..Finish::default() };
                with(self.op, self.parameters.get(*weight), |w| {
                    if *transposed {
                        conv::forward(shape, isa, dy, w, finish, &mut dx);
                    } else {
                        conv::backward_data(shape, isa, dy, w, finish, &mut dx);
                    }
                    Ok(())
                })?;
                Some(dx)
            }
            (Kind::MaxPool(shape), Extra::From(from)) => {
                Some(pool::max_backward(shape, isa, from, dy))
            }
            (Kind::Lrn(config), Extra::Scale(scale)) => {
                Some(lrn::backward(*config, isa, x, scale, dy, c))
            }
            (Kind::Mean, _) => Some(pool::mean_backward(dy, c, h * w)),
            // Rectifiers work in place, before this; the others keep what they need.
            _ => None,
        })
    }
}
