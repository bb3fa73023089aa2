//! Feature spaces to measure in.

use std::fmt;
use std::str::FromStr;

use deepsim_nets::{ComparatorKind, NetError};
use serde::{Deserialize, Serialize};

use crate::EvalError;

/// A layer of a comparator in whose feature space to measure, written `alexnet:CONV3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Space {
    /// The comparator.
    pub comparator: ComparatorKind,
    /// Name of the layer.
    pub tap: String,
}

impl Space {
    /// The spaces that are measured unless others are asked for, where weights are found: comparators for the
    /// autoencoder, and two layers each of two networks that no generator is trained with, textures and whole
    /// objects. The weights of the last one come with the project.
    pub fn standard() -> Vec<Self> {
        let space = |(comparator, tap): (_, &str)| Self { comparator, tap: tap.into() };
        let (squeezenet, judge) = (ComparatorKind::squeezenet, ComparatorKind::efficientnet_lite0);
        [
            (ComparatorKind::alexnet(), "CONV3"),
            (ComparatorKind::alexnet_instance(), "CONV3"),
            (ComparatorKind::exemplar_cnn(), "CONV3"),
            (squeezenet(), "POOL4"),
            (squeezenet(), "FIRE9"),
            (judge(), "STAGE5"),
            (judge(), "HEAD"),
        ]
        .map(space)
        .into()
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.comparator, self.tap)
    }
}

impl From<Space> for String {
    fn from(space: Space) -> Self {
        space.to_string()
    }
}

impl TryFrom<String> for Space {
    type Error = EvalError;

    fn try_from(text: String) -> Result<Self, EvalError> {
        text.parse()
    }
}

impl FromStr for Space {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let wrong = || EvalError::Unknown {
            what: "feature space",
            known: format!(
                "COMPARATOR:TAP, e.g. alexnet:CONV3, of {}, or of a description that ends in .toml",
                ComparatorKind::all()
                    .iter()
                    .map(ComparatorKind::name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            got: text.into(),
        };
        // A path may hold colons, and a tap does not.
        let (name, tap) =
            text.rsplit_once(':').filter(|(_, tap)| !tap.is_empty()).ok_or_else(wrong)?;
        match name.parse() {
            Ok(comparator) => Ok(Self { comparator, tap: tap.into() }),
            Err(NetError::UnknownComparator { .. }) => Err(wrong()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_written_comparator_colon_tap() -> Result<(), EvalError> {
        for space in Space::standard() {
            assert!(space.comparator.taps().contains(&&*space.tap), "{space}");
            assert_eq!(space.to_string().parse::<Space>()?, space);
        }
        for wrong in ["alexnet", "alexnet:", "lenet:CONV1", ""] {
            let message = wrong.parse::<Space>().expect_err(wrong).to_string();
            assert!(message.contains("exemplar-cnn, squeezenet"), "{message}");
        }
        Ok(())
    }
}
