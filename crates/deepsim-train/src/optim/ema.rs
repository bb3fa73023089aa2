//! Exponential moving average of a generator's weights; the paper has none.

use candle_core::Tensor;
use deepsim_nets::{Generator, Params};
use deepsim_ops::ema_update_all;

use crate::TrainError;

/// Exponential moving average of weights, as a network of its own.
pub struct Ema {
    decay: f64,
    net: Generator,
}

impl Ema {
    /// Creates the average before the first update from `net`, which has the generator's initial weights.
    pub fn new(decay: f64, net: Generator) -> Self {
        Self { decay, net }
    }

    /// Moves the average towards `params` by one update, unless a number of `gate` is not finite.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn update(&self, params: &Params, gate: Option<&Tensor>) -> Result<(), TrainError> {
        let pairs = self.net.params().iter().zip(params.iter());
        let pairs: Vec<_> = pairs.map(|((_, mean), (_, var))| (mean, var.as_tensor())).collect();
        Ok(ema_update_all(&pairs, self.decay, gate)?)
    }

    /// Returns the network with the averaged weights.
    pub fn net(&self) -> &Generator {
        &self.net
    }
}
