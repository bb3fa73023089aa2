//! The recipe, the data and the place of `train` and `plan`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use deepsim_run::recipe::AnyRecipe;
use deepsim_train::run::RunOptions;

use super::data_options::Data;
use super::locate;
use super::place::Place;

/// Recipe, data and place of a run.
#[derive(Args)]
pub(crate) struct What {
    /// Recipe: a TOML file, or the name of a built-in recipe, e.g. autoencoder-se; `deepsim recipes` lists them
    recipe: PathBuf,
    #[command(flatten)]
    pub(crate) data: Data,
    /// Override a key of the recipe, e.g. --set steps=1000 --set adam.learning_rate=1e-4; `deepsim recipes --keys`
    /// lists them
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// On a GPU, run each step of a generator operation by operation, not as a CUDA graph
    #[arg(long)]
    without_graphs: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl What {
    fn recipe(&self) -> Result<AnyRecipe> {
        let sets = self.set.iter().map(|set| locate::setting(set)).collect::<Result<Vec<_>>>()?;
        Ok(AnyRecipe::open(&self.recipe, &sets)?)
    }

    /// Checks the name of a built-in recipe and the keys that are set; a file or a placeholder passes.
    #[cfg(test)]
    pub(crate) fn check(&self) -> Result<()> {
        let name = self.recipe.to_string_lossy();
        match name.contains(|c: char| c.is_ascii_uppercase() || c == '.') {
            true => Ok(()),
            false => self.recipe().map(drop),
        }
    }

    /// Reads the recipe, and returns it with the options of a run.
    ///
    /// # Errors
    /// If the recipe or an override is not valid.
    pub(crate) fn on(
        &self,
        (device, weights): (Device, Option<PathBuf>),
        out: &Path,
        resume: bool,
    ) -> Result<(AnyRecipe, RunOptions)> {
        let recipe = self.recipe()?;
        let options = RunOptions {
            data: self.data.options()?,
            weights,
            resume,
            device,
            graphs: !self.without_graphs,
            ..RunOptions::new(out)
        };
        Ok((recipe, options))
    }
}
