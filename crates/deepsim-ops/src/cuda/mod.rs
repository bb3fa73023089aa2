//! The operations on NVIDIA GPUs, with the feature `cuda`.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@precision`] | precision of convolutions |
//! | [`handle`] | a cuDNN handle and workspace per thread and device |
//! | [`descriptors`] | cuDNN's descriptors of tensors, filters and convolutions |
//! | [`plan`] | choice of cuDNN's algorithm for each pass of each shape |
//! | [`kernels`] | our own kernels, compiled when first used |
//! | [`memory`] | keeping freed device memory |
//! | [`glue`] | conversions between candle's tensors and device memory |
//! | [`mod@conv`], [`mod@pool`], [`mod@lrn`], [`mod@elementwise`], [`mod@dropout`] | the operations |
//! | [`mod@softmax`], [`mod@distance`], [`mod@adam`] | losses and the optimiser |
//! | [`multi_tensor`] | multi-tensor kernels: many tensors in one launch |
//! | [`mod@pixels`], [`upload`] | image bytes to values, and their upload while the device computes |
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
