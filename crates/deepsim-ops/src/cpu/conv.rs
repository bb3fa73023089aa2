//! One convolution and its gradients; two ways to compute them.
//!
//! All functions speak of one convolution from `x (n, c_in, h, w)` to `y (n, c_out, oh, ow)` with
//! weights `(c_out, c_in / groups, kh, kw)`; a transposed convolution is the same with the roles of
//! `x` and `y` exchanged. Maps wide enough to fill vectors go to [`direct`], small ones to
//! [`lowered`].

use rayon::prelude::*;

use super::simd::Isa;
use super::{direct, lowered};

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

    pub(crate) fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    /// Rows of the patch matrix of one group.
    pub(crate) fn patch(&self) -> usize {
        self.group_in() * self.kh * self.kw
    }

    pub(crate) fn x_len(&self) -> usize {
        self.c_in * self.h * self.w
    }

    pub(crate) fn y_len(&self) -> usize {
        self.c_out * self.oh * self.ow
    }

    pub(crate) fn w_len(&self) -> usize {
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
}

/// `y = conv(x, w) + bias`, then a leaky ReLU; `y` must be zero.
pub(crate) fn forward(s: &ConvShape, x: &[f32], w: &[f32], finish: Finish<'_>, y: &mut [f32]) {
    let isa = Isa::best();
    if direct::suits_forward(s, isa) {
        direct::forward(s, isa, x, w, finish, y);
    } else {
        lowered::forward(s, x, w, finish, y);
    }
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
    let isa = Isa::best();
    if direct::suits_backward_data(s, isa) {
        direct::backward_data(s, isa, y, w, finish, x);
    } else {
        lowered::backward_data(s, y, w, finish, x);
    }
}

/// The gradient of [`forward`] to its weights.
pub(crate) fn backward_weight(s: &ConvShape, x: &[f32], y: &[f32]) -> Vec<f32> {
    let isa = Isa::best();
    if direct::suits_backward_weight(s, isa) {
        direct::backward_weight(s, isa, x, y)
    } else {
        lowered::backward_weight(s, x, y)
    }
}

/// Adds partial sums in order, so that the result does not depend on who computed them.
pub(crate) fn add_in_order(mut sums: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    const CHUNK: usize = 4096;
    let Some((first, rest)) = sums.split_first_mut() else { return vec![0.0; len] };
    first.par_chunks_mut(CHUNK).enumerate().for_each(|(i, total)| {
        for sum in rest.iter() {
            for (t, v) in total.iter_mut().zip(&sum[i * CHUNK..]) {
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
            planes.map(sum).sum::<f64>() as f32
        })
        .collect()
}

/// Sum in double precision, in eight lanes so that additions need not wait for one another.
fn sum(values: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&v| f64::from(v)).sum();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(v);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// What is done to a result while it is still in the cache.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// Added to each channel.
    pub(crate) bias: Option<&'a [f32]>,
    /// Slope of a leaky ReLU.
    pub(crate) leaky: Option<f32>,
}

impl Finish<'_> {
    pub(crate) fn apply(&self, values: &mut [f32], plane: usize) {
        if self.bias.is_none() && self.leaky.is_none() {
            return;
        }
        let slope = self.leaky.unwrap_or(1.0);
        for (index, plane) in values.chunks_exact_mut(plane.max(1)).enumerate() {
            let bias = self.bias.map_or(0.0, |bias| bias[index % bias.len()]);
            for value in plane {
                let v = *value + bias;
                *value = if v > 0.0 { v } else { v * slope };
            }
        }
    }
}
