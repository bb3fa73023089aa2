//! Distances of images to their targets: squared error, l1, and the energy score of several draws.

use candle_core::Tensor;
use deepsim_nets::Images;
use serde::{Deserialize, Serialize};

use super::{batch, energy_score, half_mean_squared, same_format, same_shape};
use crate::LossError;
use crate::term::{Inputs, Term, TermValue, at_images};

/// Term of the distance to the target in image space.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTerm {
    /// Distance of two images.
    pub distance: Distance,
    /// Weight of the term.
    pub weight: f64,
}

impl ImageTerm {
    /// Weight of squared pixels beside which a feature term is calibrated; 0, for the paper's, with the other distances, whose
    /// weights are those of norms.
    ///
    /// ```
    /// use deepsim_loss::terms::{Distance, ImageTerm};
    /// let term = |distance| ImageTerm { distance, weight: 1e-3 };
    /// assert_eq!(term(Distance::SquaredError).calibrates(), 1e-3);
    /// assert_eq!(term(Distance::AbsoluteError).calibrates(), 0.0);
    /// ```
    pub fn calibrates(&self) -> f64 {
        match self.distance {
            Distance::SquaredError => self.weight,
            Distance::AbsoluteError | Distance::EnergyScore => 0.0,
        }
    }
}

impl Term for ImageTerm {
    fn name(&self) -> &'static str {
        "image"
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        at_images(inputs.output, |images| {
            self.distance.between(images, inputs.target, inputs.draws)
        })
    }
}

/// Distance of the image term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// `1/(2B) Σ d²`
    SquaredError,
    /// `1/B Σ |d|`
    AbsoluteError,
    /// [`energy_score`], of several draws.
    EnergyScore,
}

impl Distance {
    /// The image term with this distance, of `draws` images of each target. Only the energy score depends on which
    /// images are of the same target.
    ///
    /// # Shapes
    /// two `(B, 3, H, W)` -> scalar
    ///
    /// # Errors
    /// If the images differ in shape or pixel format, or there are too few draws for the energy score.
    pub fn between(
        self,
        output: &Images,
        target: &Images,
        draws: usize,
    ) -> Result<Tensor, LossError> {
        match self {
            Distance::SquaredError => squared_error(output, target),
            Distance::AbsoluteError => absolute_error(output, target),
            Distance::EnergyScore => energy_score(output, target, draws),
        }
    }
}

/// Image term `L_img`, and the SE baseline: `1/(2B) Σ (J - I)²`.
///
/// # Shapes
/// two `(B, 3, H, W)` -> scalar
///
/// # Errors
/// If the images differ in shape or pixel format.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// let images = |v: u8| Images::from_u8(&[v; 2 * 3 * 4 * 4], 2, 4, 4, PixelFormat::RGB_U8, &Device::Cpu);
/// let loss = terms::squared_error(&images(12)?, &images(10)?)?;
/// assert_eq!(loss.to_scalar::<f32>()?, 0.5 * 4.0 * 3.0 * 4.0 * 4.0);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn squared_error(output: &Images, target: &Images) -> Result<Tensor, LossError> {
    same_format(output, target)?;
    half_mean_squared("squared error", output.tensor(), target.tensor())
}

/// The l1 baseline: `1/B Σ |J - I|`, a sum over the values of an image; divide by `3 H W` for their mean.
///
/// # Shapes
/// two `(B, 3, H, W)` -> scalar
///
/// # Errors
/// If the images differ in shape or pixel format.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// let images = |v: u8| Images::from_u8(&[v; 2 * 3 * 4 * 4], 2, 4, 4, PixelFormat::RGB_U8, &Device::Cpu);
/// let loss = terms::absolute_error(&images(12)?, &images(10)?)?;
/// assert_eq!(loss.to_scalar::<f32>()?, 2.0 * 3.0 * 4.0 * 4.0);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn absolute_error(output: &Images, target: &Images) -> Result<Tensor, LossError> {
    same_format(output, target)?;
    same_shape("absolute error", output.tensor(), target.tensor())?;
    let sum = deepsim_ops::absolute_error(output.tensor(), target.tensor())?;
    Ok((sum / batch(output.tensor()))?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use deepsim_nets::PixelFormat;

    use super::*;

    #[test]
    fn other_shapes_and_formats_are_refused() -> Result<(), LossError> {
        let device = Device::Cpu;
        let bgr = Images::from_u8(&[1; 12], 1, 2, 2, PixelFormat::CAFFE_BGR, &device)?;
        let rgb = Images::from_u8(&[1; 12], 1, 2, 2, PixelFormat::RGB_U8, &device)?;
        let large = Images::from_u8(&[1; 48], 1, 4, 4, PixelFormat::CAFFE_BGR, &device)?;
        for (a, b, words) in [(&bgr, &rgb, "Bgr"), (&bgr, &large, "[1, 3, 4, 4]")] {
            for distance in [Distance::SquaredError, Distance::AbsoluteError, Distance::EnergyScore]
            {
                let message = distance.between(a, b, 2).expect_err("a mismatch").to_string();
                assert!(message.contains(words), "{message}");
            }
        }
        Ok(())
    }
}
