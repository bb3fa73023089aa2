//! A running mean of a generator's weights, which changes more smoothly than they do. The paper has none.

use deepsim_nets::{Generator, Params};

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
    pub fn update(&self, params: &Params) -> Result<(), TrainError> {
        for ((_, mean), (_, var)) in self.net.params().iter().zip(params.iter()) {
            let moved =
                ((mean.as_tensor() * self.decay)? + (var.as_tensor() * (1.0 - self.decay))?)?;
            mean.set(&moved)?;
        }
        Ok(())
    }

    /// The network with the mean as weights.
    pub fn net(&self) -> &Generator {
        &self.net
    }
}
