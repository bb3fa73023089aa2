//! Checks of a generator's recipe.

use deepsim_loss::BalanceRule;
use deepsim_loss::terms::{AdversarialLoss, Distance};
use deepsim_nets::DiscriminatorConfig;

use super::text::{at_least_one, below_one, not_negative, refuse};
use super::{Inversion, Recipe};
use crate::RunError;

/// Largest weight relative to the other terms. The default for constant weights would drown these.
const MOST_ADAPTIVE: f64 = 10.0;

impl Recipe {
    /// Refuses values that make no sense, naming the key.
    pub(super) fn check(&self) -> Result<(), RunError> {
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        if self.interpolate && self.inversion.as_ref().is_some_and(|inversion| inversion.small) {
            return refuse(
                "interpolate: expected false with inversion.small, which ends with a convolution, found true",
            );
        }
        at_least_one("draws", self.draws as u64)?;
        let takes_noise =
            self.vae.is_some() || self.inversion.as_ref().is_some_and(Inversion::takes_noise);
        if self.draws > 1 && !takes_noise {
            return refuse(format!(
                "draws: expected 1, or a generator that takes noise (`inversion.noise`), found {}",
                self.draws
            ));
        }
        if self.image.distance == Distance::EnergyScore && self.draws < 2 {
            return refuse("image.distance: expected at least 2 draws for energy-score, found 1");
        }
        if self.terms.mode_seeking.is_some() && self.draws < 2 {
            return refuse("terms.mode_seeking: expected at least 2 draws, found 1");
        }
        if self.terms.mode_seeking.is_some() && self.micro_batch.is_some_and(|n| n < self.batch) {
            return refuse(
                "micro_batch: expected none with terms.mode_seeking, which is no mean over images, found one",
            );
        }
        if self.init_matching && self.init.is_none() {
            return refuse("init_matching: expected init beside it, found none");
        }
        if let Some(validation) = &self.validation {
            validation.check()?;
        }
        self.output.check()?;
        self.check_best()?;
        at_least_one("crop", self.crop as u64)?;
        if self.resize.is_some_and(|side| side < self.crop) {
            return refuse(format!(
                "resize: expected at least the crop of {}, found {}",
                self.crop,
                self.resize.unwrap_or_default()
            ));
        }
        if let Some((height, width)) = self.transform.as_ref().and_then(|steps| steps.size(None))
            && height.min(width) < self.crop
        {
            return refuse(format!(
                "transform: expected images of at least the crop of {}, found {height}x{width}",
                self.crop
            ));
        }
        if self.inversion.is_none()
            && self.adversarial.is_some_and(|term| term.discriminator.conditional)
        {
            return refuse(
                "adversarial.discriminator.conditional: expected an [inversion], whose features it takes, found none",
            );
        }
        let autoencoder = self.inversion.is_none() && self.vae.is_none();
        if !autoencoder && self.generator != Default::default() {
            return refuse(
                "generator: expected none with [inversion] or [vae], whose networks it does not describe",
            );
        }
        if let Some(vae) = &self.vae {
            vae.check(self)?;
        }
        let trained = |vae: &super::Variational| vae.encoder.trained().is_some();
        if self.inversion.is_none()
            && !self.vae.as_ref().is_some_and(trained)
            && !self.crop.is_multiple_of(deepsim_nets::autoencoder::DOWNSAMPLING)
        {
            return refuse(format!(
                "crop: expected a multiple of {}, found {}",
                deepsim_nets::autoencoder::DOWNSAMPLING,
                self.crop
            ));
        }
        not_negative("image.weight", self.image.weight)?;
        for term in self.terms.list() {
            not_negative(&format!("terms.{}.weight", term.name()), term.weight(self.steps))?;
        }
        at_least_one("generator.code_channels", self.generator.code_channels as u64)?;
        below_one("generator.slope", "slope", self.generator.slope)?;
        self.adam.check(self.steps)?;
        if let Some(feature) = &self.feature {
            match (feature.weight, feature.rho) {
                (Some(value), None) => not_negative("feature.weight", value)?,
                (None, Some(value)) => {
                    not_negative("feature.rho", value)?;
                    if self.batch < 2 {
                        return refuse(
                            "feature.rho: expected a batch of at least 2 for calibration, found 1",
                        );
                    }
                }
                _ => {
                    return refuse("feature: expected exactly one of `weight` and `rho`");
                }
            }
        }
        if let Some(size) = self.micro_batch
            && (size == 0 || !self.batch.is_multiple_of(size))
        {
            return refuse(format!(
                "micro_batch: expected a divisor of the batch of {}, found {size}",
                self.batch
            ));
        }
        if let Some(decay) = self.average {
            below_one("average", "decay", decay)?;
        }
        if let Some(adversarial) = &self.adversarial {
            not_negative("adversarial.weight", adversarial.weight)?;
            if adversarial.loss == AdversarialLoss::Hinge && adversarial.balance != BalanceRule::Off
            {
                return refuse(
                    "adversarial.balance: expected off with hinge, whose losses the rules cannot weigh, \
                     found code or paper; set adversarial.balance=off too",
                );
            }
            let discriminator = adversarial.discriminator;
            if adversarial.adaptive && self.micro_batch.is_some_and(|size| size < self.batch) {
                return refuse(
                    "adversarial.adaptive: expected false with micro_batch, whose parts would have weights of their own, \
                     found true",
                );
            }
            if adversarial.adaptive && adversarial.weight > MOST_ADAPTIVE {
                return refuse(format!(
                    "adversarial.weight: expected at most {MOST_ADAPTIVE} with adaptive, as a multiple of the other terms' \
                     gradient, e.g. 0.5; found {}",
                    adversarial.weight
                ));
            }
            let others = self.image.weight > 0.0 || self.feature.is_some();
            if adversarial.adaptive && !others && self.terms.is_empty() {
                return refuse(
                    "adversarial.adaptive: expected another term at the images, to which the weight is relative, found none",
                );
            }
            if discriminator.patch
                && discriminator.dropout != DiscriminatorConfig::default().dropout
            {
                return refuse(format!(
                    "adversarial.discriminator.dropout: expected none with patch, which has no dropout, found {}",
                    discriminator.dropout
                ));
            }
            if discriminator.patch && discriminator.conditional {
                return refuse(
                    "adversarial.discriminator.patch: expected false with conditional, whose features belong to \
                     whole images, found true",
                );
            }
            at_least_one(
                "adversarial.discriminator.stride",
                adversarial.discriminator.stride as u64,
            )?;
            let (slope, dropout) =
                (adversarial.discriminator.slope, adversarial.discriminator.dropout);
            below_one("adversarial.discriminator.slope", "slope", slope)?;
            below_one("adversarial.discriminator.dropout", "p", dropout)?;
        }
        self.check_networks()
    }
}
