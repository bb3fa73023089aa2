//! The terms of the loss, normalised as in the authors' code (Caffe's `EuclideanLoss` and
//! `SoftmaxWithLoss`): distances are summed over an image's dimensions, squared ones carry a factor
//! one half, and everything is averaged over the batch.
//!
//! The weights of the paper and of the authors' code belong to pixels of 0 to 255. For pixels of 0 to 1 the
//! squared error is 65,025 times smaller and the absolute error 255 times. The feature term does not depend on
//! the range of the images that are compared, because a comparator converts them to its own.
//!
//! A new term is a file here that implements [`Term`], and a row of [`ExtraTerms`]: recipes then name it as
//! `[terms.NAME]`, and the step, the log, curves and reports follow.

mod adversarial;
mod divergence;
mod energy_score;
mod feature;
mod image;
mod mode_seeking;
mod total_variation;

use candle_core::Tensor;
use deepsim_nets::Images;
use serde::{Deserialize, Serialize};

pub use adversarial::{AdversarialLoss, adversarial, discriminator_generated, discriminator_real};
pub use divergence::{Divergence, divergence};
pub use energy_score::energy_score;
pub use feature::{FeatureTerm, feature};
pub use image::{Distance, ImageTerm, absolute_error, squared_error};
pub use mode_seeking::{ModeSeeking, mode_seeking};
pub use total_variation::{TotalVariation, total_variation};

use crate::LossError;
use crate::term::Term;

/// Defines [`ExtraTerms`] from one row a term: documentation, key of recipes, type.
macro_rules! extra_terms {
    ($($(#[$about:meta])* $key:ident: $term:ty,)*) => {
        /// Terms that the paper does not have and a recipe may add, by their keys.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct ExtraTerms {
            $($(#[$about])* #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$term>,)*
        }

        impl ExtraTerms {
            /// Returns the terms that are given.
            pub fn list(&self) -> Vec<Box<dyn Term>> {
                let mut list: Vec<Box<dyn Term>> = Vec::new();
                $(list.extend(self.$key.clone().map(|term| Box::new(term) as Box<dyn Term>));)*
                list
            }
        }
    };
}

extra_terms! {
    /// Penalty on differences of neighbouring pixels.
    total_variation: TotalVariation,
    /// Reward for draws of one input that differ.
    mode_seeking: ModeSeeking,
}

impl ExtraTerms {
    /// Returns true if no term is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn half_mean_squared(
    operation: &'static str,
    output: &Tensor,
    target: &Tensor,
) -> Result<Tensor, LossError> {
    same_shape(operation, output, target)?;
    Ok((deepsim_ops::squared_error(output, target)? / (2.0 * batch(output)))?)
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

/// Refuses fewer than two draws, or a number of images that is no multiple of them.
fn several(operation: &'static str, images: &Images, draws: usize) -> Result<(), LossError> {
    let n = images.len();
    if draws >= 2 && n.is_multiple_of(draws) {
        return Ok(());
    }
    Err(LossError::Mismatch {
        operation,
        wanted: "two draws or more, and as many of each target".into(),
        got: format!("{draws} draws in {n} images"),
    })
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

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
}
