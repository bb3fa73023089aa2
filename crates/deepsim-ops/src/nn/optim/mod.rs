//! Optimisers on the fused updates of this crate, and clipping of gradients.

mod adam;
mod clip;
mod params;
mod sgd;
mod slots;
mod state;

pub use adam::{Adam, AdamW};
pub use clip::clip_gradients;
pub use params::{Convention, ParamsAdam, ParamsSgd};
pub use sgd::Sgd;
