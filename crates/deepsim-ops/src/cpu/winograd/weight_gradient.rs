//! The gradient to the weights.
//!
//! A tile of the gradient to the output meets the tile of inputs that it was made from. Tiles of all images are summed
//! before the result is transformed back, a block of them at a time.

use rayon::prelude::*;

use super::grid::Grid;
use super::transform::{gather_output, spread_input, spread_weights};
use super::{Algorithm, GAP, MOST, cheapest, tiles};
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
    cheapest(s, algorithms(s, isa))
}

/// Returns all algorithms for the gradient, and how many tiles an image then has.
pub(in super::super) fn algorithms(
    s: &ConvShape,
    isa: Isa,
) -> impl Iterator<Item = (Algorithm, usize)> {
    let fits = s.group_out().is_multiple_of(isa.lanes());
    // A larger tile would lose more digits in sums of so many tiles.
    let tiles = tiles(s).filter(move |(tile, _)| fits && *tile <= 6);
    let (rows, columns) = (s.oh, s.ow);
    tiles.filter_map(move |(tile, made)| {
        let taps = (tile + 1).checked_sub(made).filter(|taps| *taps > 1)?;
        Some((Algorithm { tile, taps }, rows.div_ceil(taps) * columns.div_ceil(taps)))
    })
}

/// Does what [`crate::cpu::weight_gradient::correlate_images`] does, tile by tile.
pub(in super::super) fn backward_weight(
    s: &ConvShape,
    algorithm: Algorithm,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    match (algorithm.tile, algorithm.taps) {
        (4, 2) => by_tiles::<4, 2, 3>(s, isa, x, dy),
        (4, 3) => by_tiles::<4, 3, 2>(s, isa, x, dy),
        (6, 2) => by_tiles::<6, 2, 5>(s, isa, x, dy),
        (6, 4) => by_tiles::<6, 4, 3>(s, isa, x, dy),
        _ => unreachable!("{algorithm:?}"),
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

fn by_tiles<const T: usize, const R: usize, const M: usize>(
    s: &ConvShape,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    // One panel for each position, as a convolution of one tap from the channels of all sub-images has them.
    let parts = s.sh * s.sw;
    let panels = Panels::new(s.groups, s.group_out(), parts * s.group_in(), 1, isa);
    let tiles = s.n * s.oh.div_ceil(R) * s.ow.div_ceil(R);
    let mut sums = Buffer::new(T * T * panels.len());
    let stride = parts * s.c_in + GAP;
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
            if start == 0 {
                sums.fill(0.0);
            }
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
    let taps = Panels::new(s.groups, s.group_out(), s.group_in(), s.kh * s.kw, isa);
    unpack(s, &taps, &gathered::<T, M>(s, isa, &panels, &taps, &sums))
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
    let (from, made) = (Grid::input(s), Grid::output(s));
    let (stride, sets) = (block.stride, block.sets);
    let inputs = Destination(block.inputs.as_mut_ptr());
    let gradients = Destination(block.gradients.as_mut_ptr());
    (0..count.div_ceil(TOGETHER)).into_par_iter().for_each(|group| {
        for i in group * TOGETHER..((group + 1) * TOGETHER).min(count) {
            let tile = start + i;
            let image = tile / (down * across);
            let first = (R * (tile / across % down), R * (tile % across));
            let made = made.pixels(R, (image, 0), first, dy, &zeros);
            // SAFETY: the instruction set was detected; pixels have all channels, which are at least as many as a vector
            // has lanes; every tile has its own part of each position, and the gradients of each panel, too.
            unsafe {
                for part in 0..from.parts() {
                    let seen = from.pixels(T, (image, part), first, x, &zeros);
                    let to = inputs.get().add(i * stride + part * s.c_in);
                    spread_input::<T>(isa, &seen, to, sets.0, s.c_in);
                }
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
    s: &ConvShape,
    isa: Isa,
    panels: &Panels,
    taps: &Panels,
    sums: &[f32],
) -> Buffer {
    let mut gathered = Buffer::new(taps.len());
    let (kernel, stride) = (s.kh, s.sh);
    taps.split(&mut gathered).into_par_iter().for_each(|(panel, gathered)| {
        let len = gathered.len() / (kernel * kernel);
        let sums = &sums[panel.at / (kernel * kernel) * stride * stride..];
        // Taps that a sub-image's kernel lacks are made aside.
        let (bias, mut spare) = (vec![0f32; len], vec![0f32; len]);
        for part in 0..stride * stride {
            let mut to = [spare.as_mut_ptr(); MOST];
            let whole = gathered.as_mut_ptr();
            for (i, to) in to.iter_mut().enumerate().take(M * M) {
                let (y, x) = (stride * (i / M) + part / stride, stride * (i % M) + part % stride);
                if y < kernel && x < kernel {
                    // SAFETY: the panel has `len` floats for each of the kernel's taps.
                    *to = unsafe { whole.add((y * kernel + x) * len) };
                }
            }
            // SAFETY: the instruction set was detected; each tap has `len` floats, a whole number of vectors, and so has
            // each sub-image of the panel at each position.
            unsafe {
                let (from, stride) = (sums[part * len..].as_ptr(), panels.len());
                gather_output::<T, M>(isa, from, stride, bias.as_ptr(), (1.0, 1.0), &to, None, len);
            }
        }
    });
    gathered
}
