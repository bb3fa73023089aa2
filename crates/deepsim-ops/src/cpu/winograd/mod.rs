//! Convolution in fewer multiplications: Winograd's algorithm.
//!
//! A tile of `M x M` outputs is computed from `T x T` inputs, `T = M + R - 1`, with `T²` instead of `M² R²`
//! multiplications for each pair of channels. Inputs, weights and outputs are transformed channel by channel; between
//! the transforms lie `T²` matrix products over channels, done by the kernels of direct convolution. The gradient to
//! the weights is the same sum with the roles exchanged: a tile of the gradient to the output takes the place of the
//! weights, and the products run over tiles.
//!
//! A convolution of stride `s` is a sum of `s²` convolutions of stride 1, each of a sub-image ([`grid`]) with every
//! `s`-th tap, `R = ceil(k / s)` along an axis. All have the same outputs, so the channels of all sub-images are summed
//! in one matrix product. The gradient to the input, which is also the transposed convolution, computes `s²`
//! sub-images from the same transformed tile.
//!
//! | kernel | stride | tile | `R` | outputs of a tile | multiplications, of direct ones |
//! |---|---|---|---|---|---|
//! | 3x3 | 1 | 4, 6, 7 | 3 | 2x2, 4x4, 5x5 | 1/2.3, 1/4, 1/4.6 |
//! | 5x5 | 1 | 6, 7 | 5 | 2x2, 3x3 | 1/2.8, 1/4.6 |
//! | 4x4, or 2x2 | 2, or 1 | 4 | 2 | 3x3 | 1/2.3 |
//! | 5x5 | 2 | 4 | 3 | 2x2 | 1/1.6 |
//!
//! The tile is chosen by size: outputs beyond the border are computed for nothing, and so are taps that the kernel of a
//! sub-image lacks. A small tile has fewer weights to transform. With a stride, which has the weights of `s²` kernels,
//! larger tiles were slower in most layers and lost more digits. `DEEPSIM_WINOGRAD=0` turns all of it off.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4; the choice of points after
//! Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks" (2020).

mod correlate;
mod grid;
mod transform;
mod weight_gradient;

use std::sync::OnceLock;

use crate::cpu::axis::Axis;
use crate::cpu::conv::ConvShape;

#[cfg(test)]
pub(super) use correlate::algorithms;
pub(super) use correlate::{run, suited};
#[cfg(test)]
pub(super) use weight_gradient::algorithms as algorithms_for_weights;
pub(super) use weight_gradient::{backward_weight, suited as suited_to_weights};

/// Positions of the largest tile.
const MOST: usize = 7 * 7;
/// Channels, those of all sub-images together, below which transforms cost more than they save.
const CHANNELS: usize = 32;
/// Channels of an image below which its pixels fill no vector.
const WIDEST: usize = 16;
/// Largest stride whose layers were measured.
const STRIDE: usize = 2;
/// Floats between neighbours beyond their own, so that they do not share their places in the cache.
const GAP: usize = 16;
/// Cost of transforming one value, in multiplications.
const TRANSFORM: f64 = 20.0;
/// Cost of transforming one weight, in multiplications: the share of an image, as if a batch had eight.
const WEIGHT: f64 = 3.5;
/// Largest cost, as a share of that of direct convolution, at which it pays.
const WORTH: f64 = 0.95;

/// Sizes of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    /// Side of a tile of inputs.
    pub(super) tile: usize,
    /// Side of a sub-image's kernel; of gradients to weights, of a tile of the gradient to the output.
    taps: usize,
}

/// Returns false if `DEEPSIM_WINOGRAD=0`.
pub(super) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("DEEPSIM_WINOGRAD").is_none_or(|value| value != "0"))
}

/// Returns the sides of tiles for a convolution, each with that of a sub-image's kernel; none if it is not regular.
fn tiles(s: &ConvShape) -> impl Iterator<Item = (usize, usize)> + use<> {
    let square = s.kh == s.kw && s.sh == s.sw && (s.dh, s.dw) == (1, 1);
    // The channels of all sub-images lie side by side, which those of a group would not.
    let strided = s.sh == 1 || (s.groups == 1 && s.sh <= STRIDE);
    let wide = s.group_in().min(s.group_out()) >= WIDEST;
    let channels = (s.sh * s.sh * s.group_in()).min(s.group_out()) >= CHANNELS;
    let taps = s.kh.div_ceil(s.sh);
    let sides: &[usize] = match (s.sh, taps) {
        (1, 3 | 5) => &[4, 6, 7],
        (_, 2 | 3) => &[4],
        _ => &[],
    };
    let suited = is_on() && square && strided && wide && channels;
    sides.iter().filter(move |_| suited).map(move |&tile| (tile, taps))
}

/// Returns the cheapest of some algorithms, given with their tiles of an image; `None` if direct convolution is.
fn cheapest(
    s: &ConvShape,
    algorithms: impl Iterator<Item = (Algorithm, usize)>,
) -> Option<Algorithm> {
    let costs = algorithms.map(|(algorithm, tiles)| (algorithm, cost(s, algorithm.tile, tiles)));
    let (algorithm, cost) = costs.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (cost < WORTH * direct_cost(s)).then_some(algorithm)
}

/// Multiplications of an algorithm for an image and a pair of channels, with what its transforms cost.
fn cost(s: &ConvShape, tile: usize, tiles: usize) -> f64 {
    let parts = s.sh * s.sw;
    // Channels of all sub-images together.
    let (from, to) = (parts * s.group_in(), s.group_out());
    let transforms = TRANSFORM * (1.0 / from as f64 + 1.0 / to as f64);
    (tile * tile * parts) as f64 * (tiles as f64 * (1.0 + transforms) + WEIGHT)
}

/// Multiplications of direct convolution for a pair of channels; taps in the padding cost nothing. The adjoint and the
/// gradient to the weights have as many.
fn direct_cost(s: &ConvShape) -> f64 {
    let taps = |axis: &Axis| -> usize {
        axis.runs().iter().map(|run| run.outputs.len() * run.taps.len()).sum()
    };
    let rows = Axis::forward(s.h, s.kh, s.sh, s.ph, s.oh, 1);
    let columns = Axis::forward(s.w, s.kw, s.sw, s.pw, s.ow, 1);
    (taps(&rows) * taps(&columns)) as f64
}
