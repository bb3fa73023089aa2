//! How exactly convolutions compute on a GPU, as a recipe says it.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Numbers that convolutions and linear layers multiply; sums, losses, weights and optimisers are `f32`
/// in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// True `f32`.
    #[default]
    F32,
    /// `f32` rounded to 10 bits of mantissa; GPU only.
    Tf32,
    /// `bf16`; GPU only.
    Bf16,
}

impl Precision {
    /// Sets it for this process: all convolutions and linear layers from now on. Runs do so themselves;
    /// who drives a [`Trainer`](crate::trainer::Trainer) does it before the first step.
    ///
    /// # Errors
    /// If the device has no other than `f32`.
    pub fn set(self, device: &Device) -> Result<(), TrainError> {
        if self != Self::F32 && !device.is_cuda() {
            return Err(TrainError::recipe(
                "precision: tf32 and bf16 need a GPU (--device cuda), the CPU has f32",
            ));
        }
        #[cfg(feature = "cuda")]
        deepsim_ops::set_precision(match self {
            Self::F32 => deepsim_ops::Precision::F32,
            Self::Tf32 => deepsim_ops::Precision::Tf32,
            Self::Bf16 => deepsim_ops::Precision::Bf16,
        });
        Ok(())
    }
}
