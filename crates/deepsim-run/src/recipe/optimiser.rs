//! Hyper-parameters of the optimisers.

use serde::{Deserialize, Serialize};

use super::text::refuse;
use crate::RunError;

/// Adam with a multistep learning rate; the defaults are the authors' solver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Initial learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the (uncorrected) second moment.
    pub epsilon: f64,
    /// Updates of a network after which its learning rate is multiplied by `factor`.
    pub milestones: Vec<u64>,
    /// Factor at each milestone.
    pub factor: f64,
    /// L2 penalty of the generator, added to its gradient.
    pub generator_decay: f64,
    /// L2 penalty of the discriminator, added to its gradient.
    pub discriminator_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            milestones: vec![300_000, 500_000, 700_000, 900_000, 1_100_000],
            factor: 0.5,
            generator_decay: 0.0,
            discriminator_decay: 4e-4,
        }
    }
}

impl AdamConfig {
    /// Learning rate of a network after `updates` updates.
    ///
    /// ```
    /// let adam = deepsim_run::recipe::AdamConfig::default();
    /// assert_eq!(adam.rate(299_999), 2e-4);
    /// assert_eq!(adam.rate(500_000), 0.5e-4);
    /// ```
    pub fn rate(&self, updates: u64) -> f64 {
        let passed = self.milestones.iter().filter(|&&m| m <= updates).count();
        self.learning_rate * self.factor.powi(passed as i32)
    }
}

/// Momentum, penalty and learning rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Learning rates and the number of updates from which each holds, the first from 0.
    pub schedule: Vec<Rate>,
    /// Share of the last update that is repeated.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

fn momentum() -> f64 {
    0.9
}

/// A learning rate and the update from which it holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Updates before it.
    pub from: u64,
    /// The learning rate.
    pub rate: f64,
}

impl SgdConfig {
    /// Learning rate of the update that follows `updates` others.
    pub fn rate(&self, updates: u64) -> f64 {
        let begun = self.schedule.iter().take_while(|rate| rate.from <= updates);
        begun.last().map_or(0.0, |rate| rate.rate)
    }

    /// Refuses values that make no sense, naming the key.
    pub(super) fn check(&self) -> Result<(), RunError> {
        let froms: Vec<u64> = self.schedule.iter().map(|rate| rate.from).collect();
        let rising = froms.first() == Some(&0) && froms.is_sorted_by(|a, b| a < b);
        let positive = |value: f64| value.is_finite() && value >= 0.0;
        if !rising || !self.schedule.iter().all(|rate| positive(rate.rate)) {
            return refuse(format!(
                "sgd.schedule: expected rates >= 0 from 0 and then ever later updates, found {:?}",
                self.schedule.iter().map(|rate| (rate.from, rate.rate)).collect::<Vec<_>>()
            ));
        }
        if !(0.0..1.0).contains(&self.momentum) || !positive(self.weight_decay) {
            return refuse(format!(
                "sgd: expected 0 <= momentum < 1 and weight_decay >= 0, found {} and {}",
                self.momentum, self.weight_decay
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_hold_from_their_update_on() -> Result<(), RunError> {
        let rate = |from, rate| Rate { from, rate };
        let config = SgdConfig {
            schedule: vec![rate(0, 0.1), rate(10, 0.01)],
            momentum: 0.9,
            weight_decay: 0.0,
        };
        config.check()?;
        assert_eq!([0, 9, 10, 99].map(|updates| config.rate(updates)), [0.1, 0.1, 0.01, 0.01]);
        for schedule in [vec![], vec![rate(1, 0.1)], vec![rate(0, 0.1), rate(0, 0.2)]] {
            let broken = SgdConfig { schedule, ..config.clone() };
            assert!(broken.check().is_err(), "{:?}", broken.schedule);
        }
        Ok(())
    }
}
