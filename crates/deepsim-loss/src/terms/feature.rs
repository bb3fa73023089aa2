//! Distance in the feature space of a comparator.

use std::sync::Arc;

use candle_core::Tensor;
use deepsim_nets::{Comparator, Images};

use super::half_mean_squared;
use crate::term::{Inputs, Term, TermValue, at_images};
use crate::{LossError, calibrate};

/// Term of the distance to the target in the feature space of one layer of a comparator.
#[derive(Clone)]
pub struct FeatureTerm {
    /// The network.
    pub comparator: Arc<dyn Comparator>,
    /// The layer.
    pub tap: String,
    /// Weight of the term.
    pub weight: f64,
    /// Places along each axis at which images are cut out before they are compared, another one in each step; 1, which
    /// compares whole images, in the paper.
    ///
    /// Strides and pooling give the gradient at the image a grid of their own, always in the same place, which the
    /// generator takes over. With 4 places the grids of strides of 2 and 4 average out.
    pub places: usize,
}

impl Term for FeatureTerm {
    fn name(&self) -> &'static str {
        "feature"
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    /// Compares with [`Inputs::target_features`], or with the features of the target where they are not given, or are
    /// not those of the part that is compared.
    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        let features = |images: &Images| -> Result<Tensor, LossError> {
            let part = self.part(images, inputs.step)?;
            Ok(self.comparator.features(&part, &self.tap)?)
        };
        let target = match inputs.target_features {
            Some(target) if self.places == 1 => target.clone(),
            _ => {
                // All draws of a real image have its features.
                let (real, draws) = (inputs.target, inputs.draws.max(1));
                let once = real.tensor().narrow(0, 0, real.len() / draws)?;
                let target = features(&real.with_tensor(once)?)?.detach();
                Tensor::cat(&vec![&target; draws], 0)?
            }
        };
        at_images(inputs.output, |images| feature(&features(images)?, &target))
    }
}

impl FeatureTerm {
    /// Creates the term from a network: one of your own as it is, or any in a `Box` or an `Arc`.
    pub fn new(comparator: impl Comparator + 'static, tap: &str, weight: f64) -> Self {
        Self { comparator: Arc::new(comparator), tap: tap.into(), weight, places: 1 }
    }

    /// Cuts out what a step compares: images that are `places - 1` pixels smaller, at each place in turn.
    fn part(&self, images: &Images, step: u64) -> Result<Images, LossError> {
        if self.places <= 1 {
            return Ok(images.clone());
        }
        let less = self.places - 1;
        if images.height().min(images.width()) <= less {
            return Err(LossError::Mismatch {
                operation: "feature term",
                wanted: format!("images larger than the {} places", self.places),
                got: format!("{}x{} pixels", images.width(), images.height()),
            });
        }
        let place = step as usize % (self.places * self.places);
        let part = images.tensor().narrow(2, place / self.places, images.height() - less)?.narrow(
            3,
            place % self.places,
            images.width() - less,
        )?;
        Ok(images.with_tensor(part)?)
    }

    /// Weight that gives the term `rho` times the energy of the image term on these images; see
    /// [`calibrate`]. An image weight of 0 is replaced by the paper's.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`, at least two images
    ///
    /// # Errors
    /// If the features of different images do not differ.
    pub fn calibrated(
        &self,
        rho: f64,
        image_weight: f64,
        images: &Images,
    ) -> Result<f64, LossError> {
        let papers = calibrate::image_weight(images.height(), images.width());
        let image_weight = if image_weight > 0.0 { image_weight } else { papers };
        let image_energy = calibrate::pair_energy(images.tensor())?;
        let features = self.comparator.features(&self.part(images, 0)?, &self.tap)?;
        let feature_energy = calibrate::pair_energy(&features)?;
        calibrate::feature_weight(feature_energy, image_weight, image_energy, rho)
    }
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
