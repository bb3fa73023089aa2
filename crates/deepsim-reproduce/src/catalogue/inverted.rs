//! Layers that are inverted in section 4.3, and the network that they are of.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ReproduceError;

/// A layer of the inverted network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layer {
    /// Last convolution, with the pooling after it.
    Conv5,
    /// First fully connected layer.
    Fc6,
    /// Second fully connected layer.
    Fc7,
    /// Scores of classes.
    Fc8,
}

impl Layer {
    /// Every layer, from the image up.
    pub const ALL: [Self; 4] = [Self::Conv5, Self::Fc6, Self::Fc7, Self::Fc8];

    /// The paper's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv5 => "CONV5",
            Self::Fc6 => "FC6",
            Self::Fc7 => "FC7",
            Self::Fc8 => "FC8",
        }
    }

    /// The layer on which methods are compared: FC6 as in the paper, else the first.
    pub fn main(layers: &[Self]) -> Option<Self> {
        if layers.contains(&Self::Fc6) { Some(Self::Fc6) } else { layers.first().copied() }
    }
}

impl FromStr for Layer {
    type Err = ReproduceError;

    fn from_str(name: &str) -> Result<Self, ReproduceError> {
        let found = Self::ALL.into_iter().find(|layer| layer.name() == name);
        let known = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| {
            ReproduceError::usage(format!("expected a layer, one of {}, found {name}", known()))
        })
    }
}

/// The network that is inverted, that compares, and that a variational autoencoder begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Name of the network.
    pub name: String,
    /// True if the weight of the feature term is calibrated. The paper's is for BVLC's CaffeNet on photographs.
    pub calibrated: bool,
}

impl Encoder {
    /// The network whose convolutions it has: a stand-in for AlexNet's head has AlexNet's.
    pub(super) fn convolutions(&self) -> &str {
        self.name.strip_suffix("-stand-in").unwrap_or(&self.name)
    }

    /// True if a variational autoencoder can begin with it.
    pub fn begins_vae(&self) -> bool {
        ["caffenet", "alexnet"].contains(&self.convolutions())
    }

    /// Overrides that make it the comparator.
    pub(super) fn as_comparator(&self) -> Vec<String> {
        let mut overrides = vec![format!("feature.comparator={}", self.name)];
        if self.calibrated {
            overrides.extend(["feature.weight=".to_owned(), "feature.rho=2".to_owned()]);
        }
        overrides
    }
}
