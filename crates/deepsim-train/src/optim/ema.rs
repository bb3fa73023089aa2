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

    /// Decay of the update that makes their number `updates`: that of the recipe, or less at the beginning, so that the
    /// mean is never over more than about the last eighth of the updates. Otherwise the initial weights, which are noise,
    /// would be in it for thousands of steps. It grows in steps, because a CUDA graph has one decay.
    ///
    /// ```
    /// # use deepsim_nets::{Autoencoder, AutoencoderConfig, Generator};
    /// # use deepsim_train::optim::Ema;
    /// # let net = Autoencoder::new(AutoencoderConfig::default(), 0, &candle_core::Device::Cpu)?;
    /// let ema = Ema::new(0.999, Generator::Autoencoder(net));
    /// assert_eq!([1, 16, 100, 1000, 10_000].map(|n| ema.decay(n)), [0.5, 0.75, 0.875, 0.984375, 0.999]);
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn decay(&self, updates: u64) -> f64 {
        let over = 1_u64 << (updates / 8 + 2).ilog2();
        self.decay.min(1.0 - 1.0 / over as f64)
    }

    /// Moves the average towards `params`, which have had so many updates, unless a number of `gate` is not finite.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn update(
        &self,
        params: &Params,
        updates: u64,
        gate: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        let pairs = self.net.params().iter().zip(params.iter());
        let pairs: Vec<_> = pairs.map(|((_, mean), (_, var))| (mean, var.as_tensor())).collect();
        Ok(ema_update_all(&pairs, self.decay(updates), gate)?)
    }

    /// Returns the network with the averaged weights.
    pub fn net(&self) -> &Generator {
        &self.net
    }
}
