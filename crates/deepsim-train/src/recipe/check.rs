//! What a recipe's values must be.

use super::{OutputConfig, Recipe};
use crate::TrainError;

impl Recipe {
    /// Refuses values that make no sense, naming the key.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let positive = |what: &str, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => {
                Err(TrainError::recipe(format!("{what}: expected a number >= 0, found {value}")))
            }
        };
        let at_least_one = |what: &str, value: u64| match value {
            0 => Err(TrainError::recipe(format!("{what}: wanted at least 1, got 0"))),
            _ => Ok(()),
        };
        let below_one = |what: &str, name: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => {
                Err(TrainError::recipe(format!("{what}: expected 0 <= {name} < 1, found {value}")))
            }
        };
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        self.output.check()?;
        at_least_one("crop", self.crop as u64)?;
        if self.resize.is_some_and(|side| side < self.crop) {
            return Err(TrainError::recipe(format!(
                "resize: wanted at least the crop of {}, got {}",
                self.crop,
                self.resize.unwrap_or_default()
            )));
        }
        if self.inversion.is_none()
            && self.adversarial.is_some_and(|term| term.discriminator.conditional)
        {
            return Err(TrainError::recipe(
                "adversarial.discriminator.conditional: wanted an [inversion] whose features it sees",
            ));
        }
        let autoencoder = self.inversion.is_none() && self.vae.is_none();
        if !autoencoder && self.generator != Default::default() {
            return Err(TrainError::recipe(
                "generator: wanted none with [inversion] or [vae], whose networks it does not describe",
            ));
        }
        if let Some(vae) = &self.vae {
            vae.check(self)?;
        }
        let trained = |vae: &super::Variational| vae.encoder.trained().is_some();
        if self.inversion.is_none()
            && !self.vae.as_ref().is_some_and(trained)
            && !self.crop.is_multiple_of(deepsim_nets::autoencoder::DOWNSAMPLING)
        {
            return Err(TrainError::recipe(format!(
                "crop: wanted a multiple of {}, got {}",
                deepsim_nets::autoencoder::DOWNSAMPLING,
                self.crop
            )));
        }
        positive("image.weight", self.image.weight)?;
        at_least_one("generator.code_channels", self.generator.code_channels as u64)?;
        below_one("generator.slope", "slope", self.generator.slope)?;
        positive("adam.learning_rate", self.adam.learning_rate)?;
        below_one("adam.beta1", "beta", self.adam.beta1)?;
        below_one("adam.beta2", "beta", self.adam.beta2)?;
        positive("adam.factor", self.adam.factor)?;
        positive("adam.epsilon", self.adam.epsilon)?;
        // A weight whose gradient has always been zero would be divided by it.
        if self.adam.epsilon < f64::from(f32::MIN_POSITIVE) {
            return Err(TrainError::recipe(format!(
                "adam.epsilon: expected at least {:e}, found {:e}",
                f32::MIN_POSITIVE,
                self.adam.epsilon
            )));
        }
        positive("adam.generator_decay", self.adam.generator_decay)?;
        positive("adam.discriminator_decay", self.adam.discriminator_decay)?;
        if let Some(feature) = &self.feature {
            match (feature.weight, feature.rho) {
                (Some(value), None) => positive("feature.weight", value)?,
                (None, Some(value)) => {
                    positive("feature.rho", value)?;
                    if self.batch < 2 {
                        return Err(TrainError::recipe(
                            "feature.rho: calibration needs batch >= 2, got 1",
                        ));
                    }
                }
                _ => {
                    return Err(TrainError::recipe(
                        "feature: wanted exactly one of `weight` and `rho`",
                    ));
                }
            }
        }
        if let Some(size) = self.micro_batch
            && (size == 0 || !self.batch.is_multiple_of(size))
        {
            return Err(TrainError::recipe(format!(
                "micro_batch: wanted a divisor of the batch of {}, got {size}",
                self.batch
            )));
        }
        if let Some(decay) = self.average.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(TrainError::recipe(format!("average: wanted 0 <= decay < 1, got {decay}")));
        }
        if let Some(adversarial) = &self.adversarial {
            positive("adversarial.weight", adversarial.weight)?;
            at_least_one(
                "adversarial.discriminator.stride",
                adversarial.discriminator.stride as u64,
            )?;
            let (slope, dropout) =
                (adversarial.discriminator.slope, adversarial.discriminator.dropout);
            below_one("adversarial.discriminator.slope", "slope", slope)?;
            if !(0.0..1.0).contains(&dropout) {
                return Err(TrainError::recipe(format!(
                    "adversarial.discriminator.dropout: wanted 0 <= p < 1, got {dropout}"
                )));
            }
        }
        self.check_networks()
    }
}

impl OutputConfig {
    /// Refuses values that make no sense, naming the key.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let all = [
            ("log_every", self.log_every),
            ("grid_every", self.grid_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        match all.into_iter().find(|(_, every)| *every == 0) {
            Some((key, _)) => {
                Err(TrainError::recipe(format!("output.{key}: wanted at least 1, got 0")))
            }
            None if self.keep.last == 0 => {
                Err(TrainError::recipe("output.keep.last: wanted at least 1, got 0"))
            }
            None => Ok(()),
        }
    }
}
