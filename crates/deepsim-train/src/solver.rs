//! Stochastic gradient descent for all weights of one network, as Caffe's solver files state it.

use candle_core::Var;
use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::{SgdStep, sgd_update};
use serde::{Deserialize, Serialize};

use crate::TrainError;

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

/// A learning rate and when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Updates before it.
    pub from: u64,
    /// The learning rate.
    pub rate: f64,
}

/// Factors of one weight's learning rate and penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiplier {
    /// Of the learning rate.
    pub rate: f64,
    /// Of the penalty.
    pub decay: f64,
}

impl SgdConfig {
    /// Learning rate of the update that follows `updates` others.
    pub fn rate(&self, updates: u64) -> f64 {
        let begun = self.schedule.iter().take_while(|rate| rate.from <= updates);
        begun.last().map_or(0.0, |rate| rate.rate)
    }

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), TrainError> {
        let froms: Vec<u64> = self.schedule.iter().map(|rate| rate.from).collect();
        let rising = froms.first() == Some(&0) && froms.is_sorted_by(|a, b| a < b);
        let positive = |value: f64| value.is_finite() && value >= 0.0;
        if !rising || !self.schedule.iter().all(|rate| positive(rate.rate)) {
            return Err(TrainError::recipe(format!(
                "sgd.schedule: wanted rates >= 0 from 0 and then ever later updates, got {:?}",
                self.schedule.iter().map(|rate| (rate.from, rate.rate)).collect::<Vec<_>>()
            )));
        }
        if !(0.0..1.0).contains(&self.momentum) || !positive(self.weight_decay) {
            return Err(TrainError::recipe(format!(
                "sgd: wanted 0 <= momentum < 1 and weight_decay >= 0, got {} and {}",
                self.momentum, self.weight_decay
            )));
        }
        Ok(())
    }
}

/// The optimiser of one network; its velocities are part of a checkpoint.
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    multipliers: Vec<Multiplier>,
    velocities: Params,
}

impl Sgd {
    /// A fresh optimiser for `params`, with the factors that `multiplier` gives for each name.
    ///
    /// # Errors
    /// If the velocities cannot be allocated.
    pub fn new(
        config: &SgdConfig,
        params: &Params,
        multiplier: impl Fn(&str) -> Multiplier,
    ) -> Result<Self, TrainError> {
        let velocity = |(name, var): (&str, &Var)| {
            Ok((name.to_owned(), Var::zeros(var.shape(), var.dtype(), var.device())?))
        };
        Ok(Self {
            config: config.clone(),
            multipliers: params.iter().map(|(name, _)| multiplier(name)).collect(),
            velocities: params.iter().map(velocity).collect::<Result<_, TrainError>>()?,
        })
    }

    /// The update that follows `updates` others.
    ///
    /// # Errors
    /// If a weight has no gradient.
    pub fn step(
        &self,
        updates: u64,
        params: &Params,
        gradients: &GradStore,
    ) -> Result<(), TrainError> {
        let rate = self.config.rate(updates);
        let state = self.velocities.iter().zip(&self.multipliers);
        for ((name, var), ((_, velocity), multiplier)) in params.iter().zip(state) {
            let gradient = gradients
                .get(var)
                .ok_or_else(|| candle_core::Error::Msg(format!("SGD: no gradient for {name}")))?;
            let step = SgdStep {
                learning_rate: rate * multiplier.rate,
                momentum: self.config.momentum,
                weight_decay: self.config.weight_decay * multiplier.decay,
            };
            sgd_update(var, gradient, velocity, step)?;
        }
        Ok(())
    }

    /// Learning rate of the update that follows `updates` others.
    pub fn learning_rate(&self, updates: u64) -> f64 {
        self.config.rate(updates)
    }

    /// The velocities, named as the weights.
    pub fn velocities(&self) -> &Params {
        &self.velocities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_hold_from_their_update_on() -> Result<(), TrainError> {
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
