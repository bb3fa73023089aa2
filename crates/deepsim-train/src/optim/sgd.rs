//! Stochastic gradient descent for all weights of one network, as Caffe's solver files state it.

use candle_core::Var;
use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::{SgdStep, sgd_update};
use deepsim_run::recipe::SgdConfig;

use crate::TrainError;

/// Factors of one weight's learning rate and penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiplier {
    /// Factor of the learning rate.
    pub rate: f64,
    /// Factor of the penalty.
    pub decay: f64,
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
