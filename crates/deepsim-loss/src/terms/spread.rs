//! Spread: a reward for the distance of draws, which makes up for what keeps them together.

use candle_core::Tensor;
use deepsim_nets::Images;
use serde::{Deserialize, Serialize};

use super::energy_score::{between, scales};
use super::several;
use crate::LossError;
use crate::term::{Inputs, Term, TermValue, at_images};

/// Term of the distance of draws ([`spread`]) beside the energy score; the paper has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Weight of the term; at more than 0.4 of the image term's nothing bounds the distance.
    pub weight: f64,
}

impl Term for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        at_images(inputs.output, |images| spread(images, inputs.draws))
    }
}

/// The second part of the [energy score](super::energy_score) by itself: minus half of the mean distance of two draws, at the
/// scales and with the factors of the score.
///
/// The score alone is least where draws are as far apart as photographs, but only just: near its minimum other terms, such as a
/// squared error of features, pull draws together almost unopposed. With weights `w` of this term and `v` of the score, draws in
/// many dimensions whose mean is off by `e` are best with a deviation of `σ² / (e² + σ²) = (1 + w/v)² / 2`: `σ = e`, which is
/// calibrated, for `w = 0`, and without bound from `w = 0.41 v` on.
///
/// # Shapes
/// `(draws * B, 3, H, W)`: the first draw of all inputs, then the second one, and so on -> scalar
///
/// # Errors
/// If there are fewer than two draws, or the number of images is no multiple of `draws`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// let images = Images::from_u8(&[[10; 3], [14; 3]].concat(), 2, 1, 1, PixelFormat::RGB_U8, &Device::Cpu)?;
/// let loss = terms::spread(&images, 2)?.to_scalar::<f32>()?;
/// assert!((loss + 0.5 * 4.0 * 3f32.sqrt()).abs() < 1e-5);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn spread(images: &Images, draws: usize) -> Result<Tensor, LossError> {
    several("spread", images, draws)?;
    let distances = scales(images.tensor())?.into_iter();
    let distances = distances.map(|(scale, s)| Ok((between(&s, draws)? * (-0.5 * scale))?));
    Ok(Tensor::stack(&distances.collect::<Result<Vec<_>, LossError>>()?, 0)?.sum_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use deepsim_nets::PixelFormat;
    use deepsim_nets::random::{normal, stream};

    use super::*;
    use crate::terms::energy_score;

    #[test]
    fn it_is_what_the_score_has_beside_the_error() -> Result<(), LossError> {
        // The score of draws whose targets are the first and the second of them: half of their distance is the error.
        let values = normal(&mut stream(1, "images", 0), 2 * 3 * 16 * 16, 20.0);
        let tensor = Tensor::from_vec(values, (2, 3, 16, 16), &Device::Cpu)?;
        let images = Images::new(tensor.clone(), PixelFormat::CAFFE_BGR)?;
        let swapped = Tensor::cat(&[tensor.narrow(0, 1, 1)?, tensor.narrow(0, 0, 1)?], 0)?;
        // Each draw beside the other: the error is their distance, and the score half of it.
        let score = energy_score(&images, &images.with_tensor(swapped)?, 2)?;
        let (score, spread) = (score.to_scalar::<f32>()?, spread(&images, 2)?.to_scalar::<f32>()?);
        assert!((score + spread).abs() < 1e-3 * score, "{score} {spread}");
        Ok(())
    }

    #[test]
    fn one_draw_and_odd_numbers_are_refused() -> Result<(), LossError> {
        let three = Images::from_u8(&[0; 9], 3, 1, 1, PixelFormat::RGB_U8, &Device::Cpu)?;
        for draws in [0, 1, 2] {
            let message = spread(&three, draws).expect_err("draws").to_string();
            assert!(message.contains(&format!("{draws} draws in 3 images")), "{message}");
        }
        Ok(())
    }
}
