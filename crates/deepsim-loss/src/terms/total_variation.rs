//! Total variation: a penalty on differences of neighbouring pixels, against noise and period-two grids.

use candle_core::Tensor;
use deepsim_nets::Images;
use serde::{Deserialize, Serialize};

use super::{batch, half_mean_squared};
use crate::LossError;
use crate::term::{Inputs, Term, TermValue, at_images};

/// Term of the total variation of the generated images; the paper has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotalVariation {
    /// Weight of the term.
    pub weight: f64,
}

impl Term for TotalVariation {
    fn name(&self) -> &'static str {
        "total_variation"
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        at_images(inputs.output, total_variation)
    }
}

/// Squared total variation, `1/(2B) Σ (J[y+1,x] - J[y,x])² + (J[y,x+1] - J[y,x])²`.
///
/// # Shapes
/// `(B, 3, H, W)` -> scalar
///
/// # Errors
/// If an operation fails.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// // Rows 0 1 and 3 3 in each channel: differences 3 and 2 downwards, 1 and 0 to the right.
/// let values = Tensor::new(&[0f32, 1., 3., 3.].repeat(3)[..], &Device::Cpu)?.reshape((1, 3, 2, 2))?;
/// let images = Images::new(values, PixelFormat::RGB_U8)?;
/// let loss = terms::total_variation(&images)?;
/// assert_eq!(loss.to_scalar::<f32>()?, 0.5 * 3.0 * (9.0 + 4.0 + 1.0));
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn total_variation(images: &Images) -> Result<Tensor, LossError> {
    let pixels = images.tensor();
    let along = |dim: usize| -> Result<Option<Tensor>, LossError> {
        let size = pixels.dim(dim)?;
        if size < 2 {
            return Ok(None);
        }
        let (next, this) = (pixels.narrow(dim, 1, size - 1)?, pixels.narrow(dim, 0, size - 1)?);
        half_mean_squared("total variation", &next, &this).map(Some)
    };
    Ok(match (along(2)?, along(3)?) {
        (Some(down), Some(right)) => (down + right)?,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => (pixels.sum_all()? * (0.0 / batch(pixels)))?,
    })
}
