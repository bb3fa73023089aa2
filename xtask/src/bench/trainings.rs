//! Trainings that `cargo xtask bench step` knows.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace;

/// Training that both sides know by its name.
pub(super) struct Net {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    recipe: &'static str,
    /// Default images, patches or pairs per step on a CPU: the recipe's, or as many as all
    /// contestants can hold at once.
    pub(super) batches: &'static [u16],
}

/// Describes a training that has the name of its recipe.
const fn net(name: &'static str, batches: &'static [u16], about: &'static str) -> Net {
    Net { name, about, recipe: name, batches }
}

/// Known trainings; the first is the default.
pub(super) const NETS: [Net; 12] = [
    Net {
        recipe: "autoencoder-alexnet-conv3",
        ..net("autoencoder", &[64, 16], "Autoencoder for 64 pixels, AlexNet's CONV3, discriminator")
    },
    net("autoencoder-se", &[64], "Autoencoder alone, squared error"),
    net("autoencoder-l1", &[64], "Autoencoder alone, absolute error"),
    net(
        "autoencoder-exemplar-cnn-conv3",
        &[64],
        "Autoencoder, Exemplar-CNN's CONV3, discriminator",
    ),
    net(
        "vae-small-alexnet-conv3",
        &[64],
        "Variational autoencoder for 64 pixels, AlexNet's CONV3, discriminator",
    ),
    net(
        "vae-alexnet-conv5",
        &[8],
        "Variational autoencoder for 227 pixels, CaffeNet's pool5, discriminator",
    ),
    net(
        "inversion-conv5",
        &[8],
        "Inversion of CaffeNet's pool5, which is the comparator too; conditional discriminator",
    ),
    net(
        "inversion-fc6",
        &[8],
        "Inversion of CaffeNet's FC6, comparator pool5; conditional discriminator",
    ),
    net("inversion-fc6-image", &[8], "Inversion of CaffeNet's FC6 by the image term alone"),
    net(
        "inversion-fc8",
        &[8],
        "Inversion of CaffeNet's FC8, comparator pool5; conditional discriminator",
    ),
    net("exemplar-cnn", &[128], "Exemplar-CNN as classifier of 16,000 surrogate classes, SGD"),
    net("videonet-stills", &[20], "VideoNet ranking pairs of pictures, SGD; the hardest negatives"),
];

impl Net {
    /// Returns the training with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        NETS.iter().find(|net| net.name == name)
    }

    /// Returns the path of its recipe.
    pub(super) fn recipe(&self) -> PathBuf {
        recipe(self.recipe)
    }

    /// Returns the images, patches or pairs per step of the recipe.
    ///
    /// # Errors
    /// If the recipe cannot be read.
    pub(super) fn recipes_batch(&self) -> Result<u16> {
        let path = self.recipe();
        let read = || {
            let table: toml::Table = std::fs::read_to_string(&path)?.parse()?;
            let batch = table.get("batch").and_then(toml::Value::as_integer).context("no batch")?;
            Ok::<_, anyhow::Error>(u16::try_from(batch)?)
        };
        read().with_context(|| format!("reading {}", path.display()))
    }
}

/// Returns the path of a recipe.
pub(super) fn recipe(name: &str) -> PathBuf {
    workspace::root().join(format!("crates/deepsim-run/recipes/{name}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_have_batches() -> Result<()> {
        for net in &NETS {
            assert!(net.recipes_batch()? >= 20, "{}", net.name);
        }
        Ok(())
    }
}
