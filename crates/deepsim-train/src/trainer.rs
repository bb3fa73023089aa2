//! Networks in training, and their steps.

use std::rc::Rc;

use candle_core::Device;
use deepsim_loss::{Balance, Distance};
use deepsim_nets::random::stream;
use deepsim_nets::{Autoencoder, Discriminator, Generator, Images, Inverter, Vae};
use deepsim_ops::Reading;
use deepsim_run::recipe::{Divergence, Recipe};

use crate::TrainError;
pub use crate::adversary::Adversary;
use crate::average::Average;
use crate::compute::Outline;
use crate::fixed::Fixed;
use crate::gradients::See;
use crate::optim::Adam;
use crate::part::{Given, NOISE};
#[cfg(feature = "cuda")]
use crate::replay::Replays;
pub use crate::step_report::{AdversaryReport, StepReport};
use crate::world::{Alone, World};

/// Networks, optimisers and balance of a run.
pub struct Trainer {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) generator: Generator,
    pub(crate) generator_adam: Adam,
    pub(crate) image: (Distance, f64),
    pub(crate) divergence: Option<Divergence>,
    pub(crate) fixed: Fixed,
    pub(crate) adversary: Option<Adversary>,
    pub(crate) average: Option<Average>,
    micro_batch: Option<usize>,
    // Before the world: NCCL's group cannot end while there are graphs that sum.
    #[cfg(feature = "cuda")]
    pub(crate) replays: Option<Replays>,
    pub(crate) world: Rc<dyn World>,
}

impl Trainer {
    /// Fresh networks beside the fixed ones, which [`plan::settle`](crate::plan::settle) opens.
    ///
    /// # Errors
    /// If a network cannot be built.
    pub fn new(recipe: &Recipe, fixed: Fixed, device: &Device) -> Result<Self, TrainError> {
        let adam = &recipe.adam;
        let generator = fresh(recipe, &fixed, device)?;
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
        let average = recipe.average.map(|decay| {
            // The same seed: the mean begins with the generator's own weights.
            Ok::<_, TrainError>(Average::new(decay, fresh(recipe, &fixed, device)?))
        });
        let average = average.transpose()?;
        Ok(Self {
            seed: recipe.seed,
            step: 0,
            generator,
            generator_adam,
            image: (recipe.image.distance, recipe.image.weight),
            divergence: recipe.vae.as_ref().map(|vae| vae.divergence),
            fixed,
            adversary,
            average,
            micro_batch: recipe.micro_batch,
            world: Rc::new(Alone),
            #[cfg(feature = "cuda")]
            replays: None,
        })
    }

    /// On a GPU, whether steps are recorded as CUDA graphs, one for each kind of step; off at first. The numbers
    /// are the same. Where the driver refuses a graph, steps are made as without, and
    /// `Trainer::graphs_refused` says why.
    ///
    /// Steps of several processes that do not sum by NCCL, and those whose batch is cut into parts, are never
    /// recorded.
    pub fn set_graphs(&mut self, graphs: bool) {
        #[cfg(feature = "cuda")]
        {
            self.replays = graphs.then(Replays::default);
        }
        #[cfg(not(feature = "cuda"))]
        let _ = graphs;
    }

    /// Says who is updated in the coming step, whatever the rule decided.
    pub fn set_balance(&mut self, balance: Balance) {
        if let Some(adversary) = &mut self.adversary {
            adversary.balance = balance;
        }
    }

    /// Why no step is recorded any more, if one was to be.
    #[cfg(feature = "cuda")]
    pub fn graphs_refused(&self) -> Option<&str> {
        self.replays.as_ref().and_then(Replays::refused)
    }

    /// Trains together with other processes, each of which is given an equal part of every batch, by rank.
    #[must_use]
    pub fn in_world(self, world: Rc<dyn World>) -> Self {
        Self { world, ..self }
    }

    /// One iteration on a batch of real images (paper, Algorithm as coded; the numbers are those of
    /// the authors' script).
    ///
    /// # Shapes
    /// `(B, 3, H, W)`, sides multiples of 8
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if a loss or a gradient is not finite, or if an operation fails; then
    /// everything is as it was before the step.
    pub fn step(&mut self, real: &Images) -> Result<StepReport, TrainError> {
        let given = self.given(real)?;
        self.undone_on_error(|trainer| {
            #[cfg(feature = "cuda")]
            if let Some(made) = trainer.replay(&given)? {
                return Ok(made);
            }
            trainer.eager(given, &mut |_, _, _| Ok(()))
        })
    }

    /// [`Trainer::step`] that shows every gradient to `see`. Such a step is never a recorded one.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_seen(
        &mut self,
        real: &Images,
        see: &mut See<'_>,
    ) -> Result<StepReport, TrainError> {
        let given = self.given(real)?;
        self.undone_on_error(|trainer| trainer.eager(given, see))
    }

    /// A step that is made one operation after the other.
    pub(crate) fn eager(
        &mut self,
        given: Vec<Given>,
        see: &mut See<'_>,
    ) -> Result<(Outline, Vec<f64>), TrainError> {
        let (outline, numbers) = self.compute(given, see)?;
        Ok((outline, Reading::read(&numbers)?))
    }

    /// What the coming step is given.
    fn given(&self, real: &Images) -> Result<Vec<Given>, TrainError> {
        let (n, step) = (real.len(), self.step + 1);
        let size = self.micro_batch.unwrap_or(n).max(1);
        Given::cut(real, size, self.world.rank() * n, &self.generator, (self.seed, step))
    }

    /// Ends a step that was computed, and undoes one that cannot be ended.
    fn undone_on_error(
        &mut self,
        computed: impl FnOnce(&mut Self) -> Result<(Outline, Vec<f64>), TrainError>,
    ) -> Result<StepReport, TrainError> {
        let generator_updates = self.generator_adam.updates();
        if let Some(adversary) = &mut self.adversary {
            adversary.kept = false;
        }
        let judge = self.adversary.as_ref().filter(|a| a.balance.train_discriminator);
        let judge_updates = judge.map(|adversary| adversary.adam.updates());
        let made = computed(self).and_then(|(outline, values)| self.end(&outline, &values));
        if made.is_err() {
            // Its update was not made, if a number was not finite; the discriminator's was, perhaps.
            self.generator_adam.set_updates(generator_updates);
            if let (Some(adversary), Some(updates)) = (&mut self.adversary, judge_updates) {
                // What went wrong first is what must be told.
                let _ = adversary.undo(updates);
            }
        }
        made
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The running mean of the generator, if the recipe asks for one.
    pub fn average(&self) -> Option<&Average> {
        self.average.as_ref()
    }

    /// The generator that training is for: the mean if there is one.
    pub fn product(&self) -> &Generator {
        self.average.as_ref().map_or(&self.generator, Average::net)
    }

    /// What it makes of images; if it takes noise beside features, the same for all of them. Of a
    /// distribution of codes the mean is decoded.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn reconstruct(&self, images: &Images) -> Result<Images, TrainError> {
        let features = self.fixed.features(images)?;
        let net = self.product().frozen();
        let noise = match net {
            Generator::Vae(_) => None,
            _ => net.noise(1, &mut stream(self.seed, NOISE, 0))?,
        };
        Ok(net.forward(images, features.as_ref(), noise.as_ref())?.images)
    }

    /// Images of `n` codes from the prior, the same ones at every step; none unless it is a variational
    /// autoencoder that is trained.
    ///
    /// # Shapes
    /// `(n, 3, H, W)`
    ///
    /// # Errors
    /// If a code cannot be decoded.
    pub fn samples(&self, n: usize) -> Result<Option<Images>, TrainError> {
        let Generator::Vae(net) = self.product() else { return Ok(None) };
        let codes = net.noise(n, &mut stream(self.seed, NOISE, 0))?;
        Ok(Some(net.frozen().decode(&codes)?))
    }

    /// The generator's optimiser.
    pub fn generator_adam(&self) -> &Adam {
        &self.generator_adam
    }

    /// The discriminator's side.
    pub fn adversary(&self) -> Option<&Adversary> {
        self.adversary.as_ref()
    }

    /// Puts back the step count and hands out what a checkpoint has to fill.
    pub(crate) fn restore(&mut self, step: u64) -> (&mut Adam, Option<&mut Adversary>) {
        self.step = step;
        #[cfg(feature = "cuda")]
        self.set_graphs(self.replays.is_some());
        (&mut self.generator_adam, self.adversary.as_mut())
    }
}

/// The generator of a recipe with its initial weights.
fn fresh(recipe: &Recipe, fixed: &Fixed, device: &Device) -> Result<Generator, TrainError> {
    let seed = recipe.seed;
    Ok(match (&recipe.inversion, &recipe.vae) {
        (Some(inversion), _) => {
            let config = fixed.inverter(inversion, recipe.crop, device)?;
            Generator::Inverter(Inverter::new(config, seed, device)?)
        }
        (None, Some(vae)) => {
            let net = Vae::new(vae.config(recipe.crop), seed, device)?;
            if let Some(file) = &fixed.beginning {
                net.begin_with(file)?;
            }
            Generator::Vae(net)
        }
        (None, None) => Generator::Autoencoder(Autoencoder::new(recipe.generator, seed, device)?),
    })
}
