//! Weight fillers, as in the authors' Caffe.

use rand_core::Rng;

use crate::random::normal;

/// Distribution of the initial weights of one layer. Biases are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filler {
    /// Normal with standard deviation `coeff * sqrt(2 / fan_in)`: Caffe's "msra" filler with the
    /// authors' hand-set multiplier (`msra_coeff`).
    Msra {
        /// The multiplier.
        coeff: f64,
    },
    /// Normal with this standard deviation, and this constant for the bias.
    Gaussian {
        /// Standard deviation of the weights.
        std: f64,
        /// Value of every bias.
        bias: f32,
    },
}

impl Filler {
    /// Draws the weights of a tensor with `shape`, whose first axis is the one Caffe calls `shape[0]`.
    ///
    /// Caffe's fan-in is `count / shape[0]`: `in * k²` for a convolution `(out, in, k, k)`, but
    /// `out * k²` for a transposed convolution `(in, out, k, k)`.
    pub fn draw(self, shape: &[usize], rng: &mut impl Rng) -> Vec<f32> {
        let count: usize = shape.iter().product();
        normal(rng, count, self.std(shape))
    }

    /// The standard deviation for a tensor with `shape`.
    ///
    /// ```
    /// use deepsim_nets::init::Filler;
    /// // deconv5 of the FC6 generator, 256 -> 256 channels: 0.03977 in the released solver.
    /// let std = Filler::Msra { coeff: 1.8 }.std(&[256, 256, 4, 4]);
    /// assert!((std - 0.03977).abs() < 1e-5);
    /// ```
    pub fn std(self, shape: &[usize]) -> f64 {
        match self {
            Filler::Gaussian { std, .. } => std,
            Filler::Msra { coeff } => {
                let fan_in: usize = shape.iter().skip(1).product();
                coeff * (2.0 / fan_in as f64).sqrt()
            }
        }
    }

    /// The constant that biases start from.
    pub fn bias(self) -> f32 {
        match self {
            Filler::Gaussian { bias, .. } => bias,
            Filler::Msra { .. } => 0.0,
        }
    }
}
