//! Optimisers of all weights of one network, and the moving average of a generator's weights.

mod adam;
mod ema;
mod sgd;

pub use adam::Adam;
pub use ema::Ema;
pub use sgd::{Multiplier, Sgd};
