//! Convolution and its gradient to the input, tile by tile.

use std::ops::Range;

use rayon::prelude::*;

use super::grid::Grid;
use super::transform::{gather_output, spread_input, spread_weights};
use super::{Algorithm, GAP, MOST, cheapest, tiles};
use crate::cpu::axis::Axis;
use crate::cpu::buffer::Buffer;
use crate::cpu::conv::ConvShape;
use crate::cpu::correlate::{Destination, Finish, leak};
use crate::cpu::kernel::{self, Kernels, Segment, Sum};
use crate::cpu::panels::{Panels, pack};
use crate::cpu::simd::Isa;

/// Floats of a unit's transformed tiles, so that they stay in the second-level cache.
const UNIT: usize = 160 * 1024;
/// Most channels that are summed where a tile of 7 keeps its digits.
const DEEP: usize = 64;
/// Floats of the widest vector.
const LANES: usize = 16;

/// Returns the algorithm that computes a convolution, or its adjoint, fastest, `None` for the direct one. It does not
/// depend on the number of images, so that nothing that is made of an image depends on its batch.
pub(in super::super) fn suited(s: &ConvShape, adjoint: bool) -> Option<Algorithm> {
    cheapest(s, algorithms(s, adjoint))
}

/// Returns all algorithms for a convolution, or its adjoint, and how many tiles an image then has.
pub(in super::super) fn algorithms(
    s: &ConvShape,
    adjoint: bool,
) -> impl Iterator<Item = (Algorithm, usize)> {
    let depth = if adjoint { s.group_out() } else { s.group_in() };
    let most = if depth <= DEEP { 7 } else { 6 };
    let (rows, columns) = outputs(s, adjoint);
    tiles(s).filter_map(move |(tile, taps)| {
        let made = (tile + 1).checked_sub(taps).filter(|made| *made > 1 && tile <= most)?;
        Some((Algorithm { tile, taps }, rows.1.div_ceil(made) * columns.1.div_ceil(made)))
    })
}

/// First row and column of the outputs in their sub-images, and the number of each.
fn outputs(s: &ConvShape, adjoint: bool) -> ((usize, usize), (usize, usize)) {
    let axis = |size: usize, stride: usize, padding: usize, count: usize| {
        let first = padding / stride;
        if adjoint { (first, (size - 1 + padding) / stride + 1 - first) } else { (0, count) }
    };
    (axis(s.h, s.sh, s.ph, s.oh), axis(s.w, s.sw, s.pw, s.ow))
}

/// Computes all outputs of a convolution, or of its adjoint.
pub(in super::super) fn run(
    s: &ConvShape,
    algorithm: Algorithm,
    isa: Isa,
    adjoint: bool,
    source: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    destination: &mut [f32],
) {
    let pass = Pass::new(s, isa, adjoint, w, finish);
    pass.check(source, destination);
    let destination = Destination(destination.as_mut_ptr());
    match (algorithm.tile, algorithm.taps) {
        (4, 2) => pass.tiles::<4, 2, 3>(source, destination),
        (4, 3) => pass.tiles::<4, 3, 2>(source, destination),
        (6, 3) => pass.tiles::<6, 3, 4>(source, destination),
        (6, 5) => pass.tiles::<6, 5, 2>(source, destination),
        (7, 3) => pass.tiles::<7, 3, 5>(source, destination),
        (7, 5) => pass.tiles::<7, 5, 3>(source, destination),
        _ => unreachable!("{algorithm:?}"),
    }
}

/// A convolution or its adjoint.
struct Pass<'a> {
    isa: Isa,
    adjoint: bool,
    images: usize,
    groups: usize,
    /// Side of the kernel, and stride.
    kernel: (usize, usize),
    source: Grid,
    destination: Grid,
    /// First row and column of the outputs in their sub-images, and the number of each.
    outputs: ((usize, usize), (usize, usize)),
    /// Panels of the channels of one sub-image.
    panels: Panels,
    /// Weights in these panels, with all taps of the kernel.
    weights: Buffer,
    finish: Finish<'a>,
}

impl<'a> Pass<'a> {
    fn new(s: &ConvShape, isa: Isa, adjoint: bool, w: &[f32], finish: Finish<'a>) -> Self {
        let (x, y) = (Grid::input(s), Grid::output(s));
        let (source, destination) = if adjoint { (y, x) } else { (x, y) };
        let (group_in, group_out) = (s.group_in(), s.group_out());
        let (depth, out) = if adjoint { (group_out, group_in) } else { (group_in, group_out) };
        let panels = Panels::new(s.groups, out, depth, s.kh * s.kw, isa);
        let rows = Axis::forward(s.h, s.kh, s.sh, s.ph, s.oh, 1);
        let columns = Axis::forward(s.w, s.kw, s.sw, s.pw, s.ow, 1);
        let weights = pack(s, (&rows, &columns), adjoint, &panels, w);
        let (kernel, outputs) = ((s.kh, s.sh), outputs(s, adjoint));
        let (images, groups) = (s.n, s.groups);
        Self {
            isa,
            adjoint,
            images,
            groups,
            kernel,
            source,
            destination,
            outputs,
            panels,
            weights,
            finish,
        }
    }

    fn check(&self, source: &[f32], destination: &[f32]) {
        assert!(source.len() == self.images * self.source.len(), "the source has another size");
        let expected = self.images * self.destination.len();
        assert!(destination.len() == expected, "the destination, too");
        let gate = self.finish.gate.map(|(gate, _)| gate.len());
        assert!(gate.is_none_or(|len| len == expected), "and the gate");
    }

    /// Floats of all panels of one tap of a sub-image's kernel.
    fn set(&self) -> usize {
        self.panels.len() / (self.kernel.0 * self.kernel.0)
    }

    /// First float of a panel among those of its position.
    fn panel(&self, part: usize, at: usize) -> usize {
        (part * self.set() + at / (self.kernel.0 * self.kernel.0)) * self.source.parts()
    }

    fn tiles<const T: usize, const R: usize, const M: usize>(
        &self,
        source: &[f32],
        destination: Destination,
    ) {
        let weights = self.transformed_weights::<T, R>();
        let (rows, columns) = self.outputs;
        let (down, across) = (rows.1.div_ceil(M), columns.1.div_ceil(M));
        let tiles = self.images * down * across;
        // Channels of a tile before and after the products.
        let channels = self.source.parts() * self.source.channels;
        let vectors: usize = self.panels.list.iter().map(|panel| panel.vectors).sum();
        let made = self.destination.parts() * vectors * self.isa.lanes();
        // Weights are read once for each unit, which should not take longer than the tiles.
        let by_weights = channels * made / (2 * (channels + made));
        let by_cache = UNIT / (T * T * (channels + made));
        let together = (by_weights.max(by_cache) / kernel::MOST).clamp(1, 8) * kernel::MOST;
        let back = if self.adjoint { R - 1 } else { 0 };
        (0..tiles.div_ceil(together)).into_par_iter().for_each(|unit| {
            let range = unit * together..((unit + 1) * together).min(tiles);
            let count = range.len();
            // Floats between positions: an odd number of lines of the cache, so that they do not share their places
            // in it.
            let (set_in, set_out) = (count * channels + GAP, count * made + GAP);
            let mut inputs = Buffer::new(T * T * set_in);
            let mut outputs = Buffer::new(T * T * set_out);
            // Image and first output.
            let place = |tile: usize| {
                let (y, x) = (tile / across % down, tile % across);
                (tile / (down * across), (rows.0 + M * y, columns.0 + M * x))
            };
            let mut spare = self.spare();
            for (i, tile) in range.clone().enumerate() {
                let (image, (y, x)) = place(tile);
                let first = (y.wrapping_sub(back), x.wrapping_sub(back));
                for part in 0..self.source.parts() {
                    let pixels = self.source.pixels(T, (image, part), first, source, &spare.zeros);
                    // SAFETY: the instruction set was detected; each pixel has all channels of the source,
                    // at least as many as a vector has lanes, and `inputs` all positions of all tiles.
                    unsafe {
                        let at = i * channels + part * self.source.channels;
                        let to = inputs.as_mut_ptr().add(at);
                        spread_input::<T>(self.isa, &pixels, to, set_in, self.source.channels);
                    }
                }
            }
            let set = self.panel(self.destination.parts(), 0);
            outputs.par_chunks_mut(set_out).enumerate().for_each(|(position, outputs)| {
                let inputs = &inputs[position * set_in..][..count * channels];
                let weights = &weights[position * set..];
                self.products(count, inputs, weights, &mut outputs[..count * made]);
            });
            for (i, tile) in range.enumerate() {
                let (image, first) = place(tile);
                let mut outputs = &outputs[i * made..];
                for part in 0..self.destination.parts() {
                    let places = self.destination.places(M, (image, part), first);
                    self.finish::<T, M>(&places, outputs, set_out, destination, &mut spare);
                    outputs = &outputs[vectors * self.isa.lanes()..];
                }
            }
        });
    }

    fn spare(&self) -> Spare {
        let none = || vec![0f32; self.destination.channels];
        let bias = self.finish.bias.map_or_else(none, <[f32]>::to_vec);
        Spare { zeros: vec![0f32; self.source.channels], bias, pixel: none() }
    }

    /// Panels of the weights as a set of panels for each position: sub-images of the destination, panels, sub-images of
    /// the source.
    fn transformed_weights<const T: usize, const R: usize>(&self) -> Buffer {
        let (kernel, stride) = self.kernel;
        let (parts, len) = (stride * stride, self.panel(self.destination.parts(), 0));
        let mut weights = Buffer::new(T * T * len);
        let to = Destination(weights.as_mut_ptr());
        let work = self
            .panels
            .list
            .par_iter()
            .flat_map(|panel| (0..parts).into_par_iter().map(move |part| (panel, part)));
        work.for_each(|(panel, part)| {
            // A tap of a panel has as many floats as the panel of a set.
            let width = panel.vectors * self.isa.lanes() * self.panels.depth;
            let zeros = vec![0f32; width];
            let from = &self.weights[panel.at..][..kernel * kernel * width];
            let mut taps = [zeros.as_ptr(); MOST];
            for (i, tap) in taps.iter_mut().enumerate().take(R * R) {
                // The adjoint meets the taps in the order in which it steps back.
                let i = if self.adjoint { R * R - 1 - i } else { i };
                let (y, x) = (stride * (i / R) + part / stride, stride * (i % R) + part % stride);
                if y < kernel && x < kernel {
                    *tap = from[(y * kernel + x) * width..].as_ptr();
                }
            }
            let at = match self.adjoint {
                true => self.panel(part, panel.at),
                false => self.panel(0, panel.at) + part * width,
            };
            // SAFETY: the instruction set was detected; each tap has `width` floats, a whole number of vectors; every
            // panel has its own part of each set for each sub-image.
            unsafe { spread_weights::<R, T>(self.isa, &taps, to.get().add(at), len, width) };
        });
        weights
    }

    /// The matrix products of one position: tiles by source channels, times source by output channels.
    fn products(&self, tiles: usize, inputs: &[f32], weights: &[f32], outputs: &mut [f32]) {
        let kernels = Kernels::of(self.isa);
        let (channels, stride) = (inputs.len() / tiles, outputs.len() / tiles);
        let len = self.panels.depth * self.source.parts();
        let segment = Segment { source: 0, weights: 0, len };
        let pixels: [u32; kernel::MOST] = std::array::from_fn(|i| (i * channels) as u32);
        let places: [u32; kernel::MOST] = std::array::from_fn(|i| (i * stride) as u32);
        let parts = 0..self.destination.parts();
        let panels = parts.flat_map(|part| self.panels.list.iter().map(move |p| (part, p)));
        let mut column = 0;
        for (part, panel) in panels {
            let chunks = tiles.div_ceil(kernels.most);
            for chunk in 0..chunks {
                let (t0, t1) = (chunk * tiles / chunks, (chunk + 1) * tiles / chunks);
                let sum = Sum {
                    source: inputs[t0 * channels + panel.group * self.panels.depth..].as_ptr(),
                    pixels: pixels.as_ptr(),
                    segments: &segment,
                    segment_count: 1,
                    weights: weights[self.panel(part, panel.at)..].as_ptr(),
                    bias: std::ptr::null(),
                    slope: 1.0,
                    out: outputs[t0 * stride + column..].as_mut_ptr(),
                    places: places.as_ptr(),
                    gate: std::ptr::null(),
                    gate_slope: 1.0,
                };
                // SAFETY: the instruction set was detected; the tiles have all channels of the panel's
                // group, the outputs of a tile a place for every panel.
                unsafe { kernels.sum(panel.vectors, t1 - t0, &sum) };
            }
            column += panel.vectors * self.isa.lanes();
        }
    }

    /// Makes pixels of a sub-image of the destination, at the places of their first channels, from the products of a
    /// tile, whose positions lie `stride` apart.
    fn finish<const T: usize, const M: usize>(
        &self,
        places: &[Option<usize>; MOST],
        outputs: &[f32],
        stride: usize,
        destination: Destination,
        spare: &mut Spare,
    ) {
        let (lanes, out) = (self.isa.lanes(), self.destination.channels / self.groups);
        let full = out / lanes * lanes;
        let slopes =
            (self.finish.leaky.unwrap_or(1.0), self.finish.gate.map_or(1.0, |gate| gate.1));
        for group in 0..self.groups {
            let (first, column) = (group * out, group * out.next_multiple_of(lanes));
            if full > 0 {
                let pixels = spare.pixel.as_mut_ptr();
                // SAFETY: the pixels are in the destination; no other tile has them.
                let to = |place: usize| unsafe { destination.get().add(place + first) };
                let to = places.map(|place| place.map_or(pixels, to));
                let gates = self.finish.gate.map(|(gate, _)| {
                    places.map(|place| {
                        place.map_or(&spare.bias[..], |at| &gate[at + first..]).as_ptr()
                    })
                });
                // SAFETY: the instruction set was detected; `outputs` has the group's vectors at all positions; each
                // place and each gate, or what stands for it, has the group's channels.
                unsafe {
                    let (from, bias) = (outputs[column..].as_ptr(), spare.bias[first..].as_ptr());
                    let gates = gates.as_ref();
                    gather_output::<T, M>(self.isa, from, stride, bias, slopes, &to, gates, full);
                }
            }
            if full < out {
                let from = &outputs[column + full..];
                self.finish_rest::<T, M>(
                    places,
                    first + full..first + out,
                    from,
                    stride,
                    destination,
                    spare,
                );
            }
        }
    }

    /// Finishes the last channels of a group, which fill no vector.
    fn finish_rest<const T: usize, const M: usize>(
        &self,
        places: &[Option<usize>; MOST],
        channels: Range<usize>,
        outputs: &[f32],
        stride: usize,
        destination: Destination,
        spare: &Spare,
    ) {
        let (mut aside, mut bias) = ([[0f32; LANES]; MOST], [0f32; LANES]);
        bias[..channels.len()].copy_from_slice(&spare.bias[channels.clone()]);
        let to = aside.each_mut().map(|pixel| pixel.as_mut_ptr());
        let slopes = (self.finish.leaky.unwrap_or(1.0), 1.0);
        // SAFETY: the instruction set was detected; `outputs` has a vector at all positions, and so has each pixel aside.
        unsafe {
            let (from, lanes) = (outputs.as_ptr(), self.isa.lanes());
            gather_output::<T, M>(self.isa, from, stride, bias.as_ptr(), slopes, &to, None, lanes);
        }
        for (place, values) in places.iter().zip(&aside) {
            let Some(place) = place.map(|place| place + channels.start) else { continue };
            for (i, value) in values.iter().enumerate().take(channels.len()) {
                let value = match self.finish.gate {
                    Some((gate, slope)) => leak(*value, gate[place + i], slope),
                    None => *value,
                };
                // SAFETY: the pixel is in the destination; no other tile has it.
                unsafe { *destination.get().add(place + i) = value };
            }
        }
    }
}

/// Memory that all tiles of a unit share.
struct Spare {
    /// Pixel of the source in the padding.
    zeros: Vec<f32>,
    /// Bias of every channel.
    bias: Vec<f32>,
    /// Pixel of the destination beyond the border.
    pixel: Vec<f32>,
}
