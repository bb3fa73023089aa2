//! Convolution, its adjoint and its weight gradient, as im2col and matrix products.
//!
//! All three speak of one convolution from `x (n, c_in, h, w)` to `y (n, c_out, oh, ow)` with
//! weights `(c_out, c_in / groups, kh, kw)`; a transposed convolution is the same with the roles of
//! `x` and `y` exchanged.

use rayon::prelude::*;

use super::gemm::{Matrix, gemm};
use super::im2col::{col2im, im2col};
use super::scratch;

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
    pub(crate) groups: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
}

impl ConvShape {
    pub(crate) fn group_in(&self) -> usize {
        self.c_in / self.groups
    }

    fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    /// Rows of the patch matrix of one group.
    fn patch(&self) -> usize {
        self.group_in() * self.kh * self.kw
    }

    fn x_len(&self) -> usize {
        self.c_in * self.h * self.w
    }

    fn y_len(&self) -> usize {
        self.c_out * self.oh * self.ow
    }

    fn w_len(&self) -> usize {
        self.c_out * self.patch()
    }

    /// The input row that output row `oy` reads with tap `ky`, if it is not padding.
    pub(crate) fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.sh + ky).checked_sub(self.ph).filter(|&iy| iy < self.h)
    }

    /// The output columns `from..to` whose tap `kx` reads the input and not padding.
    pub(crate) fn valid_columns(&self, kx: usize) -> (usize, usize) {
        let from = self.pw.saturating_sub(kx).div_ceil(self.sw);
        let to = (self.w + self.pw).saturating_sub(kx).div_ceil(self.sw).min(self.ow);
        (from.min(to), to)
    }

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

/// `y = conv(x, w) + bias`; every element of `y` is written.
pub(crate) fn forward(s: &ConvShape, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
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
            if let Some(bias) = bias {
                add_bias(y, bias, plane);
            }
        });
}

/// `x = convᵀ(y, w) + bias`: the gradient of [`forward`] to its input, and the transposed
/// convolution. `x` must be zero.
pub(crate) fn backward_data(
    s: &ConvShape,
    y: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
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
            if let Some(bias) = bias {
                add_bias(x, bias, s.h * s.w);
            }
        });
}

/// The gradient of [`forward`] to its weights.
pub(crate) fn backward_weight(s: &ConvShape, x: &[f32], y: &[f32]) -> Vec<f32> {
    let (out, patch) = (s.group_out(), s.patch());
    let part = s.n.div_ceil(WEIGHT_PARTS).max(1);
    let mut sums: Vec<Vec<f32>> = x
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
    let Some((first, rest)) = sums.split_first_mut() else { return vec![0.0; s.w_len()] };
    let chunk = 4096;
    first.par_chunks_mut(chunk).enumerate().for_each(|(i, total)| {
        for sum in rest.iter() {
            for (t, v) in total.iter_mut().zip(&sum[i * chunk..]) {
                *t += v;
            }
        }
    });
    std::mem::take(first)
}

/// Sums over everything but channels: the gradient of a bias.
pub(crate) fn backward_bias(gradient: &[f32], channels: usize, plane: usize) -> Vec<f32> {
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = gradient.chunks_exact(plane).skip(channel).step_by(channels);
            planes.map(|plane| plane.iter().map(|&v| f64::from(v)).sum::<f64>()).sum::<f64>() as f32
        })
        .collect()
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

fn add_bias(values: &mut [f32], bias: &[f32], plane: usize) {
    for (index, plane) in values.chunks_exact_mut(plane.max(1)).enumerate() {
        let bias = bias[index % bias.len()];
        for value in plane {
            *value += bias;
        }
    }
}
