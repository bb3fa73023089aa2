//! A running mean of a generator's weights, which changes more smoothly than they do. The paper has none.

use candle_core::Device;
use deepsim_nets::{Autoencoder, NetError, Params};

use crate::TrainError;

/// The mean, as a network of its own.
pub struct Average {
    decay: f64,
    net: Autoencoder,
}

impl Average {
    /// The mean before the first update: the weights of `net`, which were drawn from `seed`.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn new(
        decay: f64,
        config: deepsim_nets::AutoencoderConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        Ok(Self { decay, net: Autoencoder::new(config, seed, device)? })
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
    pub fn net(&self) -> &Autoencoder {
        &self.net
    }
}
