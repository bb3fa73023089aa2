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
    /// If a weight has no gradient, or penalties are decoupled and numbers are on a GPU; then no weight is changed.
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
        if self.config.decoupled && self.decay > 0.0 {
            if only_if.is_some() {
                // The update may be left out on the device, after the weights have shrunk.
                return Err(TrainError::recipe(
                    "adam.decoupled: expected false on a GPU, found true",
                ));
            }
            let keep = 1.0 - step.learning_rate * self.decay;
            for update in updates.iter().filter(|update| update.decays) {
                update.parameter.set(&(update.parameter.as_tensor() * keep)?)?;
            }
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
            weight_decay: if self.config.decoupled { 0.0 } else { self.decay },
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

    /// Largest norm of a gradient; larger ones are to be scaled down to it.
    pub(crate) fn clip(&self) -> Option<f64> {
        self.config.clip
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn decoupled_penalties_shrink_weights_and_leave_moments_alone()
    -> Result<(), Box<dyn std::error::Error>> {
        let config = AdamConfig { decoupled: true, ..AdamConfig::default() };
        let device = &Device::Cpu;
        let (a, b) = (Var::new(&[1f32, -2.0], device)?, Var::new(&[3f32], device)?);
        let params: Params =
            [("a".into(), a.clone()), ("b".into(), b.clone())].into_iter().collect();
        let mut adam = Adam::new(&config, 0.5, |name| name == "a", &params)?;
        // Gradients of zero: nothing is left but the penalty.
        let mut gradients = (a.sum_all()? + b.sum_all()?)?.backward()?;
        for var in [&a, &b] {
            gradients.insert(var, var.zeros_like()?);
        }
        for _ in 0..2 {
            adam.step(&params, &gradients, None)?;
        }
        let kept = (1.0 - 2e-4 * 0.5f64).powi(2);
        let found = a.to_vec1::<f32>()?;
        for (found, start) in found.iter().zip([1.0, -2.0]) {
            assert!((f64::from(*found) - start * kept).abs() < 1e-6, "{found}");
        }
        assert_eq!(b.to_vec1::<f32>()?, [3.0]);
        assert!(adam.moments().iter().all(|moments| moments.first().iter().all(|m| *m == 0.0)));
        // Where the update may be left out on a device, weights would have shrunk in any case.
        let gate = Tensor::new(&[1f32], device)?;
        let refused = adam.step(&params, &gradients, Some(&gate));
        assert!(refused.expect_err("a gate").to_string().contains("adam.decoupled"));
        Ok(())
    }
}
