//! Convolution with stride 1 in fewer multiplications: Winograd's algorithm.
//!
//! A tile of `M x M` outputs is computed from `T x T` inputs, `T = M + R - 1`, with `T²` instead of `M² R²`
//! multiplications for each pair of channels. Inputs, weights and outputs are transformed channel by channel; between
//! the transforms lie `T²` matrix products over channels, done by the kernels of direct convolution. The gradient to
//! the weights is the same sum with the roles exchanged: a tile of the gradient to the output takes the place of the
//! weights, and the products run over tiles.
//!
//! | kernel | tile | outputs of a tile | multiplications, of direct ones |
//! |---|---|---|---|
//! | 3x3 | 6 | 4x4 | 1/4 |
//! | 3x3 | 7 | 5x5 | 1/4.6 |
//! | 5x5 | 6 | 2x2 | 1/2.8 |
//! | 5x5 | 7 | 3x3 | 1/4.6 |
//!
//! The tile is chosen by size: outputs beyond the border are computed for nothing. `DEEPSIM_WINOGRAD=0` turns all of it
//! off.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4; the choice of points after
//! Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks" (2020).

mod correlate;
mod transform;
mod weight_gradient;

use std::sync::OnceLock;

use crate::cpu::axis::Axis;

pub(super) use correlate::{run, suited};
pub(super) use weight_gradient::{backward_weight, suited as suited_to_weights};

/// Positions of the largest tile.
const MOST: usize = 7 * 7;
/// Channels below which transforms cost more than they save.
const CHANNELS: usize = 32;
/// Floats between neighbours beyond their own, so that they do not share their places in the cache.
const GAP: usize = 16;
/// Cost of transforming one value, in multiplications.
const TRANSFORM: f64 = 8.0;
/// Largest cost, as a share of that of direct convolution, at which it pays: weights are transformed too.
const WORTH: f64 = 0.75;

/// Sizes of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    /// Side of a tile of inputs.
    pub(super) tile: usize,
    /// Side of the kernel; of gradients to weights, of a tile of the gradient to the output.
    taps: usize,
}

impl Algorithm {
    /// Side of a tile of outputs.
    fn made(self) -> usize {
        self.tile + 1 - self.taps
    }
}

/// Returns false if `DEEPSIM_WINOGRAD=0`.
fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("DEEPSIM_WINOGRAD").is_none_or(|value| value != "0"))
}

/// Multiplications of an algorithm for a pair of channels, with what its transforms cost.
fn cost(tile: usize, tiles: usize, (from, to): (usize, usize)) -> f64 {
    let transforms = TRANSFORM * (1.0 / from as f64 + 1.0 / to as f64);
    (tiles * tile * tile) as f64 * (1.0 + transforms)
}

/// Multiplications of direct convolution for a pair of channels; taps in the padding cost nothing.
fn direct_cost(rows: &Axis, columns: &Axis) -> f64 {
    let taps = |axis: &Axis| -> usize {
        axis.runs().iter().map(|run| run.outputs.len() * run.taps.len()).sum()
    };
    (taps(rows) * taps(columns)) as f64
}

/// The `T x T` pixels of an image of `sizes` (height, width, channels) from its pixel `(top, left)` on, which may have
/// wrapped around in the padding before the first row or column; `zeros` where there is none.
fn pixels<const T: usize>(
    images: &[f32],
    (height, width, channels): (usize, usize, usize),
    image: usize,
    (top, left): (usize, usize),
    zeros: &[f32],
) -> [*const f32; MOST] {
    let mut pixels = [zeros.as_ptr(); MOST];
    for (i, row) in pixels.chunks_exact_mut(T).take(T).enumerate() {
        let y = top.wrapping_add(i);
        if y >= height {
            continue;
        }
        let source = &images[(image * height + y) * width * channels..][..width * channels];
        for (j, pixel) in row.iter_mut().enumerate() {
            let x = left.wrapping_add(j);
            if x < width {
                *pixel = source[x * channels..].as_ptr();
            }
        }
    }
    pixels
}
