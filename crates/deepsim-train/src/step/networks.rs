//! Networks in training, with their optimisers and the terms of the loss.

use std::rc::Rc;

use candle_core::Device;
use deepsim_loss::Term;
use deepsim_nets::{Autoencoder, Discriminator, Generator, Images, Inverter, Vae};
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::dist::{ProcessGroup, SingleProcess};
use crate::optim::{Adam, Ema};
use crate::step::discriminator::{Adversarial, Adversary};
use crate::step::frozen::FrozenNetworks;
use crate::step::micro_batch::MicroBatch;

/// State of the paper's algorithm.
pub(crate) struct Networks {
    pub(crate) seed: u64,
    /// Images that are generated from each real one.
    pub(crate) draws: usize,
    /// Iterations made.
    pub(crate) step: u64,
    pub(crate) generator: Generator,
    pub(crate) generator_adam: Adam,
    pub(crate) adversary: Option<Adversary>,
    /// Terms of the generator's loss; the adversarial one, if any, comes first.
    pub(crate) terms: Vec<Box<dyn Term>>,
    pub(crate) frozen: FrozenNetworks,
    pub(crate) ema: Option<Ema>,
    pub(crate) group: Rc<dyn ProcessGroup>,
}

impl Networks {
    /// Creates networks with initial weights beside the frozen ones.
    ///
    /// # Errors
    /// If a network cannot be built.
    pub(crate) fn new(
        recipe: &Recipe,
        frozen: FrozenNetworks,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let adam = &recipe.adam;
        let generator = fresh(recipe, &frozen, device)?;
        let decays = |name: &str| generator.decays(name);
        let generator_adam = Adam::new(adam, adam.generator_decay, decays, generator.params())?;
        let adversary = match recipe.adversarial {
            None => None,
            Some(term) => {
                let features = match &generator {
                    Generator::Inverter(net) => Some(net.config().features.iter().product()),
                    Generator::Autoencoder(_) | Generator::Vae(_) => None,
                };
                let net = Discriminator::new(term.discriminator, features, recipe.seed, device)?;
                let adam = Adam::new(adam, adam.discriminator_decay, |_| true, net.params())?;
                Some(Adversary::new(net, adam, term))
            }
        };
        let ema = recipe.average.map(|decay| {
            // The same seed: the mean begins with the generator's own weights.
            Ok::<_, TrainError>(Ema::new(decay, fresh(recipe, &frozen, device)?))
        });
        Ok(Self {
            seed: recipe.seed,
            draws: recipe.draws,
            step: 0,
            terms: terms(recipe, &frozen, adversary.as_ref()),
            generator,
            generator_adam,
            adversary,
            frozen,
            ema: ema.transpose()?,
            group: Rc::new(SingleProcess),
        })
    }

    /// Splits the coming batch into micro-batches of `size`, and draws their noise.
    ///
    /// # Errors
    /// If `size` does not divide the batch.
    pub(crate) fn split(
        &self,
        real: &Images,
        size: Option<usize>,
    ) -> Result<Vec<MicroBatch>, TrainError> {
        let n = real.len();
        let (size, first) = (size.unwrap_or(n).max(1), self.group.rank() * n);
        let at = (self.seed, self.step + 1);
        MicroBatch::split(real, size, first, &self.generator, self.draws, at)
    }

    /// Takes back the updates of an iteration that fails.
    pub(crate) fn undo_on_error<T>(
        &mut self,
        iteration: impl FnOnce(&mut Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let updates = self.generator_adam.updates();
        if let Some(adversary) = &mut self.adversary {
            adversary.kept = false;
        }
        let trained = self.adversary.as_ref().filter(|a| a.balance.train_discriminator);
        let discriminator_updates = trained.map(|adversary| adversary.adam.updates());
        let made = iteration(self);
        if made.is_err() {
            // The generator's update was not made, if a number was not finite; the discriminator's was, perhaps.
            self.generator_adam.set_updates(updates);
            if let (Some(adversary), Some(updates)) = (&mut self.adversary, discriminator_updates) {
                // The first error is the one to report.
                let _ = adversary.undo(updates);
            }
        }
        made
    }
}

/// Lists the terms of a recipe.
fn terms(
    recipe: &Recipe,
    frozen: &FrozenNetworks,
    adversary: Option<&Adversary>,
) -> Vec<Box<dyn Term>> {
    let mut terms: Vec<Box<dyn Term>> = Vec::new();
    if let Some(adversary) = adversary {
        let (net, term) = (adversary.net.clone(), adversary.term);
        terms.push(Box::new(Adversarial { net, term, seed: recipe.seed }));
    }
    if let Some(feature) = &frozen.feature {
        terms.push(Box::new(feature.clone()));
    }
    terms.push(Box::new(recipe.image));
    terms.extend(recipe.terms.list());
    if let Some(vae) = &recipe.vae {
        terms.push(Box::new(vae.divergence));
    }
    terms
}

/// Creates the generator of a recipe with its initial weights.
fn fresh(
    recipe: &Recipe,
    frozen: &FrozenNetworks,
    device: &Device,
) -> Result<Generator, TrainError> {
    let seed = recipe.seed;
    let generator = match (&recipe.inversion, &recipe.vae) {
        (Some(inversion), _) => {
            let config = frozen.inverter(inversion, recipe.crop, device)?;
            Generator::Inverter(Inverter::new(config, seed, device)?)
        }
        (None, Some(vae)) => {
            let net = Vae::new(vae.config(recipe.crop), seed, device)?;
            if let Some(file) = &frozen.initial_weights {
                net.begin_with(file)?;
            }
            Generator::Vae(net)
        }
        (None, None) => Generator::Autoencoder(Autoencoder::new(recipe.generator, seed, device)?),
    };
    if recipe.interpolate {
        generator.interpolate()?;
    }
    Ok(generator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_run::recipes;

    #[test]
    fn the_generator_and_its_mean_begin_with_interpolation_where_it_is_asked_for()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = recipes::text("autoencoder-se").ok_or("a built-in recipe")?;
        for interpolates in [false, true] {
            let sets = [format!("interpolate={interpolates}"), "average=0.9".to_owned()];
            let recipe = Recipe::parse(text, &sets)?;
            let networks = Networks::new(&recipe, FrozenNetworks::default(), &Device::Cpu)?;
            let mean = networks.ema.as_ref().ok_or("a mean")?.net();
            for net in [&networks.generator, mean] {
                let last = net.params().get("decoder.u3.weight").ok_or("the last layer")?;
                let row = last.get(0)?.get(0)?.get(1)?.to_vec1::<f32>()?;
                let alike = |a: f32, b: f32| (a / b - 1.0).abs() < 1e-5;
                let linear = alike(row[1], 3.0 * row[0]) && row[1] == row[2] && row[0] == row[3];
                assert_eq!(linear, interpolates, "{row:?}");
            }
        }
        Ok(())
    }
}
