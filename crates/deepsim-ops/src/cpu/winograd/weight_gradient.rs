//! The gradient to the weights.
//!
//! A tile of the gradient to the output meets the tile of inputs that it was made from. Tiles of all images are summed
//! before the result is transformed back, a block of them at a time.

use rayon::prelude::*;

use super::transform::{gather_output, spread_input, spread_weights};
use super::{Algorithm, CHANNELS, GAP, MOST, WORTH, cost, direct_cost, is_on, pixels};
use crate::cpu::axis::Axis;
use crate::cpu::buffer::Buffer;
use crate::cpu::conv::ConvShape;
use crate::cpu::correlate::Destination;
use crate::cpu::kernel::{Kernels, Product};
use crate::cpu::panels::{Panels, unpack};
use crate::cpu::simd::Isa;

/// Tiles of a block: a panel of their gradients stays in the first-level cache.
const BLOCK: usize = 160;
/// Tiles that are transformed together.
const TOGETHER: usize = 8;

/// Returns the algorithm that computes the gradient fastest, `None` for the direct one.
pub(in super::super) fn suited(s: &ConvShape, isa: Isa) -> Option<Algorithm> {
    let plain = (s.kh, s.sh, s.sw, s.dh, s.dw) == (s.kw, 1, 1, 1, 1);
    let group = (s.group_in(), s.group_out());
    let fits = group.0.min(group.1) >= CHANNELS && group.1.is_multiple_of(isa.lanes());
    if !is_on() || !plain || ![3, 5].contains(&s.kh) || !fits {
        return None;
    }
    let rows = Axis::forward(s.h, s.kh, 1, s.ph, s.oh, 1);
    let columns = Axis::forward(s.w, s.kw, 1, s.pw, s.ow, 1);
    let direct = direct_cost(&rows, &columns);
    // A larger tile would lose more digits in sums of so many tiles.
    let algorithm = Algorithm { tile: 6, taps: 7 - s.kh };
    let tiles = s.oh.div_ceil(algorithm.taps) * s.ow.div_ceil(algorithm.taps);
    (cost(algorithm.tile, tiles, group) < WORTH * direct).then_some(algorithm)
}

/// Does what [`crate::cpu::weight_gradient::correlate_images`] does, tile by tile.
pub(in super::super) fn backward_weight(
    s: &ConvShape,
    algorithm: Algorithm,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    match algorithm.made() {
        3 => tiles::<6, 4, 3>(s, isa, x, dy),
        _ => tiles::<6, 2, 5>(s, isa, x, dy),
    }
}

/// Transformed tiles of a block: inputs `(position, tile, channel)`, gradients `(position, panel, tile, channel)`.
struct Block {
    inputs: Buffer,
    gradients: Buffer,
    /// Floats of a tile's inputs.
    stride: usize,
    /// Floats of all inputs, and of all gradients, of a position.
    sets: (usize, usize),
}

fn tiles<const T: usize, const R: usize, const M: usize>(
    s: &ConvShape,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    // One panel for each position, as a convolution of one tap has them.
    let panels = Panels::new(s.groups, s.group_out(), s.group_in(), 1, isa);
    let tiles = s.n * s.oh.div_ceil(R) * s.ow.div_ceil(R);
    let mut sums = Buffer::new(T * T * panels.len());
    sums.par_chunks_mut(panels.len()).for_each(|sums| sums.fill(0.0));
    let stride = s.c_in + GAP;
    let most = BLOCK.min(tiles);
    let mut block = Block {
        inputs: Buffer::new(T * T * (most * stride + GAP)),
        gradients: Buffer::new(T * T * (most * s.c_out + GAP)),
        stride,
        sets: (most * stride + GAP, most * s.c_out + GAP),
    };
    for start in (0..tiles).step_by(BLOCK) {
        let count = BLOCK.min(tiles - start);
        spread::<T, R>(s, isa, &panels, (x, dy), start, count, &mut block);
        let work: Vec<_> = sums
            .chunks_exact_mut(panels.len())
            .enumerate()
            .flat_map(|(position, sums)| {
                panels.split(sums).into_iter().map(move |(panel, sums)| (position, panel, sums))
            })
            .collect();
        work.into_par_iter().for_each(|(position, panel, sums)| {
            let width = panel.vectors * isa.lanes();
            let inputs = &block.inputs[position * block.sets.0 + panel.group * panels.depth..];
            let gradients = &block.gradients[position * block.sets.1 + count * panel.first..];
            let kernels = Kernels::of(isa);
            let parts = panels.depth.div_ceil(kernels.most);
            for part in 0..parts {
                let (r0, r1) = (part * panels.depth / parts, (part + 1) * panels.depth / parts);
                let product = Product {
                    x: inputs[r0..].as_ptr(),
                    x_strides: (0, 0, stride),
                    y: gradients.as_ptr(),
                    y_strides: (0, 0, width),
                    counts: (1, 1, count),
                    sums: sums[r0 * width..].as_mut_ptr(),
                    sums_stride: width,
                };
                // SAFETY: the instruction set was detected; the block has all channels of all tiles at each position,
                // `sums` a row for each channel.
                unsafe { kernels.product(panel.vectors, r1 - r0, &product) };
            }
        });
    }
    let taps = Panels::new(s.groups, s.group_out(), s.group_in(), M * M, isa);
    unpack(s, &taps, &gathered::<T, M>(isa, &panels, &taps, &sums))
}

/// Transforms the tiles of a block.
fn spread<const T: usize, const R: usize>(
    s: &ConvShape,
    isa: Isa,
    panels: &Panels,
    (x, dy): (&[f32], &[f32]),
    start: usize,
    count: usize,
    block: &mut Block,
) {
    let (down, across) = (s.oh.div_ceil(R), s.ow.div_ceil(R));
    let zeros = vec![0f32; s.c_in.max(s.c_out)];
    let (stride, sets) = (block.stride, block.sets);
    let inputs = Destination(block.inputs.as_mut_ptr());
    let gradients = Destination(block.gradients.as_mut_ptr());
    (0..count.div_ceil(TOGETHER)).into_par_iter().for_each(|part| {
        for i in part * TOGETHER..((part + 1) * TOGETHER).min(count) {
            let tile = start + i;
            let image = tile / (down * across);
            let (top, left) = (R * (tile / across % down), R * (tile % across));
            let (x_sizes, y_sizes) = ((s.h, s.w, s.c_in), (s.oh, s.ow, s.c_out));
            let first = (top.wrapping_sub(s.ph), left.wrapping_sub(s.pw));
            let seen = pixels::<T>(x, x_sizes, image, first, &zeros);
            let made = pixels::<R>(dy, y_sizes, image, (top, left), &zeros);
            // SAFETY: the instruction set was detected; pixels have all channels, which are at least as many as a vector
            // has lanes; every tile has its own part of each position, and the gradients of each panel, too.
            unsafe {
                spread_input::<T>(isa, &seen, inputs.get().add(i * stride), sets.0, s.c_in);
                for panel in &panels.list {
                    let made = made.map(|pixel| pixel.add(panel.first));
                    let to = gradients.get().add(count * panel.first + i * panel.channels);
                    spread_weights::<R, T>(isa, &made, to, sets.1, panel.channels);
                }
            }
        }
    });
}

/// Transforms the sums back: panels of one tap for each position to panels of all taps.
fn gathered<const T: usize, const M: usize>(
    isa: Isa,
    panels: &Panels,
    taps: &Panels,
    sums: &[f32],
) -> Buffer {
    let mut gathered = Buffer::new(taps.len());
    let bias = [0f32; 16];
    taps.split(&mut gathered).into_par_iter().for_each(|(panel, gathered)| {
        let len = gathered.len() / (M * M);
        for at in (0..len).step_by(isa.lanes()) {
            let mut to = [gathered.as_mut_ptr(); MOST];
            // SAFETY: the instruction set was detected; each tap has `len` floats, a whole number of vectors, and so has
            // the panel at each position.
            unsafe {
                for (tap, to) in to.iter_mut().enumerate().take(M * M) {
                    *to = to.add(tap * len + at);
                }
                let from = sums[panel.at / (M * M) + at..].as_ptr();
                gather_output::<T, M>(
                    isa,
                    from,
                    panels.len(),
                    bias.as_ptr(),
                    (1.0, 1.0),
                    &to,
                    None,
                );
            }
        }
    });
    gathered
}
