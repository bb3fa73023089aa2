//! Precision of convolutions on a GPU.

use candle_core::Device;
use deepsim_run::recipe::Precision;

use crate::TrainError;

/// Sets the precision of all convolutions and linear layers of this process from now on. Runs do so themselves;
/// who drives a [`Trainer`](crate::trainer::Trainer) does it before the first step.
///
/// # Errors
/// If the device has no other than `f32`.
pub fn set(precision: Precision, device: &Device) -> Result<(), TrainError> {
    if precision != Precision::F32 && !device.is_cuda() {
        return Err(TrainError::recipe(
            "precision: tf32 and bf16 need a GPU (--device cuda), the CPU has f32",
        ));
    }
    #[cfg(feature = "cuda")]
    deepsim_ops::set_precision(match precision {
        Precision::F32 => deepsim_ops::Precision::F32,
        Precision::Tf32 => deepsim_ops::Precision::Tf32,
        Precision::Bf16 => deepsim_ops::Precision::Bf16,
    });
    Ok(())
}
