//! One convolution and its gradients, on channels-last images `(n, h, w, c)`.
//!
//! Every function refers to one convolution from `x (n, h, w, c_in)` to `y (n, oh, ow, c_out)` with
//! weights `(c_out, c_in / groups, kh, kw)`; a transposed convolution is the same with the roles of
//! `x` and `y` exchanged.

use rayon::prelude::*;

use super::axis::Axis;
use super::buffer::Buffer;
use super::correlate::{Correlation, Finish, run};
use super::elementwise;
use super::linear::Linear;
use super::panels::{Panels, pack, pack_block};
use super::simd::Isa;
use super::winograd;
use crate::flops::count;

/// Sizes of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) n: usize,
    pub(crate) c_in: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c_out: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) sh: usize,
    pub(crate) sw: usize,
    pub(crate) ph: usize,
    pub(crate) pw: usize,
    /// Source pixels between neighbouring taps.
    pub(crate) dh: usize,
    pub(crate) dw: usize,
    pub(crate) groups: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
}

impl ConvShape {
    pub(crate) fn group_in(&self) -> usize {
        self.c_in / self.groups
    }

    pub(crate) fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    /// Rows of the patch matrix of one group.
    pub(crate) fn patch(&self) -> usize {
        self.group_in() * self.kh * self.kw
    }

    /// Floating-point operations of one pass; the adjoint and the gradient to the weights take as many.
    pub(crate) fn flops(&self) -> usize {
        2 * self.n * self.y_len() * self.patch()
    }

    pub(crate) fn x_len(&self) -> usize {
        self.c_in * self.h * self.w
    }

    pub(crate) fn y_len(&self) -> usize {
        self.c_out * self.oh * self.ow
    }

    pub(crate) fn w_len(&self) -> usize {
        self.c_out * self.patch()
    }
}

/// `y = conv(x, w) + bias`, then a leaky ReLU; every element of `y` is written.
pub(crate) fn forward(
    s: &ConvShape,
    isa: Isa,
    x: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    y: &mut [f32],
) {
    count(s.flops());
    if let Some(l) = Linear::of(s) {
        return l.forward(isa, x, w, finish, y);
    }
    if let Some(algorithm) = winograd::suited(s, false) {
        return winograd::run(s, algorithm, isa, false, x, w, finish, y);
    }
    let rows = Axis::forward(s.h, s.kh, s.sh, s.ph, s.oh, s.dh);
    let plain = Axis::forward(s.w, s.kw, s.sw, s.pw, s.ow, s.dw);
    let blocks = |block| Axis::forward_in_blocks(s.w, s.kw, s.sw, s.pw, s.ow, block);
    let columns = best_columns(s, isa, s.c_out, plain, s.kw, 1, blocks);
    correlate(s, isa, false, &[(rows, columns)], x, w, finish, y);
}

/// `x = convᵀ(y, w) + bias`, then a leaky ReLU: the gradient of [`forward`] to its input, and the
/// transposed convolution; every element of `x` is written.
pub(crate) fn backward_data(
    s: &ConvShape,
    isa: Isa,
    y: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    x: &mut [f32],
) {
    count(s.flops());
    if let Some(l) = Linear::of(s) {
        return l.backward_data(isa, y, w, finish, x);
    }
    if let Some(algorithm) = winograd::suited(s, true) {
        return winograd::run(s, algorithm, isa, true, y, w, finish, x);
    }
    // Each phase of the stride makes its own pixels of x; only phases that have pixels, since a
    // stride may be much larger than the image.
    let phases = |size: usize, stride: usize, padding: usize| {
        (0..stride.min(size)).map(move |position| (position + padding) % stride)
    };
    let column = |b| Axis::adjoint(s.w, s.kw, s.sw, s.pw, s.ow, s.dw, b);
    let blocks = |block| Axis::adjoint_in_blocks(s.w, s.kw, s.sw, s.pw, s.ow, block);
    let best = best_columns(s, isa, s.c_in, column(0), s.kw.div_ceil(s.sw), s.sw, blocks);
    let columns: Vec<Axis> = match best.block {
        1 => phases(s.w, s.sw, s.pw).map(column).collect(),
        _ => vec![best],
    };
    let mut axes = Vec::new();
    for a in phases(s.h, s.sh, s.ph) {
        let rows = Axis::adjoint(s.h, s.kh, s.sh, s.ph, s.oh, s.dh, a);
        axes.extend(columns.iter().map(|columns| (rows, *columns)));
    }
    correlate(s, isa, true, &axes, y, w, finish, x);
}

/// Chooses between columns one by one, and blocks of columns if the channels of one would leave vectors too empty.
///
/// `channels` and `taps` are those of a column; blocks are multiples of `step` columns.
fn best_columns(
    s: &ConvShape,
    isa: Isa,
    channels: usize,
    plain: Axis,
    taps: usize,
    step: usize,
    blocks: impl Fn(usize) -> Axis,
) -> Axis {
    let (lanes, size) = (isa.lanes(), plain.size);
    if s.groups > 1 || s.dw > 1 || channels > lanes / 2 {
        return plain;
    }
    // Vector operations for each column; a single vector cannot hide all loads.
    let vectors = |channels: usize| if channels <= lanes { 1.1 } else { 2.0 };
    let mut best = (plain, taps as f64 * vectors(channels));
    for block in (step..=2 * lanes / channels).step_by(step).filter(|block| *block > 1) {
        let axis = blocks(block);
        let operations = axis.taps as f64 * vectors(block * channels);
        let cost = operations * axis.count as f64 / size as f64;
        if cost < best.1 {
            best = (axis, cost);
        }
    }
    best.0
}

/// Computes the sums along some pairs of axes, which write different places of the destination.
pub(super) fn correlate(
    s: &ConvShape,
    isa: Isa,
    adjoint: bool,
    axes: &[(Axis, Axis)],
    source: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    destination: &mut [f32],
) {
    let (group_in, group_out) = (s.group_in(), s.group_out());
    let (depth, out) = if adjoint { (group_out, group_in) } else { (group_in, group_out) };
    let channels = if adjoint { (s.c_out, s.c_in) } else { (s.c_in, s.c_out) };
    let correlations: Vec<Correlation> = axes
        .par_iter()
        .filter(|(rows, columns)| rows.count > 0 && columns.count > 0)
        .map(|&(rows, columns)| {
            let taps = rows.taps * columns.taps;
            let panels = Panels::new(s.groups, out * columns.block, depth, taps, isa);
            let pack = if columns.block > 1 { pack_block } else { pack };
            let weights = pack(s, (&rows, &columns), adjoint, &panels, w);
            Correlation { rows, columns, channels, panels, weights, finish }
        })
        .collect();
    run(&correlations, isa, s.n, source, destination);
}

/// Adds partial sums to the first one in order, so that the result does not depend on which thread computed
/// them.
pub(super) fn add_in_order(isa: Isa, sums: &mut [Buffer]) {
    const CHUNK: usize = 4096;
    let Some((first, rest)) = sums.split_first_mut() else { return };
    first.par_chunks_mut(CHUNK).enumerate().for_each(|(i, total)| {
        for sum in rest.iter() {
            elementwise::add(isa, total, &sum[i * CHUNK..]);
        }
    });
}
