//! Networks in training, and their steps.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use candle_core::Device;
use deepsim_loss::Balance;
use deepsim_nets::random::stream;
use deepsim_nets::{Generator, Images, Matched};
use deepsim_run::files::GENERATOR;
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::optim::{Adam, Ema};
use crate::step::accelerator::Accelerator;
pub use crate::step::discriminator::Adversary;
use crate::step::frozen::FrozenNetworks;
use crate::step::gradients::GradientHook;
use crate::step::micro_batch::NOISE;
use crate::step::networks::Networks;
pub use crate::step::report::{AdversaryReport, StepReport};

/// Networks, optimisers and balance of a run.
pub struct Trainer {
    // Before the networks: their process group cannot end while there are graphs that use it.
    accelerator: Accelerator,
    networks: Networks,
    micro_batch: Option<usize>,
}

/// File of the generator of a run folder, or that file itself.
pub(crate) fn generator_file(init: &Path) -> PathBuf {
    if init.is_dir() { init.join(GENERATOR) } else { init.to_owned() }
}

impl Trainer {
    /// Creates networks with initial weights beside the frozen ones, which
    /// [`plan::settle`](crate::run::plan::settle) opens.
    ///
    /// # Errors
    /// If a network cannot be built.
    pub fn new(
        recipe: &Recipe,
        frozen: FrozenNetworks,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let networks = Networks::new(recipe, frozen, device)?;
        let (accelerator, micro_batch) = (Accelerator::default(), recipe.micro_batch);
        Ok(Self { accelerator, networks, micro_batch })
    }

    /// Turns CUDA graphs on or off; they are off at first. On a GPU each kind of step is then captured once and
    /// launched from there on. The numbers are the same. Where the driver refuses a graph, steps are eager, and
    /// [`Trainer::graphs_refused`] says why.
    ///
    /// Steps of process groups that sum on the host, and those of several micro-batches, are never captured.
    pub fn set_graphs(&mut self, graphs: bool) {
        self.accelerator.set_graphs(graphs);
    }

    /// Returns why no step is captured any more, if one was to be.
    pub fn graphs_refused(&self) -> Option<&str> {
        self.accelerator.refused()
    }

    /// Sets which networks the coming step updates, whatever the rule decided.
    pub fn set_balance(&mut self, balance: Balance) {
        if let Some(adversary) = &mut self.networks.adversary {
            adversary.balance = balance;
        }
    }

    /// Joins a process group, each rank of which is given an equal part of every batch, by rank.
    #[must_use]
    pub fn in_group(mut self, group: Rc<dyn ProcessGroup>) -> Self {
        self.networks.group = group;
        self
    }

    /// Gives the generator, and its moving average, the weights of a run folder or of a generator's file.
    ///
    /// # Errors
    /// As [`Generator::begin_with`].
    pub fn begin_with(&self, init: &Path) -> Result<(), TrainError> {
        let file = generator_file(init);
        self.generator().begin_with(&file)?;
        Ok(self.ema().map_or(Ok(()), |ema| ema.net().begin_with(&file))?)
    }

    /// Gives the generator, and its moving average, those weights of a run folder or of any file that match by name and
    /// shape. Says which do.
    ///
    /// # Errors
    /// As [`Generator::begin_with_matching`].
    pub fn begin_with_matching(&self, init: &Path) -> Result<Matched, TrainError> {
        let file = generator_file(init);
        let matched = self.generator().begin_with_matching(&file)?;
        if let Some(ema) = self.ema() {
            ema.net().begin_with_matching(&file)?;
        }
        Ok(matched)
    }

    /// Makes one iteration on a batch of real images (paper, Algorithm as coded in the authors' script).
    ///
    /// # Shapes
    /// `(B, 3, H, W)`, sides multiples of 8 for an autoencoder, else those of the recipe's crops
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if a loss or a gradient is not finite, or if an operation fails; then
    /// everything is as it was before the step.
    pub fn step(&mut self, real: &Images) -> Result<StepReport, TrainError> {
        let Self { accelerator, networks, micro_batch } = self;
        let batch = networks.split(real, *micro_batch)?;
        networks.undo_on_error(|networks| {
            let numbers = accelerator.iterate(networks, batch)?;
            networks.finish(numbers)
        })
    }

    /// Makes one iteration as [`Trainer::step`], never from a CUDA graph, and calls `hook` with every gradient.
    ///
    /// # Errors
    /// As [`Trainer::step`], and those of `hook`.
    pub fn step_hooked(
        &mut self,
        real: &Images,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let batch = self.networks.split(real, self.micro_batch)?;
        self.networks.undo_on_error(|networks| {
            let numbers = networks.iterate(batch, hook)?.read()?;
            networks.finish(numbers)
        })
    }

    /// Returns the number of steps made.
    pub fn steps(&self) -> u64 {
        self.networks.step
    }

    /// Returns the generator.
    pub fn generator(&self) -> &Generator {
        &self.networks.generator
    }

    /// Returns the exponential moving average of the generator, if the recipe asks for one.
    pub fn ema(&self) -> Option<&Ema> {
        self.networks.ema.as_ref()
    }

    /// Returns the generator to keep: the moving average if there is one.
    pub fn product(&self) -> &Generator {
        self.ema().map_or(self.generator(), Ema::net)
    }

    /// Reconstructs images with the generator to keep. Noise beside features is the same for all of them. Of a
    /// distribution of codes the mean is decoded.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn reconstruct(&self, images: &Images) -> Result<Images, TrainError> {
        let features = self.networks.frozen.features(images)?;
        let net = self.product().frozen();
        let noise = match net {
            Generator::Vae(_) => None,
            _ => net.noise(1, &mut stream(self.networks.seed, NOISE, 0))?,
        };
        Ok(net.forward(images, features.as_ref(), noise.as_ref())?.images)
    }

    /// Decodes `n` codes from the prior, the same ones at every step; none unless a variational autoencoder is
    /// trained.
    ///
    /// # Shapes
    /// `(n, 3, H, W)`
    ///
    /// # Errors
    /// If a code cannot be decoded.
    pub fn samples(&self, n: usize) -> Result<Option<Images>, TrainError> {
        let Generator::Vae(net) = self.product() else { return Ok(None) };
        let codes = net.noise(n, &mut stream(self.networks.seed, NOISE, 0))?;
        Ok(Some(net.frozen().decode(&codes)?))
    }

    /// Returns the weighted sum of all terms but the adversarial one, with the generator to keep and the weights that terms
    /// have in the end, as a mean over `batches` of real images. Noise is the same at any step.
    ///
    /// # Shapes
    /// batches of `(B, 3, H, W)` -> a number
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn validate(&self, batches: &[Images]) -> Result<f64, TrainError> {
        let generator = self.product().frozen();
        let (mut sum, mut seen) = (0.0, 0);
        for images in batches {
            sum += images.len() as f64 * self.networks.measure(&generator, images, seen)?;
            seen += images.len();
        }
        Ok(sum / seen.max(1) as f64)
    }

    /// Returns the generator's optimiser.
    pub fn generator_adam(&self) -> &Adam {
        &self.networks.generator_adam
    }

    /// Returns the discriminator's side.
    pub fn adversary(&self) -> Option<&Adversary> {
        self.networks.adversary.as_ref()
    }

    /// Sets the number of steps made, and returns what a checkpoint has to fill.
    pub(crate) fn restore(&mut self, step: u64) -> (&mut Adam, Option<&mut Adversary>) {
        self.accelerator.reset();
        let networks = &mut self.networks;
        networks.step = step;
        (&mut networks.generator_adam, networks.adversary.as_mut())
    }
}
