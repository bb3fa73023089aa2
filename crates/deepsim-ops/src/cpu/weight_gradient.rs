//! The gradient of a convolution to its weights, on channels-last images.
//!
//! For each tap it is a product of two matrices that lie in the images as they are: input channels
//! by pixels, times pixels by output channels. A panel of output channels is copied once for a block
//! of pixels that fits in the first-level cache, and met there by the inputs of all taps.

use rayon::prelude::*;

use super::axis::Axis;
use super::buffer::Buffer;
use super::conv::{ConvShape, add_in_order};
use super::elementwise;
use super::kernel::{Kernels, Product};
use super::linear::Linear;
use super::panels::{Panel, Panels, unpack};
use super::simd::Isa;
use super::winograd;

/// Pixels of a block.
const BLOCK: usize = 160;
/// Channels of a full panel of the widest vectors.
const WIDE: usize = 32;
/// Units of work that a convolution is split into if it can be.
const UNITS: usize = 8;

/// `dw (c_out, c_in / groups, kh, kw)` from the input `x` and the gradient `dy`, both channels-last.
pub(crate) fn backward_weight(s: &ConvShape, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
    crate::flops::count(s.flops());
    correlate_images(s, isa, x, dy)
}

/// Does as [`backward_weight`] within another operation, which counts its own FLOPs.
pub(super) fn correlate_images(s: &ConvShape, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
    assert!(x.len() == s.n * s.x_len() && dy.len() == s.n * s.y_len(), "images of other sizes");
    if let Some(l) = Linear::of(s) {
        return l.backward_weight(isa, x, dy);
    }
    if let Some(algorithm) = winograd::suited_to_weights(s, isa) {
        return winograd::backward_weight(s, algorithm, isa, x, dy);
    }
    let panels = Panels::new(s.groups, s.group_out(), s.group_in(), s.kh * s.kw, isa);
    // Images are shared among parts whose sums are added in order; depends on sizes only.
    let parts = UNITS.div_ceil(panels.list.len()).min(s.n);
    let taps = taps(s);
    let mut sums: Vec<Buffer> = (0..parts).map(|_| Buffer::new(panels.len())).collect();
    let work: Vec<_> = sums
        .iter_mut()
        .enumerate()
        .flat_map(|(part, sums)| {
            let images = part * s.n / parts..(part + 1) * s.n / parts;
            panels.split(sums).into_iter().map(move |(panel, sums)| (images.clone(), panel, sums))
        })
        .collect();
    work.into_par_iter().for_each(|(images, panel, sums)| {
        sums.fill(0.0);
        let x = &x[images.start * s.x_len()..images.end * s.x_len()];
        let dy = &dy[images.start * s.y_len()..images.end * s.y_len()];
        one_panel(s, isa, &panels, &panel, &taps, (x, dy), sums);
    });
    add_in_order(isa, &mut sums);
    unpack(s, &panels, &sums[0])
}

/// Outputs that a tap, or a row of neighbouring taps, contributes to.
struct Tap {
    /// Offset in the panel, in source channels.
    weights: usize,
    /// Number of contiguous source channels, from the tap's first one.
    run: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    /// Source pixel of the first of those outputs.
    from: (usize, usize),
}

fn taps(s: &ConvShape) -> Vec<Tap> {
    let rows = Axis::forward(s.h, s.kh, s.sh, s.ph, s.oh, s.dh);
    let columns = Axis::forward(s.w, s.kw, s.sw, s.pw, s.ow, s.dw);
    // Without padding and dilation, a row of the kernel is one run of values.
    let whole_rows = s.groups == 1 && columns.runs().len() == 1 && s.pw == 0 && s.dw == 1;
    let across = if whole_rows { 1 } else { s.kw };
    let run = if whole_rows { s.kw * s.group_in() } else { s.group_in() };
    let mut taps = Vec::new();
    for ky in 0..s.kh {
        for kx in 0..across {
            let (down, right) = (rows.outputs_of(ky), columns.outputs_of(kx));
            if down.is_empty() || right.is_empty() {
                continue;
            }
            taps.push(Tap {
                weights: (ky * s.kw + kx) * s.group_in(),
                run,
                from: (rows.position(down.start, ky), columns.position(right.start, kx)),
                rows: down,
                columns: right,
            });
        }
    }
    taps
}

fn one_panel(
    s: &ConvShape,
    isa: Isa,
    panels: &Panels,
    panel: &Panel,
    taps: &[Tap],
    (x, dy): (&[f32], &[f32]),
    sums: &mut [f32],
) {
    let kernels = Kernels::of(isa);
    let width = panel.vectors * isa.lanes();
    let images = dy.len() / s.y_len();
    // A block is some rows of one image, or some whole images.
    let block_rows = (BLOCK / s.ow).clamp(1, s.oh);
    let block_rows = s.oh.div_ceil(s.oh.div_ceil(block_rows));
    let block_images = if block_rows < s.oh { 1 } else { (BLOCK / (s.oh * s.ow)).max(1) };
    let mut packed = Buffer::new(block_images * block_rows * s.ow * width);
    for image in (0..images).step_by(block_images) {
        let count = block_images.min(images - image);
        for row in (0..s.oh).step_by(block_rows) {
            let rows = row..(row + block_rows).min(s.oh);
            let y_strides = (rows.len() * s.ow * width, s.ow * width, width);
            for i in 0..count {
                let from = ((image + i) * s.oh + row) * s.ow * s.c_out + panel.first;
                let pixels = dy[from..].chunks(s.c_out).take(rows.len() * s.ow);
                let packed = packed[i * y_strides.0..].chunks_exact_mut(width);
                if panel.channels == WIDE {
                    // The usual case, without a call for every copy.
                    for (packed, pixel) in packed.zip(pixels) {
                        packed[..WIDE].copy_from_slice(&pixel[..WIDE]);
                    }
                    continue;
                }
                for (packed, pixel) in packed.zip(pixels) {
                    let (used, unused) = packed.split_at_mut(panel.channels);
                    used.copy_from_slice(&pixel[..panel.channels]);
                    unused.fill(0.0);
                }
            }
            for tap in taps {
                let (start, end) = (tap.rows.start.max(rows.start), tap.rows.end.min(rows.end));
                if start >= end {
                    continue;
                }
                let source_row = tap.from.0 + (start - tap.rows.start) * s.sh;
                let from = ((image * s.h + source_row) * s.w + tap.from.1) * s.c_in
                    + panel.group * panels.depth;
                let y = (start - rows.start) * y_strides.1 + tap.columns.start * width;
                let tiles = tap.run.div_ceil(kernels.most);
                for tile in 0..tiles {
                    let (r0, r1) = (tile * tap.run / tiles, (tile + 1) * tap.run / tiles);
                    let product = Product {
                        x: x[from + r0..].as_ptr(),
                        x_strides: (s.x_len(), s.sh * s.w * s.c_in, s.sw * s.c_in),
                        y: packed[y..].as_ptr(),
                        y_strides,
                        counts: (count, end - start, tap.columns.len()),
                        sums: sums[(tap.weights + r0) * width..].as_mut_ptr(),
                        sums_stride: width,
                    };
                    // SAFETY: the instruction set was detected; the tap's outputs are those whose
                    // source pixel is in the image; `packed` holds the block, `sums` the panel.
                    unsafe { kernels.product(panel.vectors, r1 - r0, &product) };
                }
            }
        }
    }
}

/// Sums over everything but channels: the gradient of a bias.
pub(crate) fn backward_bias(isa: Isa, dy: &[f32], channels: usize) -> Vec<f32> {
    const PIXELS: usize = 512;
    let parts: Vec<Vec<f32>> = dy
        .par_chunks(PIXELS * channels)
        .map(|dy| {
            let mut sums = vec![0f32; channels];
            elementwise::add_rows(isa, dy, &mut sums);
            sums
        })
        .collect();
    // Partial sums are short, but there are many to add.
    let total = |channel| parts.iter().map(|part| f64::from(part[channel])).sum::<f64>() as f32;
    (0..channels).map(total).collect()
}
