//! Choice of the numbers that SVMs are trained on.

use serde::{Deserialize, Serialize};

use crate::EvalError;

/// Numbers that SVMs are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SvmInput {
    /// The code of the whole image.
    Code,
    /// The code of the centre crop.
    CenterCode,
    /// Pixels of the whole image, averaged over 4x4 blocks.
    Pixels,
}

impl SvmInput {
    /// The three inputs.
    pub const ALL: [Self; 3] = [Self::Code, Self::CenterCode, Self::Pixels];

    /// Name of the row of the measure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code of the whole image",
            Self::CenterCode => "code of the centre crop",
            Self::Pixels => "pixels",
        }
    }

    /// Name on the command line.
    fn option(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CenterCode => "center-code",
            Self::Pixels => "pixels",
        }
    }
}

impl std::str::FromStr for SvmInput {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        Self::ALL.into_iter().find(|input| input.option() == text).ok_or_else(|| {
            EvalError::Unknown {
                what: "SVM input",
                known: Self::ALL.map(Self::option).join(", "),
                got: text.into(),
            }
        })
    }
}
