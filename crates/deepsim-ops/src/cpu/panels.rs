//! Weights in the kernels' layout: panels of one or two vectors of output channels.
//!
//! A panel holds, for each tap and each source channel, its output channels side by side. Missing
//! channels in the last panel of a group are 0.

use rayon::prelude::*;

use super::axis::Axis;
use super::buffer::Buffer;
use super::conv::ConvShape;
use super::simd::{Isa, on_vectors};

/// Output channels of one group that share a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) group: usize,
    /// First channel, counted over all groups.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    /// 1 or 2.
    pub(crate) vectors: usize,
    /// First float of the panel.
    pub(crate) at: usize,
}

/// Panels of one convolution.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    pub(crate) list: Vec<Panel>,
    /// Source channels of a group.
    pub(crate) depth: usize,
    /// Instruction set of the panels' kernels.
    isa: Isa,
    /// Floats in a vector.
    pub(crate) lanes: usize,
    taps: usize,
    len: usize,
}

impl Panels {
    /// Creates panels for `groups` of `out` output and `depth` source channels.
    pub(crate) fn new(groups: usize, out: usize, depth: usize, taps: usize, isa: Isa) -> Self {
        let lanes = isa.lanes();
        let (mut list, mut at) = (Vec::new(), 0);
        for group in 0..groups {
            for first in (0..out).step_by(2 * lanes) {
                let channels = (out - first).min(2 * lanes);
                let vectors = channels.div_ceil(lanes);
                list.push(Panel { group, first: group * out + first, channels, vectors, at });
                at += vectors * lanes * depth * taps;
            }
        }
        Self { list, depth, isa, lanes, taps, len: at }
    }

    /// Returns the number of floats in all panels.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of floats in one panel.
    pub(crate) fn panel_len(&self, panel: &Panel) -> usize {
        panel.vectors * self.lanes * self.depth * self.taps
    }

    /// Cuts `values` into panels.
    pub(super) fn split<'a>(&self, mut values: &'a mut [f32]) -> Vec<(Panel, &'a mut [f32])> {
        let cut = |panel: &Panel| {
            let (part, rest) = std::mem::take(&mut values).split_at_mut(self.panel_len(panel));
            values = rest;
            (*panel, part)
        };
        self.list.iter().map(cut).collect()
    }
}

/// Packs the weights `(c_out, c_in / groups, kh, kw)` of a convolution whose taps are those of
/// `rows` and `columns`, for computing its outputs, or its inputs if `adjoint`.
pub(crate) fn pack(
    s: &ConvShape,
    (rows, columns): (&Axis, &Axis),
    adjoint: bool,
    panels: &Panels,
    w: &[f32],
) -> Buffer {
    let kernel = s.kh * s.kw;
    // Floats between channels of the panel, and between channels of the source.
    let (lane, depth) =
        if adjoint { (kernel, s.group_in() * kernel) } else { (s.group_in() * kernel, kernel) };
    let out = if adjoint { s.group_in() } else { s.group_out() };
    let mut packed = Buffer::new(panels.len());
    panels.split(&mut packed).into_par_iter().for_each(|(panel, packed)| {
        let width = panel.vectors * panels.lanes;
        if panel.channels < width {
            packed.fill(0.0);
        }
        let group = panel.group * s.group_out() * s.group_in() * kernel;
        let first = group + (panel.first - panel.group * out) * lane;
        if !adjoint && rows.taps * columns.taps == kernel {
            // Every weight is needed, and those of a channel are contiguous.
            return pack_rows(panels, &panel, kernel, &w[first..], packed);
        }
        let places = (0..rows.taps).flat_map(|t| (0..columns.taps).map(move |u| (t, u)));
        let taps = places.filter_map(|(t, u)| {
            let tap = rows.kernel(t, 0)? * s.kw + columns.kernel(u, 0)?;
            Some((t * columns.taps + u, tap))
        });
        let taps: Vec<(usize, usize)> = taps.collect();
        for c in 0..panels.depth {
            let w = &w[first + c * depth..];
            let place = |place: usize| (place * panels.depth + c) * width;
            let whole = if adjoint { panel.channels / panels.lanes * panels.lanes } else { 0 };
            let squares = pack_squares(panels, (kernel, whole), &taps, w, place, packed);
            for &(at, tap) in &taps {
                let to = place(at);
                if squares < panel.channels {
                    let to = &mut packed[to + squares..to + panel.channels];
                    gather(&w[squares * lane + tap..], lane, to);
                }
            }
        }
    });
    packed
}

/// Transposes the rows `(depth, kernel)` of a panel's channels to `(kernel, depth, channel)`, in
/// squares of channels and weights.
fn pack_rows(panels: &Panels, panel: &Panel, kernel: usize, w: &[f32], packed: &mut [f32]) {
    let (isa, lanes, depth) = (panels.isa, panels.lanes, panels.depth);
    let (row, width) = (depth * kernel, panel.vectors * lanes);
    let place = |at: usize| (at % kernel * depth + at / kernel) * width;
    let mut square = [0f32; 16 * 16];
    let whole = row / lanes * lanes;
    for channel in (0..panel.channels / lanes * lanes).step_by(lanes) {
        for start in (0..whole).step_by(lanes) {
            let from = &w[channel * row + start..];
            assert!((lanes - 1) * row + lanes <= from.len(), "the last row is there");
            // SAFETY: the instruction set was detected; the square lies in the rows.
            unsafe { transpose_square(isa, from.as_ptr(), square.as_mut_ptr(), (row, lanes)) };
            for (i, values) in square.chunks_exact(lanes).take(lanes).enumerate() {
                packed[place(start + i) + channel..][..lanes].copy_from_slice(values);
            }
        }
    }
    // The rest of the rows, then channels that fill no vector.
    for at in 0..row {
        let first = if at < whole { panel.channels / lanes * lanes } else { 0 };
        let to = &mut packed[place(at) + first..place(at) + panel.channels];
        if !to.is_empty() {
            gather(&w[first * row + at..], row, to);
        }
    }
}

/// Transposes the weights `(channel, kernel)` of an output to the places of their taps, in squares of channels and
/// weights; returns the number of channels that are done, of `whole` vectors of them.
fn pack_squares(
    panels: &Panels,
    (kernel, whole): (usize, usize),
    taps: &[(usize, usize)],
    w: &[f32],
    place: impl Fn(usize) -> usize,
    packed: &mut [f32],
) -> usize {
    let lanes = panels.lanes;
    let mut square = [0f32; 16 * 16];
    for channel in (0..whole).step_by(lanes) {
        for start in (0..kernel).step_by(lanes) {
            let from = &w[channel * kernel + start..];
            if from.len() < (lanes - 1) * kernel + lanes {
                // The last rows of squares would reach beyond the last weight.
                return channel;
            }
            // SAFETY: the instruction set was detected; the square lies in the weights.
            unsafe {
                let strides = (kernel, lanes);
                transpose_square(panels.isa, from.as_ptr(), square.as_mut_ptr(), strides);
            }
            for &(at, tap) in taps {
                if (start..start + lanes).contains(&tap) {
                    let to = place(at) + channel;
                    packed[to..to + lanes]
                        .copy_from_slice(&square[(tap - start) * lanes..][..lanes]);
                }
            }
        }
    }
    whole
}

on_vectors! {
    unsafe fn transpose_square<V>(from: *const f32, to: *mut f32, strides: (usize, usize)) {
        // SAFETY: passed on to the caller.
        unsafe { V::transpose(from, to, strides) }
    }
}

/// Every `stride`-th value.
#[inline(always)]
fn gather(from: &[f32], stride: usize, to: &mut [f32]) {
    if stride == 1 {
        return to.copy_from_slice(&from[..to.len()]);
    }
    assert!((to.len() - 1) * stride < from.len(), "the last value is there");
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: i is at most that of the last value.
        *to = unsafe { *from.get_unchecked(i * stride) };
    }
}

/// Does as [`pack`] for the one panel whose channels are those of a block of neighbouring columns.
pub(crate) fn pack_block(
    s: &ConvShape,
    (rows, columns): (&Axis, &Axis),
    adjoint: bool,
    panels: &Panels,
    w: &[f32],
) -> Buffer {
    let mut packed = Buffer::new(panels.len());
    packed.fill(0.0);
    let channels = if adjoint { s.c_in } else { s.c_out };
    let [panel] = panels.list[..] else { return packed };
    let width = panel.vectors * panels.lanes;
    for (t, u) in (0..rows.taps).flat_map(|t| (0..columns.taps).map(move |u| (t, u))) {
        for position in 0..columns.block {
            let tap = rows.kernel(t, 0).zip(columns.kernel(u, position));
            let Some((ky, kx)) = tap else { continue };
            for c in 0..panels.depth {
                let to = ((t * columns.taps + u) * panels.depth + c) * width + position * channels;
                for (channel, value) in packed[to..to + channels].iter_mut().enumerate() {
                    let (o, i) = if adjoint { (c, channel) } else { (channel, c) };
                    *value = w[((o * s.c_in + i) * s.kh + ky) * s.kw + kx];
                }
            }
        }
    }
    packed
}

/// Inverts [`pack`] for a forward convolution: gradients in panels to `(c_out, ..)`.
pub(crate) fn unpack(s: &ConvShape, panels: &Panels, packed: &[f32]) -> Vec<f32> {
    let (kernel, patch) = (s.kh * s.kw, s.patch());
    let mut w = vec![0f32; s.w_len()];
    let mut rest = w.as_mut_slice();
    let mut parts = Vec::with_capacity(panels.list.len());
    for panel in &panels.list {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(panel.channels * patch);
        parts.push((panel, part));
        rest = after;
    }
    parts.into_par_iter().for_each(|(panel, w)| {
        let (isa, lanes) = (panels.isa, panels.lanes);
        let width = panel.vectors * lanes;
        let place = |at: usize| panel.at + (at % kernel * panels.depth + at / kernel) * width;
        let mut square = [0f32; 16 * 16];
        let whole = patch / lanes * lanes;
        let full = panel.channels / lanes * lanes;
        for channel in (0..full).step_by(lanes) {
            for start in (0..whole).step_by(lanes) {
                for (i, row) in square.chunks_exact_mut(lanes).take(lanes).enumerate() {
                    row.copy_from_slice(&packed[place(start + i) + channel..][..lanes]);
                }
                let to = &mut w[channel * patch + start..];
                assert!((lanes - 1) * patch + lanes <= to.len(), "the last row is there");
                // SAFETY: the instruction set was detected; the square lies in the rows of its channels.
                unsafe {
                    transpose_square(isa, square.as_ptr(), to.as_mut_ptr(), (lanes, patch));
                }
            }
        }
        // The rest of the rows, and channels that fill no vector.
        for (channel, row) in w.chunks_exact_mut(patch).enumerate() {
            let first = if channel < full { whole } else { 0 };
            for (at, value) in row.iter_mut().enumerate().skip(first) {
                *value = packed[place(at) + channel];
            }
        }
    });
    w
}
