//! Convolution lowered to matrix products: im2col, then gemm. Good for small maps, where images are
//! put side by side to make the products wide.

use rayon::prelude::*;

use super::conv::{ConvShape, Finish, add_in_order};
use super::gemm::{Matrix, gemm};
use super::im2col::{col2im, im2col};
use super::scratch;

impl ConvShape {
    /// Images handled together, so that matrix products are wide and there are a few units of work
    /// to share.
    fn images_per_unit(&self) -> usize {
        let fitting = (MAX_COLUMNS / (self.oh * self.ow).max(1)).max(1);
        self.n.div_ceil(self.n.div_ceil(fitting).max(MIN_UNITS.min(self.n))).max(1)
    }

    /// Ranges of output rows whose patch matrix for `images` images fits in the cache.
    fn row_tiles(&self, images: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let columns = (CACHE_FLOATS / self.patch().max(1)).clamp(MIN_COLUMNS, MAX_COLUMNS);
        let (oh, rows) = (self.oh, (columns / (self.ow * images).max(1)).clamp(1, self.oh.max(1)));
        let rows = oh.div_ceil(oh.div_ceil(rows).max(1)).max(1);
        (0..oh).step_by(rows).map(move |start| start..(start + rows).min(oh))
    }
}

/// Floats of a patch matrix: 1 MiB, the second-level cache of one core.
const CACHE_FLOATS: usize = 256 * 1024;
/// Narrower products waste time on packing the weights ...
const MIN_COLUMNS: usize = 192;
/// ... and wider ones gain nothing.
const MAX_COLUMNS: usize = 1024;
/// Units of work a batch is split into, if it has that many images.
const MIN_UNITS: usize = 4;
/// Partial sums of the weight gradient, added in order.
const WEIGHT_PARTS: usize = 8;

/// `y = conv(x, w) + bias`, then a leaky ReLU; every element of `y` is written.
pub(crate) fn forward(s: &ConvShape, x: &[f32], w: &[f32], finish: Finish<'_>, y: &mut [f32]) {
    let unit = s.images_per_unit();
    let (out, patch, plane) = (s.group_out(), s.patch(), s.oh * s.ow);
    y.par_chunks_mut((unit * s.y_len()).max(1))
        .zip(x.par_chunks((unit * s.x_len()).max(1)))
        .for_each(|(y, x)| {
            let images = y.len() / s.y_len();
            for group in 0..s.groups {
                let weights = Matrix::rows(&w[group * out * patch..][..out * patch], patch);
                for rows in s.row_tiles(images) {
                    let columns = images * rows.len() * s.ow;
                    scratch::with(patch * columns, |col| {
                        im2col(s, x, images, group, rows.clone(), col);
                        let col = Matrix::rows(col, columns);
                        let shape = (out, columns, patch);
                        if images == 1 {
                            let y = &mut y[group * out * plane + rows.start * s.ow..];
                            gemm(shape, weights, col, y, plane, false);
                        } else {
                            scratch::with(out * columns, |result| {
                                gemm(shape, weights, col, result, columns, false);
                                scatter(s, result, group, rows.clone(), y);
                            });
                        }
                    });
                }
            }
            finish.apply(y, plane);
        });
}

/// `x = convᵀ(y, w) + bias`, then a leaky ReLU: the gradient of [`forward`] to its input, and the transposed
/// convolution. `x` must be zero.
pub(crate) fn backward_data(
    s: &ConvShape,
    y: &[f32],
    w: &[f32],
    finish: Finish<'_>,
    x: &mut [f32],
) {
    let unit = s.images_per_unit();
    let (out, patch) = (s.group_out(), s.patch());
    x.par_chunks_mut((unit * s.x_len()).max(1))
        .zip(y.par_chunks((unit * s.y_len()).max(1)))
        .for_each(|(x, y)| {
            let images = x.len() / s.x_len();
            for group in 0..s.groups {
                let weights = Matrix::rows(&w[group * out * patch..][..out * patch], patch).t();
                for rows in s.row_tiles(images) {
                    let columns = images * rows.len() * s.ow;
                    scratch::with(patch * columns, |col| {
                        with_y(s, y, images, group, rows.clone(), |y| {
                            gemm((patch, columns, out), weights, y, col, columns, false);
                        });
                        col2im(s, col, images, group, rows.clone(), x);
                    });
                }
            }
            finish.apply(x, s.h * s.w);
        });
}

/// The gradient of [`forward`] to its weights.
pub(crate) fn backward_weight(s: &ConvShape, x: &[f32], y: &[f32]) -> Vec<f32> {
    let (out, patch) = (s.group_out(), s.patch());
    let part = s.n.div_ceil(WEIGHT_PARTS).max(1);
    let sums: Vec<Vec<f32>> = x
        .par_chunks((part * s.x_len()).max(1))
        .zip(y.par_chunks((part * s.y_len()).max(1)))
        .map(|(x, y)| {
            let mut sum = vec![0f32; s.w_len()];
            let images = s.images_per_unit().min(part);
            for (x, y) in x.chunks(images * s.x_len()).zip(y.chunks(images * s.y_len())) {
                let images = x.len() / s.x_len();
                for group in 0..s.groups {
                    let sum = &mut sum[group * out * patch..][..out * patch];
                    for rows in s.row_tiles(images) {
                        let columns = images * rows.len() * s.ow;
                        scratch::with(patch * columns, |col| {
                            im2col(s, x, images, group, rows.clone(), col);
                            let col = Matrix::rows(col, columns).t();
                            with_y(s, y, images, group, rows.clone(), |y| {
                                gemm((out, patch, columns), y, col, sum, patch, true);
                            });
                        });
                    }
                }
            }
            sum
        })
        .collect();
    add_in_order(sums, s.w_len())
}

/// The rows of `y` as a matrix (channel of the group) x (image, oy, ox).
fn with_y(
    s: &ConvShape,
    y: &[f32],
    images: usize,
    group: usize,
    rows: std::ops::Range<usize>,
    f: impl FnOnce(Matrix<'_>),
) {
    let (out, plane) = (s.group_out(), s.oh * s.ow);
    if images == 1 {
        return f(Matrix::rows(&y[group * out * plane + rows.start * s.ow..], plane));
    }
    let (len, columns) = (rows.len() * s.ow, images * rows.len() * s.ow);
    scratch::with(out * columns, |gathered| {
        for (channel, line) in gathered.chunks_exact_mut(columns).enumerate() {
            for (image, part) in line.chunks_exact_mut(len).enumerate() {
                let start = (image * s.c_out + group * out + channel) * plane + rows.start * s.ow;
                part.copy_from_slice(&y[start..start + len]);
            }
        }
        f(Matrix::rows(gathered, columns));
    });
}

/// The inverse of [`with_y`]: puts a result back into `y`.
fn scatter(
    s: &ConvShape,
    result: &[f32],
    group: usize,
    rows: std::ops::Range<usize>,
    y: &mut [f32],
) {
    let (out, plane) = (s.group_out(), s.oh * s.ow);
    let (len, images) = (rows.len() * s.ow, y.len() / s.y_len());
    for (channel, line) in result.chunks_exact(images * len).enumerate() {
        for (image, part) in line.chunks_exact(len).enumerate() {
            let start = (image * s.c_out + group * out + channel) * plane + rows.start * s.ow;
            y[start..start + len].copy_from_slice(part);
        }
    }
}
