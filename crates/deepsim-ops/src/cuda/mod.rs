//! The operations on NVIDIA GPUs, with the feature `cuda`.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@precision`] | how exactly convolutions compute |
//! | [`handle`] | a cuDNN handle and workspace per thread and device |
//! | [`descriptors`] | cuDNN's descriptions of tensors, filters and convolutions |
//! | [`plan`] | choosing cuDNN's algorithm for one pass of one shape, once |
//! | [`kernels`] | our own kernels, compiled when first used |
//! | [`memory`] | keeping freed device memory |
//! | [`glue`] | between candle's tensors and device memory |
//! | [`mod@conv`], [`mod@pool`], [`mod@lrn`], [`mod@elementwise`] | the operations |
//! | [`mod@softmax`], [`mod@distance`], [`mod@adam`] | losses and the optimiser |
//!
//! Everything is computed in the stream of the tensors' device, without waiting for it. Sums are
//! taken in an order that depends on shapes alone, and cuDNN's algorithms are chosen by its
//! heuristic and not by timing, so the same seed gives the same bytes on the same machine.

pub(crate) mod adam;
mod conv;
mod descriptors;
mod distance;
mod elementwise;
mod glue;
mod handle;
mod kernels;
mod lrn;
mod memory;
mod plan;
mod pool;
mod precision;
mod softmax;

pub(crate) use conv::conv;
pub(crate) use distance::{absolute_error, squared_error};
pub(crate) use elementwise::{dropout, leaky_relu};
pub(crate) use lrn::lrn;
pub use memory::keep_freed_device_memory;
pub(crate) use pool::{global_avg_pool, max_pool};
pub use precision::{Precision, precision, set_precision};
pub(crate) use softmax::softmax_cross_entropy;
