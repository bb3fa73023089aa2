//! Hyper-parameters of the optimisers.

use serde::{Deserialize, Serialize};

use super::text::{below_one, not_negative, refuse};
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
    /// Updates over which the learning rate grows from 0 to its value; 0 in the paper.
    #[serde(skip_serializing_if = "super::no_steps")]
    pub warm_up: u64,
    /// Updates of a network over which its learning rate falls to 0 along half a cosine, in place of the milestones; none in
    /// the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<u64>,
    /// Largest norm of the gradient of a network, over all its weights; a larger gradient is scaled down to it. None in the
    /// paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// True if penalties are not added to gradients: each update first multiplies weights by `1 - rate * penalty`, as AdamW
    /// does (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decoupled: bool,
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
            warm_up: 0,
            cosine: None,
            clip: None,
            decoupled: false,
        }
    }
}

impl AdamConfig {
    /// Learning rate of a network's update of this number, counted from 1.
    ///
    /// ```
    /// let adam = deepsim_run::recipe::AdamConfig::default();
    /// assert_eq!(adam.rate(299_999), 2e-4);
    /// assert_eq!(adam.rate(500_000), 0.5e-4);
    /// let adam = deepsim_run::recipe::AdamConfig { warm_up: 10, cosine: Some(100), ..adam };
    /// assert_eq!(adam.rate(5), 0.5 * adam.learning_rate * (1.0 + (0.04 * std::f64::consts::PI).cos()) / 2.0);
    /// assert_eq!(adam.rate(51), 1e-4);
    /// assert_eq!(adam.rate(101), 0.0);
    /// ```
    pub fn rate(&self, updates: u64) -> f64 {
        let share = |updates: u64, of: u64| updates.min(of) as f64 / of as f64;
        let warm = if self.warm_up == 0 { 1.0 } else { share(updates, self.warm_up) };
        let left = match self.cosine {
            Some(over) => {
                let done = share(updates.saturating_sub(1), over.max(1));
                0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            None => {
                let passed = self.milestones.iter().filter(|&&m| m <= updates).count();
                self.factor.powi(passed as i32)
            }
        };
        self.learning_rate * warm * left
    }

    /// Refuses values that make no sense in a run of so many steps, naming the key.
    pub(super) fn check(&self, steps: u64) -> Result<(), RunError> {
        not_negative("adam.learning_rate", self.learning_rate)?;
        below_one("adam.beta1", "beta", self.beta1)?;
        below_one("adam.beta2", "beta", self.beta2)?;
        not_negative("adam.factor", self.factor)?;
        not_negative("adam.epsilon", self.epsilon)?;
        // A weight whose gradient has always been zero would be divided by it.
        if self.epsilon < f64::from(f32::MIN_POSITIVE) {
            return refuse(format!(
                "adam.epsilon: expected at least {:e}, found {:e}",
                f32::MIN_POSITIVE,
                self.epsilon
            ));
        }
        not_negative("adam.generator_decay", self.generator_decay)?;
        not_negative("adam.discriminator_decay", self.discriminator_decay)?;
        if let Some(over) = self.cosine.filter(|over| *over < steps) {
            return refuse(format!(
                "adam.cosine: expected at least the {steps} steps, after which nothing is learned, found {over}; a longer \
                 schedule is another run, which `init` begins with this one's weights"
            ));
        }
        if self.cosine.is_some() && self.milestones != Self::default().milestones {
            let found = &self.milestones;
            return refuse(format!("adam.milestones: expected none with cosine, found {found:?}"));
        }
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => {
                refuse(format!("adam.clip: expected a number > 0, found {clip}"))
            }
            _ => Ok(()),
        }
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
