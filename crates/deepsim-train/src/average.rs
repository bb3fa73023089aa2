//! A running mean of a generator's weights, which changes more smoothly than they do. The paper has none.

use candle_core::Tensor;
use deepsim_nets::{Generator, Params};
use deepsim_ops::blend_all;

use crate::TrainError;

/// The mean, as a network of its own.
pub struct Average {
    decay: f64,
    net: Generator,
}

impl Average {
    /// The mean before the first update: `net` has the weights that the generator begins with.
    pub fn new(decay: f64, net: Generator) -> Self {
        Self { decay, net }
    }

    /// Moves the mean towards `params` by one update.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn update(&self, params: &Params, only_if: Option<&Tensor>) -> Result<(), TrainError> {
        let pairs = self.net.params().iter().zip(params.iter());
        let pairs: Vec<_> = pairs.map(|((_, mean), (_, var))| (mean, var.as_tensor())).collect();
        Ok(blend_all(&pairs, self.decay, only_if)?)
    }

    /// The network with the mean as weights.
    pub fn net(&self) -> &Generator {
        &self.net
    }
}
