//! Adam as in the authors' Caffe, for all weights of one network.

use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::{AdamStep, Moments, adam_update_all};

use crate::TrainError;
use crate::recipe::AdamConfig;

/// The optimiser of one network; its state is part of a checkpoint.
#[derive(Clone)]
pub struct Adam {
    config: AdamConfig,
    decay: f64,
    /// Of each weight, whether the penalty is for it.
    decays: Vec<bool>,
    updates: u64,
    moments: Vec<Moments>,
}

impl Adam {
    /// A fresh optimiser for `params` with L2 penalty `decay` of those whose names `decays` accepts.
    ///
    /// # Errors
    /// If the moments cannot be allocated.
    pub fn new(
        config: &AdamConfig,
        decay: f64,
        decays: impl Fn(&str) -> bool,
        params: &Params,
    ) -> Result<Self, TrainError> {
        let decays = params.iter().map(|(name, _)| decays(name)).collect();
        let moments =
            params.iter().map(|(_, var)| Moments::zeros_like(var)).collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), decay, decays, updates: 0, moments })
    }

    /// Updates every weight.
    ///
    /// # Errors
    /// If a weight has no gradient.
    pub fn step(&mut self, params: &Params, gradients: &GradStore) -> Result<(), TrainError> {
        self.updates += 1;
        let step = AdamStep {
            learning_rate: self.config.rate(self.updates),
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            epsilon: self.config.epsilon,
            weight_decay: self.decay,
            // The authors' solver counts the iteration before it computes the update, and Caffe
            // adds one more: the first bias correction is that of t = 2.
            t: self.updates + 1,
        };
        let (mut updates, mut undecayed) = (Vec::new(), Vec::new());
        let decays = self.decays.iter().map(|decays| *decays || self.decay == 0.0);
        for (((name, var), moments), decays) in params.iter().zip(&mut self.moments).zip(decays) {
            let gradient = gradients
                .get(var)
                .ok_or_else(|| candle_core::Error::Msg(format!("Adam: no gradient for {name}")))?;
            let group = if decays { &mut updates } else { &mut undecayed };
            group.push((var, gradient, moments));
        }
        adam_update_all(undecayed, AdamStep { weight_decay: 0.0, ..step })?;
        Ok(adam_update_all(updates, step)?)
    }

    /// Learning rate of the coming update.
    pub fn learning_rate(&self) -> f64 {
        self.config.rate(self.updates + 1)
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// First and second moments, in the order of the parameters.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Puts back a state taken from [`Adam::updates`] and [`Adam::moments`].
    pub fn restore(&mut self, updates: u64, moments: Vec<Moments>) {
        self.updates = updates;
        self.moments = moments;
    }
}
