//! 3x3 convolution with stride 1 in fewer multiplications: Winograd's F(2x2, 3x3).
//!
//! A tile of 2x2 outputs is computed from 4x4 inputs with 16 instead of 36 multiplications for each
//! pair of channels. Inputs, weights and outputs are transformed by additions, per channel; between
//! them lie 16 matrix products over channels, done by the kernel of direct convolution.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4.1.

#![expect(clippy::needless_range_loop, reason = "the transforms read as in the formulas")]

use rayon::prelude::*;

use super::axis::Axis;
use super::buffer::Buffer;
use super::correlate::{Correlation, Destination, leak};
use super::kernel::{Kernels, MOST, Segment, Sum};
use super::simd::{Isa, Vector, on_vectors};

/// Positions of a transformed tile.
const POSITIONS: usize = 16;
/// Floats of a unit's transformed tiles, so that they stay in the second-level cache.
const UNIT: usize = 160 * 1024;
/// Channels below which the transforms cost more than they save.
const CHANNELS: usize = 32;
/// Smallest useful share of a tile's outputs. Direct convolution also skips taps in the padding.
const USEFUL: f64 = 0.75;

/// Returns true if a correlation is computed faster this way.
pub(super) fn suits(c: &Correlation<'_>) -> bool {
    let three = |axis: &Axis| {
        axis.taps == 3
            && (axis.step(), axis.reach, axis.block) == (1, 1, 1)
            && axis.count == axis.size
    };
    let channels = c.panels.depth.min(c.channels.1 * c.panels.depth / c.channels.0);
    let useful = |count: usize| count as f64 / count.next_multiple_of(2) as f64;
    three(&c.rows)
        && three(&c.columns)
        && channels >= CHANNELS
        && useful(c.rows.count) * useful(c.columns.count) >= USEFUL
}

/// Computes all outputs of `images` images; as [`super::correlate::run`].
pub(super) fn run(
    c: &Correlation<'_>,
    isa: Isa,
    images: usize,
    source: &[f32],
    destination: Destination,
) {
    let weights = transformed_weights(c, isa);
    let (down, across) = (c.rows.count.div_ceil(2), c.columns.count.div_ceil(2));
    let tiles = images * down * across;
    let panels: usize = c.panels.list.iter().map(|panel| panel.vectors * isa.lanes()).sum();
    let per_tile = POSITIONS * (c.channels.0 + panels);
    let together = (UNIT / per_tile / MOST).clamp(1, 8) * MOST;
    (0..tiles.div_ceil(together)).into_par_iter().for_each(|unit| {
        let range = unit * together..((unit + 1) * together).min(tiles);
        let count = range.len();
        let mut inputs = Buffer::new(POSITIONS * count * c.channels.0);
        let mut outputs = Buffer::new(POSITIONS * count * panels);
        let place = |tile: usize| (tile / (down * across), tile / across % down, tile % across);
        let zeros = vec![0f32; c.channels.0];
        for (i, tile) in range.clone().enumerate() {
            let (image, y, x) = place(tile);
            let pixels = pixels(c, image, (2 * y, 2 * x), source, &zeros);
            // SAFETY: the instruction set was detected; each pixel has all channels of the source,
            // at least as many as a vector has lanes, and `inputs` all positions of all tiles.
            unsafe {
                let to = inputs.as_mut_ptr().add(i * c.channels.0);
                transform_input(isa, &pixels, to, count * c.channels.0, c.channels.0);
            }
        }
        for position in 0..POSITIONS {
            let inputs = &inputs[position * count * c.channels.0..][..count * c.channels.0];
            let outputs = &mut outputs[position * count * panels..][..count * panels];
            let weights = &weights[position * c.panels.len() / 9..];
            products(c, isa, count, inputs, weights, outputs);
        }
        for (i, tile) in range.enumerate() {
            let (image, y, x) = place(tile);
            let outputs = &outputs[i * panels..];
            finish_tile(c, isa, (image, 2 * y, 2 * x), outputs, count * panels, destination);
        }
    });
}

/// Panels of the 3x3 weights as 16 sets of panels.
fn transformed_weights(c: &Correlation<'_>, isa: Isa) -> Buffer {
    let len = c.panels.len() / 9;
    let mut weights = Buffer::new(POSITIONS * len);
    let to = Destination(weights.as_mut_ptr());
    c.panels.list.par_iter().for_each(|panel| {
        // One set of panels has a ninth of the floats, and so has a panel.
        let width = panel.vectors * isa.lanes() * c.panels.depth;
        let from = &c.weights[panel.at..panel.at + 9 * width];
        // SAFETY: the instruction set was detected; `from` holds nine taps of `width`, a whole
        // number of vectors; every panel has its own part of each of the 16 sets.
        unsafe { transform_weights(isa, from.as_ptr(), to.get().add(panel.at / 9), len, width) };
    });
    weights
}

/// The 4x4 source pixels of the tile at an output pixel.
fn pixels(
    c: &Correlation<'_>,
    image: usize,
    (y, x): (usize, usize),
    source: &[f32],
    zeros: &[f32],
) -> [*const f32; POSITIONS] {
    let (height, width, channels) = (c.rows.source, c.columns.source, c.channels.0);
    std::array::from_fn(|i| {
        // Wraps around in the padding before the first row or column.
        let (y, x) = (c.rows.position(y, i / 4), c.columns.position(x, i % 4));
        let inside = y < height && x < width;
        let at = || ((image * height + y) * width + x) * channels;
        if inside { source[at()..][..channels].as_ptr() } else { zeros.as_ptr() }
    })
}

/// The matrix products of one position: tiles by source channels, times source by output channels.
fn products(
    c: &Correlation<'_>,
    isa: Isa,
    tiles: usize,
    inputs: &[f32],
    weights: &[f32],
    outputs: &mut [f32],
) {
    let kernels = Kernels::of(isa);
    let stride = outputs.len() / tiles;
    let segment = Segment { source: 0, weights: 0, len: c.panels.depth };
    let bias = [0f32; 32];
    let mut column = 0;
    for panel in &c.panels.list {
        let chunks = tiles.div_ceil(kernels.most);
        for chunk in 0..chunks {
            let (t0, t1) = (chunk * tiles / chunks, (chunk + 1) * tiles / chunks);
            let pixels: [u32; MOST] = std::array::from_fn(|i| (i * c.channels.0) as u32);
            let places: [u32; MOST] = std::array::from_fn(|i| (i * stride) as u32);
            let sum = Sum {
                source: inputs[t0 * c.channels.0 + panel.group * c.panels.depth..].as_ptr(),
                pixels: pixels.as_ptr(),
                segments: &segment,
                segment_count: 1,
                weights: weights[panel.at / 9..].as_ptr(),
                bias: bias.as_ptr(),
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
        column += panel.vectors * isa.lanes();
    }
}

/// Makes 2x2 pixels of the destination from the products of a tile.
fn finish_tile(
    c: &Correlation<'_>,
    isa: Isa,
    (image, y, x): (usize, usize, usize),
    outputs: &[f32],
    stride: usize,
    destination: Destination,
) {
    let width = c.columns.size;
    let mut column = 0;
    for panel in &c.panels.list {
        for vector in 0..panel.vectors {
            let first = panel.first + vector * isa.lanes();
            let channels = (panel.first + panel.channels - first).min(isa.lanes());
            let mut bias = [0f32; 16];
            if let Some(values) = c.finish.bias {
                bias[..channels].copy_from_slice(&values[first..first + channels]);
            }
            // Pixels beyond the border, and all pixels of a vector that is not full, are made aside.
            let mut aside = [0f32; 4 * 16];
            let spare = aside.as_mut_ptr();
            let at = |i: usize| {
                let (y, x) = (y + i / 2, x + i % 2);
                let inside = y < c.rows.size && x < width;
                inside.then(|| ((image * c.rows.size + y) * width + x) * c.channels.1 + first)
            };
            let places: [Option<usize>; 4] = std::array::from_fn(at);
            let full = channels == isa.lanes();
            let to = places.map(|place| match place.filter(|_| full) {
                // SAFETY: the pixel is in the destination; no other tile has it.
                Some(place) => unsafe { destination.get().add(place) },
                None => spare,
            });
            // SAFETY: four vectors fit.
            let to = if full { to } else { [0, 1, 2, 3].map(|i| unsafe { spare.add(16 * i) }) };
            let gate = c.finish.gate.filter(|_| full);
            let gates = gate.map(|(gate, _)| {
                places.map(|place| place.map_or(bias.as_ptr(), |place| gate[place..].as_ptr()))
            });
            let slopes = (c.finish.leaky.unwrap_or(1.0), gate.map_or(1.0, |(_, slope)| slope));
            // SAFETY: the instruction set was detected; `outputs` has a vector here for all
            // positions; each place and each gate, or what stands for it, is one vector long.
            unsafe {
                let from = outputs[column..].as_ptr();
                transform_output(isa, from, stride, bias.as_ptr(), slopes, &to, gates.as_ref());
            }
            if !full {
                for (place, values) in places.iter().zip(aside.chunks_exact(16)) {
                    let Some(place) = *place else { continue };
                    // SAFETY: as above.
                    let to = unsafe {
                        std::slice::from_raw_parts_mut(destination.get().add(place), channels)
                    };
                    to.copy_from_slice(&values[..channels]);
                    for (i, to) in to.iter_mut().enumerate() {
                        if let Some((gate, slope)) = c.finish.gate {
                            *to = leak(*to, gate[place + i], slope);
                        }
                    }
                }
            }
            column += isa.lanes();
        }
    }
}

/// `Bᵀ`, along one axis.
#[inline(always)]
unsafe fn input_line<V: Vector>(d: [V; 4]) -> [V; 4] {
    // SAFETY: passed on to the caller.
    unsafe { [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])] }
}

/// `G`, along one axis.
#[inline(always)]
unsafe fn weight_line<V: Vector>(g: [V; 3]) -> [V; 4] {
    // SAFETY: passed on to the caller.
    unsafe {
        let (half, zero) = (V::splat(0.5), V::zero());
        let (outer, inner) = (g[0].add(g[2]), g[1]);
        let plus = half.mul_add(outer.add(inner), zero);
        [g[0], plus, half.mul_add(outer.sub(inner), zero), g[2]]
    }
}

/// `Aᵀ`, along one axis.
#[inline(always)]
unsafe fn output_line<V: Vector>(m: [V; 4]) -> [V; 2] {
    // SAFETY: passed on to the caller.
    unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])] }
}

on_vectors! {
    /// `Bᵀ d B` for all channels; the positions of the result lie `stride` apart.
    unsafe fn transform_input<V>(
        pixels: &[*const f32; POSITIONS],
        to: *mut f32,
        stride: usize,
        channels: usize,
    ) {
        let mut channel = 0;
        while channel < channels {
            // The last vector may overlap the one before.
            let at = channel.min(channels - V::LANES);
            // SAFETY: the caller guarantees the floats.
            unsafe {
                let load = |i: usize| V::load(pixels[i].add(at));
                let column = |x| input_line([load(x), load(4 + x), load(8 + x), load(12 + x)]);
                let c = [column(0), column(1), column(2), column(3)];
                for y in 0..4 {
                    let row = input_line([c[0][y], c[1][y], c[2][y], c[3][y]]);
                    for (x, value) in row.into_iter().enumerate() {
                        value.store(to.add((4 * y + x) * stride + at));
                    }
                }
            }
            channel += V::LANES;
        }
    }

    /// `G g Gᵀ` for nine taps of `len` weights; the positions of the result lie `stride` apart.
    unsafe fn transform_weights<V>(from: *const f32, to: *mut f32, stride: usize, len: usize) {
        for at in (0..len).step_by(V::LANES) {
            // SAFETY: the caller guarantees the floats.
            unsafe {
                let load = |i: usize| V::load(from.add(i * len + at));
                let column = |x| weight_line([load(x), load(3 + x), load(6 + x)]);
                let c = [column(0), column(1), column(2)];
                for y in 0..4 {
                    let row = weight_line([c[0][y], c[1][y], c[2][y]]);
                    for (x, value) in row.into_iter().enumerate() {
                        value.store(to.add((4 * y + x) * stride + at));
                    }
                }
            }
        }
    }

    /// `leaky(Aᵀ m A + bias)` for one vector of channels of four pixels, gated if there are gates.
    unsafe fn transform_output<V>(
        from: *const f32,
        stride: usize,
        bias: *const f32,
        slopes: (f32, f32),
        to: &[*mut f32; 4],
        gates: Option<&[*const f32; 4]>,
    ) {
        // SAFETY: the caller guarantees the floats.
        unsafe {
            let load = |i: usize| V::load(from.add(i * stride));
            let column = |x| output_line([load(x), load(4 + x), load(8 + x), load(12 + x)]);
            let c = [column(0), column(1), column(2), column(3)];
            let (bias, slope, gate_slope) = (V::load(bias), V::splat(slopes.0), V::splat(slopes.1));
            for y in 0..2 {
                let row = output_line([c[0][y], c[1][y], c[2][y], c[3][y]]);
                for (x, value) in row.into_iter().enumerate() {
                    let value = value.add(bias);
                    let mut value = value.gate(value, slope);
                    if let Some(gates) = gates {
                        value = value.gate(V::load(gates[2 * y + x]), gate_slope);
                    }
                    value.store(to[2 * y + x]);
                }
            }
        }
    }
}
