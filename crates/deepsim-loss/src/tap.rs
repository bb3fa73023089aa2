//! The distance of features at one tap, position by position.

use candle_core::Tensor;

use crate::LossError;

/// Added to the length of a feature vector that is divided by it, as in LPIPS.
pub const LENGTH_EPSILON: f64 = 1e-10;

/// Added to squares below a root, so that its derivative exists at zero.
const ROOT_EPSILON: f64 = 1e-36;

/// Reduction of the positions of a tap to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Half the sum over positions: Caffe's `EuclideanLoss`, the feature term of the paper.
    HalfSum,
    /// The mean over positions.
    Mean,
}

/// The distance at one tap: `weight * reduction over positions of Σ_c channels[c] (f_c - g_c)²`.
#[derive(Clone, Debug, PartialEq)]
pub struct TapDistance {
    pub(crate) tap: String,
    weight: f64,
    channels: Option<Vec<f32>>,
    unit_length: bool,
    pub(crate) reduction: Reduction,
}

impl TapDistance {
    /// Creates the paper's feature distance: `weight * ½ Σ (f - g)²` over channels and positions.
    pub fn deepsim(tap: impl Into<String>, weight: f64) -> Self {
        let (tap, reduction) = (tap.into(), Reduction::HalfSum);
        Self { tap, weight, channels: None, unit_length: false, reduction }
    }

    /// Creates LPIPS at one layer: features divided by their length over channels, weighted squared
    /// differences, mean over positions.
    pub fn lpips(tap: impl Into<String>, channels: Vec<f32>) -> Self {
        let (tap, reduction) = (tap.into(), Reduction::Mean);
        Self { tap, weight: 1.0, channels: Some(channels), unit_length: true, reduction }
    }

    /// Replaces the weight.
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// Sets a weight for each channel.
    #[must_use]
    pub fn channels(self, channels: Vec<f32>) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// Divides features by their length over channels plus [`LENGTH_EPSILON`] if true, or leaves them unchanged.
    #[must_use]
    pub fn unit_length(self, unit_length: bool) -> Self {
        Self { unit_length, ..self }
    }

    /// Replaces the reduction over positions.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// Name of the tap.
    pub fn tap(&self) -> &str {
        &self.tap
    }

    /// Returns a description of invalid numbers, if there are any.
    pub(crate) fn problem(&self) -> Option<String> {
        let usable = |weight: f64| weight.is_finite() && weight >= 0.0;
        let wrong = std::iter::once(self.weight)
            .chain(self.channels.iter().flatten().map(|&weight| f64::from(weight)))
            .find(|&weight| !usable(weight));
        wrong.map(|weight| format!("weight {weight} at tap {}", self.tap))
    }

    /// Returns the factor of the sum over `positions`.
    pub(crate) fn factor(&self, positions: usize) -> f64 {
        match self.reduction {
            Reduction::HalfSum => 0.5 * self.weight,
            Reduction::Mean => self.weight / positions as f64,
        }
    }

    /// `(N, C, h, w)` or `(N, C)` -> `(N, C, h, w)`, divided by its length if that is asked for.
    pub(crate) fn prepare(&self, features: &Tensor) -> Result<Tensor, LossError> {
        let features = match features.dims() {
            &[n, c] => features.reshape((n, c, 1, 1))?,
            _ => features.clone(),
        };
        if let Some(channels) = &self.channels
            && channels.len() != features.dim(1)?
        {
            return Err(LossError::Mismatch {
                operation: "perceptual distance",
                wanted: format!("{} channel weights at tap {}", features.dim(1)?, self.tap),
                got: format!("{}", channels.len()),
            });
        }
        if self.unit_length { unit_length(&features) } else { Ok(features) }
    }

    /// `Σ_c channels[c] (f_c - g_c)²`, `(N, C, h, w)` twice -> `(N, 1, h, w)`.
    pub(crate) fn at_positions(
        &self,
        output: &Tensor,
        target: &Tensor,
    ) -> Result<Tensor, LossError> {
        if output.dims() != target.dims() {
            return Err(LossError::Mismatch {
                operation: "perceptual distance",
                wanted: format!("the target's features {:?} at {}", target.dims(), self.tap),
                got: format!("{:?}", output.dims()),
            });
        }
        let squares = (output - target)?.sqr()?;
        match &self.channels {
            Some(weights) => sum_channels(&squares, weights),
            None => sum_channels(&squares, &vec![1.0; squares.dim(1)?]),
        }
    }
}

/// Divides every position's feature vector by its length plus [`LENGTH_EPSILON`].
///
/// Sums over channels, and broadcasts to them, are matrix products, because candle's
/// own reduction over an axis that is not the last is slow on the CPU.
fn unit_length(features: &Tensor) -> Result<Tensor, LossError> {
    let (n, c, h, w) = features.dims4()?;
    let squares = sum_channels(&features.sqr()?, &vec![1.0; c])?;
    let inverse = (((squares + ROOT_EPSILON)?.sqrt()? + LENGTH_EPSILON)?).recip()?;
    let ones = Tensor::ones((n, c, 1), features.dtype(), features.device())?;
    let inverse = ones.matmul(&inverse.reshape((n, 1, h * w))?)?.reshape((n, c, h, w))?;
    Ok((features * inverse)?)
}

/// `(N, C, h, w) -> (N, 1, h, w)`
fn sum_channels(values: &Tensor, weights: &[f32]) -> Result<Tensor, LossError> {
    let (n, c, h, w) = values.dims4()?;
    let weights = Tensor::from_slice(&weights.repeat(n), (n, 1, c), values.device())?;
    Ok(weights.matmul(&values.reshape((n, c, h * w))?)?.reshape((n, 1, h, w))?)
}
