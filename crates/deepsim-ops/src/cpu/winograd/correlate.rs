//! Convolution and its gradient to the input, tile by tile.

use rayon::prelude::*;

use super::transform::{gather_output, spread_input, spread_weights};
use super::{Algorithm, CHANNELS, GAP, MOST, WORTH, cost, direct_cost, is_on, pixels};
use crate::cpu::axis::Axis;
use crate::cpu::buffer::Buffer;
use crate::cpu::correlate::{Correlation, Destination, leak};
use crate::cpu::kernel::{self, Kernels, Segment, Sum};
use crate::cpu::simd::Isa;

/// Floats of a unit's transformed tiles, so that they stay in the second-level cache.
const UNIT: usize = 160 * 1024;
/// Most channels that are summed where a tile of 7 keeps its digits.
const DEEP: usize = 64;
/// Pixels of the largest tile of outputs.
const MADE: usize = 5 * 5;

/// Returns the algorithm that computes a correlation fastest, `None` for the direct one. It does not depend on the number
/// of images, so that nothing that is made of an image depends on its batch.
pub(in super::super) fn suited(c: &Correlation<'_>) -> Option<Algorithm> {
    let plain =
        |axis: &Axis| (axis.step(), axis.reach, axis.block) == (1, 1, 1) && axis.count == axis.size;
    let taps = c.rows.taps;
    let square = plain(&c.rows) && plain(&c.columns) && c.columns.taps == taps;
    let group = (c.panels.depth, c.channels.1 * c.panels.depth / c.channels.0);
    if !is_on() || !square || ![3, 5].contains(&taps) || group.0.min(group.1) < CHANNELS {
        return None;
    }
    let direct = direct_cost(&c.rows, &c.columns);
    let cost = |algorithm: &Algorithm| {
        let tiles =
            c.rows.count.div_ceil(algorithm.made()) * c.columns.count.div_ceil(algorithm.made());
        cost(algorithm.tile, tiles, group)
    };
    let tiles = if c.panels.depth <= DEEP { &[6, 7][..] } else { &[6] };
    let all = tiles.iter().map(|&tile| Algorithm { tile, taps });
    let best = all.min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
    (cost(&best) < WORTH * direct).then_some(best)
}

/// Computes all outputs of `images` images; as [`crate::cpu::correlate::run`].
pub(in super::super) fn run(
    c: &Correlation<'_>,
    algorithm: Algorithm,
    isa: Isa,
    images: usize,
    source: &[f32],
    destination: Destination,
) {
    let run = match (algorithm.tile, algorithm.taps) {
        (6, 3) => tiles::<6, 3, 4>,
        (6, 5) => tiles::<6, 5, 2>,
        (7, 3) => tiles::<7, 3, 5>,
        (7, 5) => tiles::<7, 5, 3>,
        _ => unreachable!("{algorithm:?}"),
    };
    run(c, isa, images, source, destination);
}

fn tiles<const T: usize, const R: usize, const M: usize>(
    c: &Correlation<'_>,
    isa: Isa,
    images: usize,
    source: &[f32],
    destination: Destination,
) {
    let weights = transformed_weights::<T, R>(c, isa);
    let (down, across) = (c.rows.count.div_ceil(M), c.columns.count.div_ceil(M));
    let tiles = images * down * across;
    let panels: usize = c.panels.list.iter().map(|panel| panel.vectors * isa.lanes()).sum();
    let together =
        (UNIT / (T * T * (c.channels.0 + panels)) / kernel::MOST).clamp(1, 8) * kernel::MOST;
    (0..tiles.div_ceil(together)).into_par_iter().for_each(|unit| {
        let range = unit * together..((unit + 1) * together).min(tiles);
        let count = range.len();
        // Floats between positions: an odd number of lines of the cache, so that they do not share their places in it.
        let (set_in, set_out) = (count * c.channels.0 + GAP, count * panels + GAP);
        let mut inputs = Buffer::new(T * T * set_in);
        let mut outputs = Buffer::new(T * T * set_out);
        let place = |tile: usize| (tile / (down * across), tile / across % down, tile % across);
        let zeros = vec![0f32; c.channels.0];
        for (i, tile) in range.clone().enumerate() {
            let (image, y, x) = place(tile);
            let first = (c.rows.position(M * y, 0), c.columns.position(M * x, 0));
            let sizes = (c.rows.source, c.columns.source, c.channels.0);
            let pixels = pixels::<T>(source, sizes, image, first, &zeros);
            // SAFETY: the instruction set was detected; each pixel has all channels of the source,
            // at least as many as a vector has lanes, and `inputs` all positions of all tiles.
            unsafe {
                let to = inputs.as_mut_ptr().add(i * c.channels.0);
                spread_input::<T>(isa, &pixels, to, set_in, c.channels.0);
            }
        }
        let set = c.panels.len() / (R * R);
        for position in 0..T * T {
            let inputs = &inputs[position * set_in..][..count * c.channels.0];
            let outputs = &mut outputs[position * set_out..][..count * panels];
            products(c, isa, R * R, count, inputs, &weights[position * set..], outputs);
        }
        for (i, tile) in range.enumerate() {
            let (image, y, x) = place(tile);
            let outputs = &outputs[i * panels..];
            finish::<T, M>(c, isa, (image, M * y, M * x), outputs, set_out, destination);
        }
    });
}

/// Panels of the weights as a set of panels for each position.
fn transformed_weights<const T: usize, const R: usize>(c: &Correlation<'_>, isa: Isa) -> Buffer {
    let len = c.panels.len() / (R * R);
    let mut weights = Buffer::new(T * T * len);
    let to = Destination(weights.as_mut_ptr());
    c.panels.list.par_iter().for_each(|panel| {
        // A tap of a panel has as many floats as the panel of a set.
        let width = panel.vectors * isa.lanes() * c.panels.depth;
        let from = &c.weights[panel.at..panel.at + R * R * width];
        let taps: [*const f32; MOST] =
            std::array::from_fn(|tap| from[tap.min(R * R - 1) * width..].as_ptr());
        // SAFETY: the instruction set was detected; each tap has `width` floats, a whole number of vectors; every panel
        // has its own part of each set.
        unsafe { spread_weights::<R, T>(isa, &taps, to.get().add(panel.at / (R * R)), len, width) };
    });
    weights
}

/// The matrix products of one position: tiles by source channels, times source by output channels.
fn products(
    c: &Correlation<'_>,
    isa: Isa,
    taps: usize,
    tiles: usize,
    inputs: &[f32],
    weights: &[f32],
    outputs: &mut [f32],
) {
    let kernels = Kernels::of(isa);
    let stride = outputs.len() / tiles;
    let segment = Segment { source: 0, weights: 0, len: c.panels.depth };
    let pixels: [u32; kernel::MOST] = std::array::from_fn(|i| (i * c.channels.0) as u32);
    let places: [u32; kernel::MOST] = std::array::from_fn(|i| (i * stride) as u32);
    let mut column = 0;
    for panel in &c.panels.list {
        let chunks = tiles.div_ceil(kernels.most);
        for chunk in 0..chunks {
            let (t0, t1) = (chunk * tiles / chunks, (chunk + 1) * tiles / chunks);
            let sum = Sum {
                source: inputs[t0 * c.channels.0 + panel.group * c.panels.depth..].as_ptr(),
                pixels: pixels.as_ptr(),
                segments: &segment,
                segment_count: 1,
                weights: weights[panel.at / taps..].as_ptr(),
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
        column += panel.vectors * isa.lanes();
    }
}

/// Makes the pixels of the destination from the products of a tile.
fn finish<const T: usize, const M: usize>(
    c: &Correlation<'_>,
    isa: Isa,
    (image, y, x): (usize, usize, usize),
    outputs: &[f32],
    stride: usize,
    destination: Destination,
) {
    // Pixels beyond the border, and all pixels of a vector that is not full, are made aside.
    let mut aside = [0f32; MADE * 16];
    let spare = aside.as_mut_ptr();
    // Places of the first channel.
    let mut places = [None; MADE];
    for (i, place) in places.iter_mut().enumerate().take(M * M) {
        let (y, x) = (y + i / M, x + i % M);
        let inside = y < c.rows.size && x < c.columns.size;
        *place = inside.then(|| ((image * c.rows.size + y) * c.columns.size + x) * c.channels.1);
    }
    let mut column = 0;
    for panel in &c.panels.list {
        for vector in 0..panel.vectors {
            let first = panel.first + vector * isa.lanes();
            let channels = (panel.first + panel.channels - first).min(isa.lanes());
            let full = channels == isa.lanes();
            let mut bias = [0f32; 16];
            if let Some(values) = c.finish.bias {
                bias[..channels].copy_from_slice(&values[first..first + channels]);
            }
            let gate = c.finish.gate.filter(|_| full);
            let (mut to, mut gates) = ([spare; MOST], [bias.as_ptr(); MOST]);
            for (i, place) in places.iter().enumerate().take(M * M) {
                match place.filter(|_| full) {
                    // SAFETY: the pixel is in the destination; no other tile has it.
                    Some(place) => unsafe { to[i] = destination.get().add(place + first) },
                    // SAFETY: a vector for each pixel fits.
                    None => unsafe { to[i] = spare.add(16 * i) },
                }
                if let (Some(place), Some((gate, _))) = (place, gate) {
                    gates[i] = gate[place + first..].as_ptr();
                }
            }
            let slopes = (c.finish.leaky.unwrap_or(1.0), gate.map_or(1.0, |(_, slope)| slope));
            // SAFETY: the instruction set was detected; `outputs` has a vector here for all
            // positions; each place and each gate, or what stands for it, is one vector long.
            unsafe {
                let (from, bias) = (outputs[column..].as_ptr(), bias.as_ptr());
                let gates = gate.is_some().then_some(&gates);
                gather_output::<T, M>(isa, from, stride, bias, slopes, &to, gates);
            }
            if !full {
                for (place, values) in places.iter().zip(aside.chunks_exact(16)) {
                    let Some(place) = place.map(|place| place + first) else { continue };
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
