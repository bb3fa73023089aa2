//! Losses of the discriminator's logits: cross-entropies as in the paper, or hinges.

use candle_core::Tensor;
use deepsim_nets::discriminator::{GENERATED, REAL};
use deepsim_ops::softmax_cross_entropy;
use serde::{Deserialize, Serialize};

use crate::LossError;

/// Kind of the losses of discriminator and generator. All are means over images, or over patches.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms::AdversarialLoss;
/// // The scores, logits for real less those for generated, are 3 and -0.5.
/// let logits = Tensor::new(&[[2f32, -1.0], [0.0, 0.5]], &Device::Cpu)?;
/// let hinge = AdversarialLoss::Hinge;
/// assert_eq!(hinge.real(&logits)?.to_scalar::<f32>()?, 0.75); // (0 + 1.5) / 2
/// assert_eq!(hinge.generated(&logits)?.to_scalar::<f32>()?, 2.25); // (4 + 0.5) / 2
/// assert_eq!(hinge.generator(&logits)?.to_scalar::<f32>()?, -1.25); // -(3 - 0.5) / 2
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    /// Cross-entropies ([`adversarial`], [`discriminator_real`], [`discriminator_generated`]), as in the paper.
    #[default]
    CrossEntropy,
    /// Hinges of the score `s`, the logit for real less that for generated: the discriminator minimises `max(0, 1 - s)`
    /// on real images and `max(0, 1 + s)` on generated ones, the generator `-s` (Lim and Ye, "Geometric GAN", arXiv
    /// 1705.02894). A discriminator that is sure learns nothing more from an image, and the generator's gradient does not
    /// fade where the discriminator wins.
    Hinge,
}

impl AdversarialLoss {
    /// Returns the generator's loss on generated images.
    ///
    /// # Shapes
    /// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
    ///
    /// # Errors
    /// If the logits have another shape.
    pub fn generator(self, generated: &Tensor) -> Result<Tensor, LossError> {
        match self {
            Self::CrossEntropy => adversarial(generated),
            Self::Hinge => Ok(score(generated)?.mean_all()?.neg()?),
        }
    }

    /// Returns the discriminator's loss on real images.
    ///
    /// # Shapes
    /// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
    ///
    /// # Errors
    /// If the logits have another shape.
    pub fn real(self, real: &Tensor) -> Result<Tensor, LossError> {
        match self {
            Self::CrossEntropy => discriminator_real(real),
            Self::Hinge => Ok((1.0 - score(real)?)?.relu()?.mean_all()?),
        }
    }

    /// Returns the discriminator's loss on generated images.
    ///
    /// # Shapes
    /// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
    ///
    /// # Errors
    /// If the logits have another shape.
    pub fn generated(self, generated: &Tensor) -> Result<Tensor, LossError> {
        match self {
            Self::CrossEntropy => discriminator_generated(generated),
            Self::Hinge => Ok((1.0 + score(generated)?)?.relu()?.mean_all()?),
        }
    }
}

/// Logit for real less that for generated, `(B, 2) -> (B, 1)`.
fn score(logits: &Tensor) -> Result<Tensor, LossError> {
    check(logits)?;
    let logit = |class: u32| logits.narrow(1, class as usize, 1);
    Ok((logit(REAL)? - logit(GENERATED)?)?)
}

/// Adversarial term of the generator, `-1/B Σ log D(J)`, from the logits of generated images.
///
/// # Shapes
/// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
///
/// # Errors
/// If the logits have another shape.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// // Two images: the discriminator holds one for real, and is undecided about the other.
/// let logits = Tensor::new(&[[100f32, -100.0], [0.0, 0.0]], &Device::Cpu)?;
/// let loss = terms::adversarial(&logits)?.to_scalar::<f32>()?;
/// assert!((loss - 0.5 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn adversarial(generated: &Tensor) -> Result<Tensor, LossError> {
    cross_entropy(generated, REAL)
}

/// Loss of the discriminator on real images, `-1/B Σ log D(I)`, from their logits.
///
/// # Shapes
/// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
///
/// # Errors
/// If the logits have another shape.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// // Two images: the discriminator holds one for real, and is undecided about the other.
/// let logits = Tensor::new(&[[100f32, -100.0], [0.0, 0.0]], &Device::Cpu)?;
/// let loss = terms::discriminator_real(&logits)?.to_scalar::<f32>()?;
/// assert!((loss - 0.5 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn discriminator_real(real: &Tensor) -> Result<Tensor, LossError> {
    cross_entropy(real, REAL)
}

/// Loss of the discriminator on generated images, `-1/B Σ log(1 - D(J))`, from their logits.
///
/// # Shapes
/// logits `(B, 2)`, [`REAL`] and [`GENERATED`] -> scalar
///
/// # Errors
/// If the logits have another shape.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// // Two images: the discriminator holds one for generated, and is undecided about the other.
/// let logits = Tensor::new(&[[-100f32, 100.0], [0.0, 0.0]], &Device::Cpu)?;
/// let loss = terms::discriminator_generated(&logits)?.to_scalar::<f32>()?;
/// assert!((loss - 0.5 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn discriminator_generated(generated: &Tensor) -> Result<Tensor, LossError> {
    cross_entropy(generated, GENERATED)
}

fn cross_entropy(logits: &Tensor, label: u32) -> Result<Tensor, LossError> {
    let labels = vec![label; check(logits)?];
    Ok(softmax_cross_entropy(logits, &labels)?)
}

/// Returns the number of rows of logits.
fn check(logits: &Tensor) -> Result<usize, LossError> {
    match *logits.dims() {
        [n, 2] => Ok(n),
        _ => Err(LossError::Mismatch {
            operation: "adversarial loss",
            wanted: "logits (B, 2), real and generated".into(),
            got: format!("{:?}", logits.dims()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    #[test]
    fn a_hinge_pulls_at_scores_within_its_margin_alone() -> Result<(), LossError> {
        // Scores -3, -0.5, 0.5 and 3.
        let rows = [[0f32, 3.0], [0.0, 0.5], [0.25, -0.25], [2.0, -1.0]];
        let logits = Var::new(&rows, &Device::Cpu)?;
        type Loss = fn(&Tensor) -> Result<Tensor, LossError>;
        let cases: [(Loss, f32, [f32; 4]); 3] = [
            (
                |x| AdversarialLoss::Hinge.real(x),
                (4.0 + 1.5 + 0.5) / 4.0,
                [-0.25, -0.25, -0.25, 0.0],
            ),
            (
                |x| AdversarialLoss::Hinge.generated(x),
                (0.5 + 1.5 + 4.0) / 4.0,
                [0.0, 0.25, 0.25, 0.25],
            ),
            (|x| AdversarialLoss::Hinge.generator(x), 0.0, [-0.25; 4]),
        ];
        for (loss, value, of_scores) in cases {
            let loss = loss(&logits)?;
            assert_eq!(loss.to_scalar::<f32>()?, value);
            let gradients = loss.backward()?;
            let gradient = gradients.get(&logits).expect("a gradient").to_vec2::<f32>()?;
            assert_eq!(gradient, of_scores.map(|g| vec![g, -g]));
        }
        Ok(())
    }

    #[test]
    fn logits_are_two_for_each_image() -> Result<(), LossError> {
        for shape in [&[4, 3][..], &[4, 1], &[4], &[2, 2, 2], &[]] {
            let logits = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
            let hinge = |logits: &Tensor| AdversarialLoss::Hinge.real(logits);
            for loss in [adversarial, discriminator_real, discriminator_generated, hinge] {
                let message = loss(&logits).expect_err("other logits").to_string();
                assert!(message.contains("logits (B, 2)"), "{message}");
                assert!(message.contains(&format!("{shape:?}")), "{message}");
            }
        }
        Ok(())
    }
}
