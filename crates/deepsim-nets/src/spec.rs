//! Description of a generator in its weight file, under the metadata key `net`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::header;
use crate::params::SPEC_KEY;
use crate::{AutoencoderConfig, InverterConfig, NetError, VaeConfig};

/// Key of a description for the origin of the weights, which does not change the network.
pub(crate) const FROM: &str = "from";

/// Kind and configuration of a generator, as JSON: `{"kind": "autoencoder", ...}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Spec {
    Autoencoder(AutoencoderConfig),
    Inverter(InverterConfig),
    Vae(VaeConfig),
}

impl Spec {
    /// Reads the description of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or describes no generator.
    pub(crate) fn read(path: &Path) -> Result<Self, NetError> {
        let got = header::metadata(path)?.remove(SPEC_KEY).unwrap_or_else(|| "nothing".into());
        let mut spec: serde_json::Value = serde_json::from_str(&got).unwrap_or_default();
        // Drops the origin of imported weights; see [`FROM`].
        spec.as_object_mut().map(|spec| spec.remove(FROM));
        let wanted = "a generator";
        serde_json::from_value(spec).map_err(|_| NetError::Spec { path: path.into(), wanted, got })
    }

    /// Writes the description for the metadata.
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}
