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
//! | [`mod@conv`], [`mod@pool`], [`mod@lrn`], [`mod@elementwise`], [`mod@dropout`] | the operations |
//! | [`mod@softmax`], [`mod@distance`], [`mod@adam`] | losses and the optimiser |
//! | [`many`] | what is done with many tensors in one launch |
//! | [`mod@pixels`], [`upload`] | bytes of pictures to values, and to the device while it computes |
//! | [`graph`] | a training step as a CUDA graph |
//!
//! Everything is computed in the stream of the tensors' device, without waiting for it. Sums are
//! taken in an order that depends on shapes alone, and cuDNN's algorithms are chosen by its
//! heuristic and not by timing, so the same seed gives the same bytes on the same machine.

pub(crate) mod adam;
mod conv;
mod descriptors;
mod distance;
mod dropout;
mod elementwise;
mod glue;
mod graph;
mod handle;
mod kernels;
mod lrn;
mod memory;
mod multi_tensor;
mod pixels;
mod plan;
mod pool;
mod precision;
mod softmax;
mod upload;

pub(crate) use conv::conv;
pub(crate) use distance::{absolute_error, squared_error};
pub(crate) use dropout::{dropout, dropout_mask};
pub(crate) use elementwise::leaky_relu;
pub use graph::StepGraph;
pub(crate) use lrn::lrn;
pub use memory::keep_freed_device_memory;
pub(crate) use multi_tensor::{adam, blend, copy_all, gather, squares};
pub(crate) use pixels::pixels;
pub(crate) use pool::{global_avg_pool, max_pool};
pub use precision::{Precision, precision, set_precision};
pub(crate) use softmax::softmax_cross_entropy;
pub use upload::Uploader;
