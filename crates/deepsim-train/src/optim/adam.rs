//! Adam as in the authors' Caffe, for all weights of one network.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::{AdamStep, AdamUpdate, Moments, adam_update_all, set_moments};
use deepsim_run::recipe::AdamConfig;

use crate::TrainError;

/// The optimiser of one network; its state is part of a checkpoint.
#[derive(Clone)]
pub struct Adam {
    config: AdamConfig,
    decay: f64,
    /// True for each weight that has the penalty.
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

    /// Updates every weight, unless a number of `only_if` is not finite
    /// ([`DeferredScalar::gate`](deepsim_ops::DeferredScalar::gate)); it counts as an update either way.
    ///
    /// # Errors
    /// If a weight has no gradient.
    pub fn step(
        &mut self,
        params: &Params,
        gradients: &GradStore,
        only_if: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        self.updates += 1;
        let step = self.numbers();
        let mut updates = Vec::with_capacity(params.len());
        for (((name, parameter), moments), &decays) in
            params.iter().zip(&mut self.moments).zip(&self.decays)
        {
            let gradient = gradients
                .get(parameter)
                .ok_or_else(|| candle_core::Error::Msg(format!("Adam: no gradient for {name}")))?;
            updates.push(AdamUpdate { parameter, gradient, moments, decays });
        }
        Ok(adam_update_all(updates, step, only_if)?)
    }

    /// The numbers of the last update.
    fn numbers(&self) -> AdamStep {
        AdamStep {
            learning_rate: self.config.rate(self.updates),
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            epsilon: self.config.epsilon,
            weight_decay: self.decay,
            // The authors' solver counts the iteration before it computes the update, and Caffe
            // adds one more: the first bias correction is that of t = 2.
            t: self.updates + 1,
        }
    }

    /// Counts an update that a recorded step makes.
    #[cfg(feature = "cuda")]
    pub(crate) fn count(&mut self) {
        self.updates += 1;
        self.moments.iter_mut().for_each(Moments::changed_on_device);
    }

    /// Returns the learning rate of the last update, which a captured step takes as an input.
    #[cfg(feature = "cuda")]
    pub(crate) fn rate(&self) -> f32 {
        deepsim_ops::adam_rate(self.numbers())
    }

    /// Says how many updates were made, where that is all that changes on the host.
    pub(crate) fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }

    /// Learning rate of the coming update.
    pub fn learning_rate(&self) -> f64 {
        self.config.rate(self.updates + 1)
    }

    /// Learning rate of the last update.
    pub(crate) fn last_learning_rate(&self) -> f64 {
        self.config.rate(self.updates)
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// First and second moments, in the order of the parameters.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Takes the values of moments, which keep their own memory.
    ///
    /// # Errors
    /// If they are of another network.
    pub(crate) fn copy_moments(&mut self, from: &[Moments]) -> Result<(), TrainError> {
        Ok(set_moments(self.moments.iter_mut().zip(from).collect())?)
    }

    /// Puts back a state taken from [`Adam::updates`] and [`Adam::moments`].
    pub fn restore(&mut self, updates: u64, moments: Vec<Moments>) {
        self.updates = updates;
        self.moments = moments;
    }
}
