//! The CPU engine: plain `f32` slices of images in and out, channels-last where nothing else is said, no tensors.
//!
//! | file | holds |
//! |---|---|
//! | `conv` | one convolution and its adjoint; chooses among the next four |
//! | `axis` | source positions of an output, for any stride and padding, and the adjoint |
//! | `correlate` | the sum itself: lists of pixels that read the same taps, times panels of weights |
//! | `winograd` | the same in fewer multiplications, for 3x3, 5x5 and strided kernels; forward and both gradients |
//! | `linear` | the same for 1x1 maps, without copying the weights |
//! | `weight_gradient` | gradients to weights and biases |
//! | `panels` | weights in the kernels' layout |
//! | `kernel`, `simd` | the two inner loops, for AVX-512, AVX2 and any machine |
//! | `pool`, `lrn`, `elementwise`, `layout` | everything else |
//! | `bands` | average pooling and up-sampling, channels-first |
//! | `batch_norm` | batch normalisation, channels-first |
//! | `buffer` | memory that is kept between calls |
//!
//! Work is split by shape alone, never by the number of threads, so results are bit-identical for
//! any number of threads.

pub(crate) mod axis;
pub(crate) mod bands;
pub(crate) mod batch_norm;
pub(crate) mod buffer;
pub(crate) mod conv;
pub(crate) mod correlate;
pub(crate) mod elementwise;
mod kernel;
pub(crate) mod layout;
mod linear;
pub(crate) mod lrn;
mod panels;
pub(crate) mod pool;
pub(crate) mod simd;
pub(crate) mod weight_gradient;
mod winograd;

#[cfg(test)]
mod tests;
