//! Cross-entropies of the discriminator's logits.

use candle_core::Tensor;
use deepsim_nets::discriminator::{GENERATED, REAL};
use deepsim_ops::softmax_cross_entropy;

use crate::LossError;

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
    let &[n, 2] = logits.dims() else {
        return Err(LossError::Mismatch {
            operation: "adversarial loss",
            wanted: "logits (B, 2), real and generated".into(),
            got: format!("{:?}", logits.dims()),
        });
    };
    let labels = vec![label; n];
    Ok(softmax_cross_entropy(logits, &labels)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn logits_are_two_for_each_image() -> Result<(), LossError> {
        for shape in [&[4, 3][..], &[4, 1], &[4], &[2, 2, 2], &[]] {
            let logits = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
            for loss in [adversarial, discriminator_real, discriminator_generated] {
                let message = loss(&logits).expect_err("other logits").to_string();
                assert!(message.contains("logits (B, 2)"), "{message}");
                assert!(message.contains(&format!("{shape:?}")), "{message}");
            }
        }
        Ok(())
    }
}
