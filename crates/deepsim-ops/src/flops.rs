//! Count of floating-point operations.

use std::sync::atomic::{AtomicU64, Ordering};

static FLOPS: AtomicU64 = AtomicU64::new(0);

/// Returns the floating-point operations (multiplications and additions) of all convolutions and linear layers that
/// this process has computed on the CPU, forward and backward, counted by the definition of the
/// operation and not by the algorithm.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// let before = deepsim_ops::flops();
/// let x = Tensor::ones((2, 10), DType::F32, &Device::Cpu)?;
/// let w = Tensor::ones((5, 10), DType::F32, &Device::Cpu)?;
/// deepsim_ops::linear(&x, &w, None)?;
/// assert_eq!(deepsim_ops::flops() - before, 2 * 2 * 5 * 10);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn flops() -> u64 {
    FLOPS.load(Ordering::Relaxed)
}

/// Counts the operations of one pass.
pub(crate) fn count(flops: usize) {
    FLOPS.fetch_add(flops as u64, Ordering::Relaxed);
}
