//! Precision of convolutions and linear layers on a GPU.

use std::sync::atomic::{AtomicU8, Ordering};

/// Type of the factors that convolutions and linear layers multiply on a GPU. Sums are always
/// `f32`, and so are all tensors outside of the convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// True `f32`, as on the CPU; no tensor cores.
    #[default]
    F32,
    /// Factors rounded to 10 bits of mantissa, within the tensor cores.
    Tf32,
    /// Inputs, weights and results rounded to `bf16` (7 bits): the fastest, and half the traffic.
    Bf16,
}

const ALL: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];

static CHOSEN: AtomicU8 = AtomicU8::new(Precision::F32 as u8);

/// The precision of convolutions on a GPU, [`Precision::F32`] if never set.
pub fn precision() -> Precision {
    ALL[usize::from(CHOSEN.load(Ordering::Relaxed))]
}

/// Sets the precision of convolutions on all GPUs, for the whole process.
///
/// A gradient is computed with the precision that its forward pass had.
pub fn set_precision(precision: Precision) {
    CHOSEN.store(precision as u8, Ordering::Relaxed);
}
