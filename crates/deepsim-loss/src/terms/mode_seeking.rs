//! Mode seeking: a reward for draws of one input that differ.

use candle_core::Tensor;
use deepsim_nets::{Images, PixelFormat};
use serde::{Deserialize, Serialize};

use super::several;
use crate::LossError;
use crate::term::{Inputs, Term, TermValue, at_images};

/// Term that keeps two draws of one input apart ([`mode_seeking`]); the paper has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSeeking {
    /// Weight of the term; 1 in its paper, beside losses of about 1.
    pub weight: f64,
}

impl Term for ModeSeeking {
    fn name(&self) -> &'static str {
        "mode_seeking"
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        at_images(inputs.output, |images| mode_seeking(images, inputs.draws))
    }
}

/// Mean absolute difference of two numbers of N(0, 1), of which noise is made.
const NOISE: f64 = std::f64::consts::FRAC_2_SQRT_PI;

/// Mode seeking loss (Mao et al. 2019) of the first two draws: the reciprocal of `mean |s1 - s2| / mean |z1 - z2| + 1e-5`, of
/// pixels from -1 to 1.
///
/// Unlike the [energy score](super::energy_score) it has no best spread: it always pulls draws further apart, and any difference
/// counts. It is no mean over images: half a batch has another value. The distance of the noise is replaced by its expectation
/// `2 / √π`, from which it hardly differs for thousands of numbers.
///
/// # Shapes
/// `(draws * B, 3, H, W)`: the first draw of all inputs, then the second one, and so on -> scalar
///
/// # Errors
/// If there are fewer than two draws, or the number of images is no multiple of `draws`.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// let values = [[0; 3], [51; 3]].concat();
/// let images = Images::from_u8(&values, 2, 1, 1, PixelFormat::RGB_U8, &Device::Cpu)?;
/// let loss = terms::mode_seeking(&images, 2)?.to_scalar::<f32>()?;
/// // The draws are 0.4 apart in pixels of -1 to 1.
/// assert!((loss - 1.128_379 / 0.4).abs() < 1e-3);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn mode_seeking(images: &Images, draws: usize) -> Result<Tensor, LossError> {
    several("mode seeking", images, draws)?;
    let pixels = images.convert(PixelFormat::UNIT)?.into_tensor();
    let inputs = images.len() / draws;
    let difference = (pixels.narrow(0, 0, inputs)? - pixels.narrow(0, inputs, inputs)?)?;
    let apart = (difference.abs()?.mean_all()? * (2.0 / NOISE))?;
    Ok((apart + 1e-5)?.recip()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn it_pulls_draws_apart_in_any_format() -> Result<(), LossError> {
        let values: Vec<u8> = [[10u8; 12], [40; 12], [20; 12], [30; 12]].concat();
        for format in [PixelFormat::RGB_U8, PixelFormat::CAFFE_BGR, PixelFormat::UNIT] {
            let images = Images::from_u8(&values, 4, 2, 2, format, &Device::Cpu)?;
            let output = Var::from_tensor(images.tensor())?;
            let loss = mode_seeking(&images.with_tensor(output.as_tensor().clone())?, 2)?;
            // 10 apart in both pairs.
            let expected = NOISE / (10.0 / 127.5);
            assert!((f64::from(loss.to_scalar::<f32>()?) - expected).abs() < 1e-2 * expected);
            let gradients = loss.backward()?;
            let gradient = gradients.get(&output).expect("a gradient").flatten_from(1)?;
            // Descent lowers the smaller of two draws and raises the larger.
            let signs: Vec<bool> =
                gradient.to_vec2::<f32>()?.iter().map(|of| of.iter().all(|g| *g > 0.0)).collect();
            assert_eq!(signs, [true, false, false, true], "{format:?}");
        }
        Ok(())
    }

    #[test]
    fn one_draw_and_odd_numbers_are_refused() -> Result<(), LossError> {
        let three = Images::from_u8(&[0; 9], 3, 1, 1, PixelFormat::RGB_U8, &Device::Cpu)?;
        for draws in [0, 1, 2] {
            let message = mode_seeking(&three, draws).expect_err("draws").to_string();
            assert!(message.contains(&format!("{draws} draws in 3 images")), "{message}");
        }
        Ok(())
    }
}
