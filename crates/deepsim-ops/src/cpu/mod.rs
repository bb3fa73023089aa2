//! The CPU engine: plain `f32` slices in and out, no tensors.
//!
//! Work is split by shape alone, never by the number of threads, so results are bit-identical for
//! any number of threads.

pub(crate) mod conv;
pub(crate) mod direct;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod im2col;
pub(crate) mod kernel;
pub(crate) mod lowered;
pub(crate) mod lrn;
pub(crate) mod pool;
pub(crate) mod scratch;
pub(crate) mod simd;
#[cfg(test)]
mod tests;
