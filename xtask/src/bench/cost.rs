//! Layers and FLOPs of a training, as the library counts them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// Cost of a step of a recipe.
#[derive(Debug, Deserialize)]
pub(super) struct Cost {
    /// Networks that a step runs.
    pub(super) networks: Vec<Network>,
}

/// Network with the FLOPs of a step for one image, patch or pair.
#[derive(Debug, Deserialize)]
pub(super) struct Network {
    name: String,
    trained: bool,
    flops: f64,
    weights: usize,
    /// Layers with weights.
    pub(super) layers: Vec<Layer>,
}

/// Layer with weights.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Layer {
    /// Name in its network.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Channels of its input.
    pub(super) inputs: usize,
    /// Channels of its output.
    pub(super) outputs: usize,
    /// Side of its input in pixels.
    pub(super) side: usize,
    /// Side of its kernel.
    pub(super) kernel: usize,
    /// Stride, or up-sampling factor.
    pub(super) stride: usize,
    /// Zeros on each side.
    pub(super) padding: usize,
    pub(super) groups: usize,
    /// True if it reads an input of the network.
    pub(super) first: bool,
    /// FLOPs of one pass over one image; the passes for the two gradients cost as much each.
    pub(super) flops: f64,
}

/// Operation of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Conv,
    UpConv,
    Linear,
}

impl Cost {
    /// Asks our side of the benchmark for the cost of a recipe with overrides.
    ///
    /// # Errors
    /// If the program cannot be started, or refuses the recipe.
    pub(super) fn ask(server: &Path, recipe: &Path, sets: &[&str]) -> Result<Self> {
        let mut command = Command::new(server);
        command.arg("--cost").arg("--recipe").arg(recipe);
        command.args(sets.iter().flat_map(|set| ["--set", set])).stderr(Stdio::inherit());
        let shown = process::shown(&command);
        let output = command.output().with_context(|| format!("starting {shown}"))?;
        if !output.status.success() {
            bail!("{shown} failed ({}); its own words are above", output.status);
        }
        Self::parse(&output.stdout).with_context(|| format!("reading what {shown} printed"))
    }

    /// Reads what the library prints.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The network with this name.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn network(&self, name: &str) -> Result<&Network> {
        let found = self.networks.iter().find(|network| network.name == name);
        found.with_context(|| format!("the library counted no {name}"))
    }

    /// Numbers of weights by network.
    pub(super) fn parameters(&self) -> Vec<(&'static str, usize)> {
        self.sums(|network| network.weights)
    }

    /// FLOPs of one step for one image by network.
    pub(super) fn flops(&self) -> Vec<(&'static str, f64)> {
        self.sums(|network| network.flops)
    }

    fn sums<T: std::ops::AddAssign>(&self, of: impl Fn(&Network) -> T) -> Vec<(&'static str, T)> {
        let mut sums: Vec<(&'static str, T)> = Vec::new();
        for network in &self.networks {
            let name = network.reported();
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += of(network),
                None => sums.push((name, of(network))),
            }
        }
        sums
    }
}

impl Network {
    /// Name under which both sides report its weights.
    fn reported(&self) -> &'static str {
        match (self.trained, &self.name[..]) {
            (false, _) => "fixed",
            (true, "discriminator") => "discriminator",
            (true, "comparator") => "network",
            (true, _) => "generator",
        }
    }
}

/// Small cost for tests, in the form that the library prints.
#[cfg(test)]
pub(super) fn example() -> Cost {
    Cost::parse(include_bytes!("cost.json")).expect("the example is as the library prints it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_summed_under_the_names_of_reports() -> Result<()> {
        let cost = example();
        assert_eq!(cost.parameters(), [("generator", 20), ("fixed", 7), ("discriminator", 10)]);
        let flops = [("generator", 5e6), ("fixed", 2e6), ("discriminator", 2e6)];
        assert_eq!(cost.flops(), flops);
        assert_eq!(cost.network("generator")?.layers[1].kind, Kind::UpConv);
        assert!(cost.network("judge").is_err() && Cost::parse(b"{}").is_err());
        Ok(())
    }
}
