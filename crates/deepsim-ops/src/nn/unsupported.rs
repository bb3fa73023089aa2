//! The error of a conversion from candle-nn.

use std::fmt;

use candle_core::{DType, Error, Tensor};

/// Option of a candle layer that the operation here does not have.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::nn::{Linear, Unsupported};
/// let half = candle_nn::Linear::new(Tensor::zeros((2, 2), DType::F16, &Device::Cpu)?, None);
/// let error: Unsupported = Linear::try_from(half).unwrap_err();
/// assert_eq!(error.to_string(), "linear: expected weights of type f32, found f16");
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    layer: &'static str,
    option: &'static str,
    expected: &'static str,
    found: String,
}

impl Unsupported {
    /// Refuses an option that does not have the only value that is possible here.
    pub(super) fn unless(
        equal: bool,
        layer: &'static str,
        option: &'static str,
        expected: &'static str,
        found: impl fmt::Display,
    ) -> Result<(), Self> {
        if equal {
            return Ok(());
        }
        Err(Self { layer, option, expected, found: found.to_string() })
    }

    /// Refuses weights of another type.
    pub(super) fn unless_f32(layer: &'static str, weight: &Tensor) -> Result<(), Self> {
        let found = weight.dtype();
        Self::unless(found == DType::F32, layer, "weights of type", "f32", found.as_str())
    }

    /// Name of the option, as candle-nn has it, or `weights of type`.
    pub fn option(&self) -> &str {
        self.option
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, option, expected, found } = self;
        write!(f, "{layer}: expected {option} {expected}, found {found}")
    }
}

impl std::error::Error for Unsupported {}

impl From<Unsupported> for Error {
    fn from(error: Unsupported) -> Self {
        Self::Msg(error.to_string())
    }
}
