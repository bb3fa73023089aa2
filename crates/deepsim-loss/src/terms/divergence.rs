//! Divergence of a variational autoencoder's codes from the prior.

use candle_core::{Tensor, Var};
use deepsim_nets::Posterior;
use serde::{Deserialize, Serialize};

use super::{batch, same_shape};
use crate::LossError;
use crate::term::{Gradients, Inputs, Term, TermValue};

/// The term `KL(q(z|I) || N(0, 1))`, whose weight may grow over the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Divergence {
    /// Weight of the term; 20 in the paper (RECALLED, unverified).
    pub weight: f64,
    /// Steps over which the weight grows from 0 to that; 0 in the paper, which mentions none.
    pub warm_up: u64,
}

impl Default for Divergence {
    fn default() -> Self {
        Self { weight: 20.0, warm_up: 0 }
    }
}

impl Divergence {
    /// Name of the term.
    pub const NAME: &'static str = "divergence";
}

impl Term for Divergence {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Returns the weight at a step, which is counted from 1.
    ///
    /// ```
    /// use deepsim_loss::Term;
    /// use deepsim_loss::terms::Divergence;
    /// let slow = Divergence { weight: 20.0, warm_up: 100 };
    /// assert_eq!([1, 50, 100, 101].map(|step| slow.weight(step)), [0.2, 10.0, 20.0, 20.0]);
    /// assert_eq!(Divergence::default().weight(1), 20.0);
    /// ```
    fn weight(&self, step: u64) -> f64 {
        match step < self.warm_up {
            true => self.weight * (step as f64 / self.warm_up as f64),
            false => self.weight,
        }
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        let Some(posterior) = inputs.posterior else {
            return Err(LossError::Mismatch {
                operation: "divergence",
                wanted: "the posterior of a variational autoencoder".into(),
                got: "none".into(),
            });
        };
        let leaf = |tensor: &Tensor| Var::from_tensor(&tensor.detach());
        let (mean, log_variance) = (leaf(&posterior.mean)?, leaf(&posterior.log_variance)?);
        let [of_mean, of_log] = [&mean, &log_variance].map(|leaf| leaf.as_tensor().clone());
        let value = divergence(&Posterior { mean: of_mean, log_variance: of_log })?;
        let mut gradients = value.backward()?;
        let mut gradient = |leaf: &Var| match gradients.remove(leaf) {
            Some(gradient) => Ok(gradient),
            None => leaf.zeros_like(),
        };
        let gradients = Gradients::Codes([gradient(&mean)?, gradient(&log_variance)?]);
        Ok(TermValue { value, gradients })
    }
}

/// Computes the divergence of a variational autoencoder's codes from N(0, 1):
/// `1/(2B) Σ (mean² + variance - log variance - 1)` (paper section 4.2, which leaves the constant out).
/// It is 0 if the codes hold no information about the images.
///
/// # Shapes
/// two `(B, code)` -> scalar
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

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
        // The paper's number of dimensions, each close to 0.
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
}
