//! Held-out images on which the loss is watched.

use serde::{Deserialize, Serialize};

use super::text::at_least_one;
use crate::RunError;

/// Training images that no step sees. Before each checkpoint the weighted sum of all terms but the adversarial one is
/// measured on their centre crops, without transforms, with the generator that is saved; the log has it as
/// `measure/validation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Number of images, drawn by the run's seed; whole batches of them are measured.
    pub images: usize,
}

impl Default for Validation {
    fn default() -> Self {
        Self { images: 256 }
    }
}

impl Validation {
    /// Name of the number in the log.
    pub const NAME: &'static str = "validation";

    /// Refuses values that make no sense in a recipe.
    pub(super) fn check(&self) -> Result<(), RunError> {
        at_least_one("validation.images", self.images as u64)
    }
}
