//! The terms of the loss, normalised as in the authors' code (Caffe's `EuclideanLoss` and
//! `SoftmaxWithLoss`): distances are summed over an image's dimensions, squared ones carry a factor
//! one half, and everything is averaged over the batch.
//!
//! The weights of the paper and of the authors' code belong to pixels of 0 to 255. For pixels of 0 to 1 the
//! squared error is 65,025 times smaller and the absolute error 255 times. The feature term does not depend on
//! the range of the images that are compared, because a comparator converts them to its own.

use candle_core::Tensor;
use deepsim_nets::discriminator::{GENERATED, REAL};
use deepsim_nets::{Images, Posterior};
use deepsim_ops::softmax_cross_entropy;
use serde::{Deserialize, Serialize};

use crate::LossError;

/// Distance of the image term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// `1/(2B) Σ d²`
    SquaredError,
    /// `1/B Σ |d|`
    AbsoluteError,
}

impl Distance {
    /// The image term with this distance.
    ///
    /// # Shapes
    /// two `(B, 3, H, W)` -> scalar
    ///
    /// # Errors
    /// If the images differ in shape or pixel format.
    pub fn between(self, output: &Images, target: &Images) -> Result<Tensor, LossError> {
        match self {
            Distance::SquaredError => squared_error(output, target),
            Distance::AbsoluteError => absolute_error(output, target),
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

/// The l1 baseline: `1/B Σ |J - I|`.
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

/// Feature term `L_feat`: `1/(2B) Σ (C(J) - C(I))²`.
///
/// # Shapes
/// two `(B, ..)` of equal shape -> scalar
///
/// # Errors
/// If the shapes differ.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// let output = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// let target = Tensor::new(&[[0f32, 0.0], [5.0, 4.0]], &Device::Cpu)?;
/// // (1 + 4 + 4 + 0) / (2 * 2)
/// assert_eq!(terms::feature(&output, &target)?.to_scalar::<f32>()?, 2.25);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn feature(output: &Tensor, target: &Tensor) -> Result<Tensor, LossError> {
    half_mean_squared("feature loss", output, target)
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

/// Divergence of a variational autoencoder's codes from N(0, 1):
/// `1/(2B) Σ (mean² + variance - log variance - 1)` (paper section 4.2, which leaves the constant out).
/// 0 if codes hold nothing of the images.
///
/// # Shapes
/// two `(B, latent)` -> scalar
///
/// # Errors
/// If the two differ in shape.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// use deepsim_nets::Posterior;
/// let zeros = Tensor::new(&[[0f32, 0.0]], &Device::Cpu)?;
/// let posterior = Posterior { mean: (&zeros + 1.0)?, log_variance: zeros };
/// assert_eq!(terms::divergence(&posterior)?.to_scalar::<f32>()?, 1.0);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn divergence(posterior: &Posterior) -> Result<Tensor, LossError> {
    let Posterior { mean, log_variance } = posterior;
    same_shape("divergence", log_variance, mean)?;
    // The constant goes before the sum: near 0 little else would be left of it.
    let variance = ((log_variance.exp()? - log_variance)? - 1.0)?;
    let sum = (mean.sqr()?.sum_all()? + variance.sum_all()?)?;
    Ok((sum / (2.0 * batch(mean)))?)
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

fn half_mean_squared(
    operation: &'static str,
    output: &Tensor,
    target: &Tensor,
) -> Result<Tensor, LossError> {
    same_shape(operation, output, target)?;
    Ok((deepsim_ops::squared_error(output, target)? / (2.0 * batch(output)))?)
}

fn batch(tensor: &Tensor) -> f64 {
    tensor.dims()[0] as f64
}

fn same_shape(operation: &'static str, output: &Tensor, target: &Tensor) -> Result<(), LossError> {
    if output.dims() == target.dims() && !output.dims().is_empty() {
        return Ok(());
    }
    Err(LossError::Mismatch {
        operation,
        wanted: format!("the target's shape {:?}", target.dims()),
        got: format!("{:?}", output.dims()),
    })
}

fn same_format(output: &Images, target: &Images) -> Result<(), LossError> {
    if output.format() == target.format() {
        return Ok(());
    }
    Err(LossError::Mismatch {
        operation: "image loss",
        wanted: format!("pixels as in the target, {:?}", target.format()),
        got: format!("{:?}", output.format()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use deepsim_nets::PixelFormat;

    #[test]
    fn terms_are_sums_over_dimensions_and_means_over_the_batch() -> Result<(), LossError> {
        let tensor = |v: &[f32]| Tensor::from_slice(v, (2, v.len() / 2), &Device::Cpu);
        let (a, b) = (tensor(&[1., 2., 3., 4.])?, tensor(&[0., 0., 5., 4.])?);
        // (1 + 4 + 4 + 0) / (2 * 2)
        assert_eq!(feature(&a, &b)?.to_scalar::<f32>()?, 2.25);
        let logits = tensor(&[0., 3f32.ln(), 0., 0.])?; // D = 1/4 and 1/2
        let near = |got: Tensor, wanted: f64| -> Result<(), LossError> {
            let got = f64::from(got.to_scalar::<f32>()?);
            assert!((got - wanted).abs() < 1e-6, "{got} is not {wanted}");
            Ok(())
        };
        near(adversarial(&logits)?, (4f64.ln() + 2f64.ln()) / 2.0)?;
        near(discriminator_real(&logits)?, (4f64.ln() + 2f64.ln()) / 2.0)?;
        near(discriminator_generated(&logits)?, ((4f64 / 3.0).ln() + 2f64.ln()) / 2.0)
    }

    #[test]
    fn gradients_stay_finite_where_others_divide_by_zero() -> Result<(), LossError> {
        let zero = Tensor::zeros((1, 2, 2, 2), candle_core::DType::F32, &Device::Cpu)?;
        let output = Var::from_tensor(&zero)?;
        let saturated = Var::from_slice(&[200f32, -200.], (1, 2), &Device::Cpu)?;
        let losses = [
            (feature(&output, &zero)?, &output),
            (adversarial(&saturated)?, &saturated),
            (discriminator_generated(&saturated)?, &saturated),
        ];
        for (loss, leaf) in losses {
            let grads = loss.backward()?;
            let gradient = grads.get(leaf).expect("a gradient for the variable");
            for value in gradient.flatten_all()?.to_vec1::<f32>()? {
                assert!(value.is_finite(), "gradient {value}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_divergence_is_zero_for_the_prior_alone() -> Result<(), LossError> {
        let tensor = |v: &[f32]| Tensor::from_slice(v, (2, v.len() / 2), &Device::Cpu);
        let of = |mean: &[f32], log: &[f32]| -> Result<f32, LossError> {
            let (mean, log_variance) = (tensor(mean)?, tensor(log)?);
            Ok(divergence(&Posterior { mean, log_variance })?.to_scalar()?)
        };
        assert_eq!(of(&[0.0; 6], &[0.0; 6])?, 0.0);
        // A mean of 2 in one of two images: 1/2 * 4 / 2.
        assert_eq!(of(&[2.0, 0.0], &[0.0, 0.0])?, 1.0);
        // A variance of 1/4: 1/2 (1/4 + log 4 - 1) / 2.
        let got = f64::from(of(&[0.0, 0.0], &[-(4f32.ln()), 0.0])?);
        assert!((got - 0.25 * (0.25 + 4f64.ln() - 1.0)).abs() < 1e-6, "{got}");
        // As many numbers as in the paper, each of next to nothing.
        let (mean, log) = (vec![0.0; 64 * 4096], vec![-0.01; 64 * 4096]);
        let shape = |values: Vec<f32>| Tensor::from_vec(values, (64, 4096), &Device::Cpu);
        let (mean, log_variance) = (shape(mean)?, shape(log)?);
        let got = divergence(&Posterior { mean, log_variance })?.to_scalar::<f32>()?;
        let wanted = 0.5 * 4096.0 * ((-0.01f64).exp() + 0.01 - 1.0);
        assert!((f64::from(got) / wanted - 1.0).abs() < 1e-2, "{got} is not {wanted}");
        let (mean, log_variance) = (tensor(&[0.0; 4])?, tensor(&[0.0; 2])?);
        assert!(divergence(&Posterior { mean, log_variance }).is_err());
        Ok(())
    }

    #[test]
    fn logits_are_two_for_each_image() -> Result<(), LossError> {
        for shape in [&[4, 3][..], &[4, 1], &[4], &[2, 2, 2], &[]] {
            let logits = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?;
            for loss in [adversarial, discriminator_real, discriminator_generated] {
                let message = loss(&logits).expect_err("other logits").to_string();
                assert!(message.contains("logits (B, 2)"), "{message}");
                assert!(message.contains(&format!("{shape:?}")), "{message}");
            }
        }
        Ok(())
    }

    #[test]
    fn other_shapes_and_formats_are_refused() -> Result<(), LossError> {
        let device = Device::Cpu;
        let bgr = Images::from_u8(&[1; 12], 1, 2, 2, PixelFormat::CAFFE_BGR, &device)?;
        let rgb = Images::from_u8(&[1; 12], 1, 2, 2, PixelFormat::RGB_U8, &device)?;
        let large = Images::from_u8(&[1; 48], 1, 4, 4, PixelFormat::CAFFE_BGR, &device)?;
        for (a, b, words) in [(&bgr, &rgb, "Bgr"), (&bgr, &large, "[1, 3, 4, 4]")] {
            for distance in [Distance::SquaredError, Distance::AbsoluteError] {
                let message = distance.between(a, b).expect_err("a mismatch").to_string();
                assert!(message.contains(words), "{message}");
            }
        }
        Ok(())
    }
}
