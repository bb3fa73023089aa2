//! Direct convolution on planes, without patch matrices.
//!
//! An image is copied once into zero-padded planes; for a stride, into one plane for each phase of
//! the stride. Then the value that tap `k = (channel, ky, kx)` contributes to the output pixel at
//! flat position `p = oy * width + ox` lies at `offset[k] + p`, so a convolution is a sum over `k`
//! of shifted planes times weights: contiguous vector loads, accumulators in registers, and no
//! special case for stride or padding. The price is the few positions between rows that are computed
//! and thrown away.
//!
//! The adjoint is the same sum with the roles exchanged, for each phase of its output. The weight
//! gradient is a dot product of planes along `p`.

use rayon::prelude::*;

use super::conv::{ConvShape, Finish, add_in_order};
use super::kernel::{self, Sum};
use super::scratch;
use super::simd::Isa;

/// Floats that vector loads may reach beyond the last plane.
const SLACK: usize = 128;
/// Share of useful lanes below which matrix products are the better way.
const WORTHWHILE: f64 = 0.5;
/// Positions below which the horizontal sums of the weight gradient cost too much.
const LONG: usize = 256;
/// Partial sums of the weight gradient, added in order.
const WEIGHT_PARTS: usize = 8;

/// How one image lies in padded planes, and where a tap finds its values.
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
    /// Phases of the stride, vertical and horizontal.
    phases: (usize, usize),
    /// Zeros before the first row and column, in unphased pixels.
    before: (usize, usize),
}

impl Planes {
    /// The input of a convolution.
    fn of_input(s: &ConvShape) -> Self {
        Self {
            channels: s.group_in(),
            height: ((s.oh - 1) * s.sh + s.kh - 1) / s.sh + 1,
            width: ((s.ow - 1) * s.sw + s.kw - 1) / s.sw + 1,
            phases: (s.sh, s.sw),
            before: (s.ph, s.pw),
        }
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn len(&self) -> usize {
        self.channels * self.phases.0 * self.phases.1 * self.plane() + SLACK
    }

    /// Copies an image of `channels` planes of `h x w`.
    fn fill(&self, image: &[f32], (h, w): (usize, usize), planes: &mut [f32]) {
        planes.fill(0.0);
        let (vertical, horizontal) = self.phases;
        for (channel, image) in image.chunks_exact(h * w).enumerate() {
            for (y, row) in image.chunks_exact(w).enumerate() {
                let (a, q) = ((y + self.before.0) % vertical, (y + self.before.0) / vertical);
                if q >= self.height {
                    break;
                }
                let first = (channel * vertical + a) * horizontal;
                if horizontal == 1 {
                    let columns = w.min(self.width - self.before.1);
                    let at = first * self.plane() + q * self.width + self.before.1;
                    planes[at..at + columns].copy_from_slice(&row[..columns]);
                    continue;
                }
                for b in 0..horizontal {
                    // The first pixel whose padded column has phase b.
                    let x = (b + horizontal - self.before.1 % horizontal) % horizontal;
                    let start = (x + self.before.1) / horizontal;
                    let at = (first + b) * self.plane() + q * self.width;
                    let target = &mut planes[at + start..at + self.width.max(start)];
                    for (t, v) in target.iter_mut().zip(row.iter().skip(x).step_by(horizontal)) {
                        *t = *v;
                    }
                }
            }
        }
    }

    /// Where tap `(channel, ky, kx)` starts.
    fn offset(&self, channel: usize, ky: usize, kx: usize) -> u32 {
        let (vertical, horizontal) = self.phases;
        let phase = (channel * vertical + ky % vertical) * horizontal + kx % horizontal;
        (phase * self.plane() + ky / vertical * self.width + kx / horizontal) as u32
    }

    fn offsets(&self, kh: usize, kw: usize) -> Vec<u32> {
        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx)));
        let taps: Vec<_> = taps.collect();
        (0..self.channels)
            .flat_map(|c| taps.iter().map(move |&(ky, kx)| self.offset(c, ky, kx)))
            .collect()
    }
}

/// Flat positions of `rows x columns` pixels in planes of `width`.
fn positions(rows: usize, columns: usize, width: usize) -> usize {
    (rows - 1) * width + columns
}

fn useful(rows: usize, columns: usize, width: usize, isa: Isa) -> f64 {
    let lanes = isa.lanes();
    let computed = positions(rows, columns, width).div_ceil(lanes) * lanes;
    (rows * columns) as f64 / computed as f64
}

pub(crate) fn suits_forward(s: &ConvShape, isa: Isa) -> bool {
    // A stride beyond the kernel leaves phases that no tap reads.
    let reads_every_phase = s.sh <= s.kh && s.sw <= s.kw;
    reads_every_phase && useful(s.oh, s.ow, Planes::of_input(s).width, isa) >= WORTHWHILE
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
    let (planes, out, patch) = (Planes::of_input(s), s.group_out(), s.patch());
    let offsets = planes.offsets(s.kh, s.kw);
    let block = kernel::block(isa, out);
    let weights: Vec<Vec<f32>> = (0..s.groups)
        .map(|g| kernel::pack(block, out, patch, |o, k| w[(g * out + o) * patch + k]))
        .collect();
    let len = positions(s.oh, s.ow, planes.width);
    let stride = len.next_multiple_of(isa.lanes());
    y.par_chunks_mut(s.y_len()).zip(x.par_chunks(s.x_len())).for_each(|(y, x)| {
        for (g, weights) in weights.iter().enumerate() {
            let x = &x[g * planes.channels * s.h * s.w..][..planes.channels * s.h * s.w];
            let y = &mut y[g * out * s.oh * s.ow..][..out * s.oh * s.ow];
            scratch::with(planes.len(), |padded| {
                planes.fill(x, (s.h, s.w), padded);
                scratch::with(out.next_multiple_of(block) * stride, |flat| {
                    let sum = Sum { x: padded, offsets: &offsets, weights, len, stride, block };
                    sum.run(isa, flat);
                    let rows = y.chunks_exact_mut(s.ow).enumerate();
                    for (row, target) in rows {
                        let at = row / s.oh * stride + row % s.oh * planes.width;
                        target.copy_from_slice(&flat[at..at + s.ow]);
                    }
                });
            });
        }
        finish.apply(y, s.oh * s.ow);
    });
}

/// The planes of `y` for the adjoint, and how many positions each phase of `x` has.
fn adjoint(s: &ConvShape) -> (Planes, usize, usize) {
    // Input row iy = q * sh + a - ph takes from output rows q - t, where tap ky = t * sh + a.
    let (rows, columns) = ((s.h + s.ph - 1) / s.sh + 1, (s.w + s.pw - 1) / s.sw + 1);
    let before = ((s.kh - 1) / s.sh, (s.kw - 1) / s.sw);
    let planes = Planes {
        channels: s.group_out(),
        height: rows.max(s.oh) + before.0,
        width: columns.max(s.ow) + before.1,
        phases: (1, 1),
        before,
    };
    (planes, rows, columns)
}

pub(crate) fn suits_backward_data(s: &ConvShape, isa: Isa) -> bool {
    let (planes, rows, columns) = adjoint(s);
    useful(rows, columns, planes.width, isa) >= WORTHWHILE
}

/// `x = convᵀ(y, w) + bias`, then a leaky ReLU; every element of `x` is written.
pub(crate) fn backward_data(
    s: &ConvShape,
    isa: Isa,
    y: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    x: &mut [f32],
) {
    let (planes, rows, columns) = adjoint(s);
    let (out, inp, patch) = (s.group_out(), s.group_in(), s.patch());
    let block = kernel::block(isa, inp);
    // One sum for each phase (a, b) of the input and each group.
    let phases: Vec<Phase> = (0..s.sh)
        .flat_map(|a| (0..s.sw).map(move |b| (a, b)))
        .filter(|&(a, b)| a < s.kh && b < s.kw)
        .map(|(a, b)| {
            let (down, across) = ((s.kh - a).div_ceil(s.sh), (s.kw - b).div_ceil(s.sw));
            let taps: Vec<(usize, usize, usize)> = (0..out)
                .flat_map(|o| (0..down).flat_map(move |t| (0..across).map(move |u| (o, t, u))))
                .collect();
            let offsets = taps
                .iter()
                .map(|&(o, t, u)| planes.offset(o, planes.before.0 - t, planes.before.1 - u))
                .collect();
            let weights = (0..s.groups)
                .map(|g| {
                    kernel::pack(block, inp, taps.len(), |c, k| {
                        let (o, t, u) = taps[k];
                        let tap = (c * s.kh + t * s.sh + a) * s.kw + u * s.sw + b;
                        w[(g * out + o) * patch + tap]
                    })
                })
                .collect();
            Phase { a, b, offsets, weights }
        })
        .collect();
    let len = positions(rows, columns, planes.width);
    let stride = len.next_multiple_of(isa.lanes());
    x.par_chunks_mut(s.x_len()).zip(y.par_chunks(s.y_len())).for_each(|(x, y)| {
        for g in 0..s.groups {
            let y = &y[g * out * s.oh * s.ow..][..out * s.oh * s.ow];
            let x = &mut x[g * inp * s.h * s.w..][..inp * s.h * s.w];
            scratch::with(planes.len(), |padded| {
                planes.fill(y, (s.oh, s.ow), padded);
                scratch::with(inp.next_multiple_of(block) * stride, |flat| {
                    for phase in &phases {
                        let (offsets, weights) = (&phase.offsets, &phase.weights[g]);
                        Sum { x: padded, offsets, weights, len, stride, block }.run(isa, flat);
                        phase.spread(s, flat, stride, planes.width, x);
                    }
                });
            });
        }
        finish.apply(x, s.h * s.w);
    });
}

/// The part of the adjoint that makes input pixels of one phase of the stride.
struct Phase {
    a: usize,
    b: usize,
    offsets: Vec<u32>,
    /// Packed, for each group.
    weights: Vec<Vec<f32>>,
}

impl Phase {
    /// Copies the sums to the pixels of this phase.
    fn spread(&self, s: &ConvShape, flat: &[f32], stride: usize, width: usize, x: &mut [f32]) {
        // The first pixel of this phase, and its position q = (pixel + padding) / stride.
        let first = |phase: usize, padding: usize, stride: usize| {
            let pixel = (phase + stride - padding % stride) % stride;
            (pixel, (pixel + padding) / stride)
        };
        let (top, q0) = first(self.a, s.ph, s.sh);
        let (left, r0) = first(self.b, s.pw, s.sw);
        for (channel, x) in x.chunks_exact_mut(s.h * s.w).enumerate() {
            for (q, y) in (top..s.h).step_by(s.sh).enumerate() {
                let source = &flat[channel * stride + (q0 + q) * width + r0..];
                let target = &mut x[y * s.w..(y + 1) * s.w];
                if s.sw == 1 {
                    target.copy_from_slice(&source[..s.w]);
                } else {
                    for (t, v) in target.iter_mut().skip(left).step_by(s.sw).zip(source) {
                        *t = *v;
                    }
                }
            }
        }
    }
}

pub(crate) fn suits_backward_weight(s: &ConvShape, isa: Isa) -> bool {
    let planes = Planes::of_input(s);
    suits_forward(s, isa) && positions(s.oh, s.ow, planes.width) >= LONG
}

/// The gradient of [`forward`] to its weights.
pub(crate) fn backward_weight(s: &ConvShape, isa: Isa, x: &[f32], y: &[f32]) -> Vec<f32> {
    let (planes, out, patch) = (Planes::of_input(s), s.group_out(), s.patch());
    let offsets = planes.offsets(s.kh, s.kw);
    let stride = positions(s.oh, s.ow, planes.width).next_multiple_of(isa.lanes());
    let part = s.n.div_ceil(WEIGHT_PARTS);
    let sums = x
        .par_chunks(part * s.x_len())
        .zip(y.par_chunks(part * s.y_len()))
        .map(|(x, y)| {
            let mut sums = vec![0f32; s.w_len()];
            for (x, y) in x.chunks_exact(s.x_len()).zip(y.chunks_exact(s.y_len())) {
                for (g, sums) in sums.chunks_exact_mut(out * patch).enumerate() {
                    let x = &x[g * planes.channels * s.h * s.w..][..planes.channels * s.h * s.w];
                    let y = &y[g * out * s.oh * s.ow..][..out * s.oh * s.ow];
                    scratch::with(planes.len(), |padded| {
                        planes.fill(x, (s.h, s.w), padded);
                        scratch::with(out * stride, |flat| {
                            // Positions between rows take no part.
                            flat.fill(0.0);
                            for (row, source) in y.chunks_exact(s.ow).enumerate() {
                                let at = row / s.oh * stride + row % s.oh * planes.width;
                                flat[at..at + s.ow].copy_from_slice(source);
                            }
                            kernel::dots(isa, flat, stride, padded, &offsets, sums);
                        });
                    });
                }
            }
            sums
        })
        .collect();
    add_in_order(sums, s.w_len())
}
