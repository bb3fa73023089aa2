//! Dropout layer.

use std::sync::Mutex;

use candle_core::{ModuleT, Result, Tensor, bail};
use rand_chacha::ChaCha12Rng;

use super::random::stream;

/// Dropout with its own random stream, computed by [`dropout`](crate::dropout); active in training only.
///
/// The stream's position is part of a run's state: store [`Dropout::position`] with the weights.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use deepsim_ops::nn::Dropout;
/// let x = Tensor::ones(100, DType::F32, &Device::Cpu)?;
/// let (layer, resumed) = (Dropout::new(0.5, 7)?, Dropout::new(0.5, 7)?);
/// layer.forward_t(&x, true)?;
/// resumed.set_position(layer.position()?)?;
/// let (a, b) = (layer.forward_t(&x, true)?, resumed.forward_t(&x, true)?);
/// assert_eq!(a.to_vec1::<f32>()?, b.to_vec1::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    rng: Mutex<ChaCha12Rng>,
}

impl Dropout {
    /// Layer that sets each value to 0 with probability `p`. Layers of one network need seeds that differ.
    ///
    /// # Errors
    /// If `p` is not in `0..1`.
    pub fn new(p: f64, seed: u64) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("dropout: expected a probability 0 <= p < 1, found {p}");
        }
        Ok(Self { p, rng: Mutex::new(stream(seed, "dropout")) })
    }

    /// Position in the random stream, in 32-bit words: one for each value that passed in training.
    ///
    /// # Errors
    /// If a thread panicked within the layer.
    pub fn position(&self) -> Result<u64> {
        self.with(|rng| Ok(rng.get_word_pos() as u64))
    }

    /// Continues from a position.
    ///
    /// # Errors
    /// If a thread panicked within the layer.
    pub fn set_position(&self, position: u64) -> Result<()> {
        self.with(|rng| {
            rng.set_word_pos(position.into());
            Ok(())
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut ChaCha12Rng) -> Result<R>) -> Result<R> {
        let Ok(mut rng) = self.rng.lock() else { bail!("dropout: poisoned random stream") };
        f(&mut rng)
    }
}

impl ModuleT for Dropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            return Ok(x.clone());
        }
        self.with(|rng| crate::dropout(x, self.p, rng))
    }
}
