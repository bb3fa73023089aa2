//! How much was computed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::conv::ConvShape;

static OPERATIONS: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations (multiplications and additions) of all convolutions and linear layers that
/// this process has computed on the CPU, forward and backward, counted by the definition of the
/// operation and not by the algorithm.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// let before = deepsim_ops::operations();
/// let x = Tensor::ones((2, 10), DType::F32, &Device::Cpu)?;
/// let w = Tensor::ones((5, 10), DType::F32, &Device::Cpu)?;
/// deepsim_ops::linear(&x, &w, None)?;
/// assert_eq!(deepsim_ops::operations() - before, 2 * 2 * 5 * 10);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn operations() -> u64 {
    OPERATIONS.load(Ordering::Relaxed)
}

/// Counts one pass of a convolution; its adjoint and its weight gradient take as many.
pub(crate) fn count(s: &ConvShape) {
    let pass = 2 * s.n * s.y_len() * s.patch();
    OPERATIONS.fetch_add(pass as u64, Ordering::Relaxed);
}
