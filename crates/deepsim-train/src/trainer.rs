//! One iteration of training, in the order of the authors' script.

use std::rc::Rc;

use candle_core::{Device, Tensor};
use deepsim_loss::{Balance, Distance, Evaluated, Term, balance, objective, terms};
use deepsim_nets::random::stream;
use deepsim_nets::{Autoencoder, Discriminator, Generated, Generator, Images, Inverter, Vae};

use crate::TrainError;
pub use crate::adversary::Adversary;
use crate::adversary::{Pass, dropout_streams};
use crate::average::Average;
use crate::fixed::Fixed;
use crate::gradients::{See, add, checked_norm, sum};
use crate::optim::Adam;
use crate::part::{NOISE, Part, add_terms, sum_terms};
use crate::recipe::{Divergence, Recipe};
pub use crate::step_report::{AdversaryReport, StepReport};
use crate::world::{Alone, World};

/// Networks, optimisers and balance of a run.
pub struct Trainer {
    seed: u64,
    step: u64,
    generator: Generator,
    generator_adam: Adam,
    image: (Distance, f64),
    divergence: Option<Divergence>,
    fixed: Fixed,
    adversary: Option<Adversary>,
    average: Option<Average>,
    micro_batch: Option<usize>,
    world: Rc<dyn World>,
}

impl Trainer {
    /// Fresh networks beside the fixed ones, which [`Plan::settle`](crate::plan::Plan::settle) opens.
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
                Some(Adversary { net, adam, balance: Balance::default(), term })
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
        })
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
        self.step_seen(real, &mut |_, _, _| Ok(()))
    }

    /// [`Trainer::step`] that shows every gradient to `see`.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_seen(
        &mut self,
        real: &Images,
        see: &mut See<'_>,
    ) -> Result<StepReport, TrainError> {
        // The discriminator is updated before the generator's terms are known.
        let before = self.adversary.as_ref().map(Adversary::before).transpose()?.flatten();
        let made = self.attempt(real, see);
        if let (Err(_), Some(before), Some(adversary)) = (&made, before, &mut self.adversary) {
            adversary.undo(before)?;
        }
        made
    }

    fn attempt(&mut self, real: &Images, see: &mut See<'_>) -> Result<StepReport, TrainError> {
        let step = self.step + 1;
        let (world, n) = (self.world.clone(), real.len());
        let size = self.micro_batch.unwrap_or(n).max(1);
        let part = |images| Part::new(images, &self.generator, &self.fixed, (self.seed, step));
        let parts = Part::cut(real, size, world.rank() * n)?.into_iter().map(part);
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let whole = parts.len() == 1;
        let share = 1.0 / (parts.len() * world.size()) as f64;

        // 1-6. Encode and generate; the discriminator on real images and on generated ones, and one
        // update for both. Of several parts only the images are kept, and generated again below.
        let (mut outputs, mut judged) = (Vec::new(), None);
        if let Some(adversary) = &mut self.adversary {
            let generator = if whole { self.generator.clone() } else { self.generator.frozen() };
            let mut generated = Vec::with_capacity(parts.len());
            for part in &parts {
                let output = generate(&generator, part)?;
                generated.push(detached(&output.images)?);
                outputs.push(output);
            }
            judged = Some(adversary.judge((self.seed, step), &parts, &generated, &*world, see)?);
        }

        // 7. Generator: gradients of all terms at the generated images, summed, then through the
        // generator. The adversarial term sees the discriminator as just updated.
        let balance = self.adversary.as_ref().map_or_else(Balance::default, |a| a.balance);
        let learning_rate = self.generator_adam.learning_rate();
        let (mut terms, mut gradients) = (Vec::new(), None);
        for (i, part) in parts.iter().enumerate() {
            let Generated { images, posterior } = match outputs.get(i).filter(|_| whole) {
                Some(output) => output.clone(),
                None => generate(&self.generator, part)?,
            };
            let mut evaluated = self.evaluate(part, &detached(&images)?)?;
            let mut codes = None;
            if let (Some(divergence), Some(posterior)) = (&self.divergence, &posterior) {
                let weight = divergence.at(step);
                let (term, gradients) = objective::evaluate_divergence(posterior, weight)?;
                evaluated.terms.push(term);
                codes = Some((posterior, gradients));
            }
            add_terms(&mut terms, evaluated.terms, share);
            if balance.train_generator {
                let shared = |gradient: &Tensor| match share {
                    1.0 => Ok(gradient.clone()),
                    share => gradient * share,
                };
                let gradient = shared(&evaluated.gradient)?;
                let part = match codes {
                    None => objective::backward_from(images.tensor(), &gradient)?,
                    Some((codes, [mean, log_variance])) => objective::backward_from_all(&[
                        (images.tensor(), &gradient),
                        (&codes.mean, &shared(&mean)?),
                        (&codes.log_variance, &shared(&log_variance)?),
                    ])?,
                };
                gradients = Some(add(gradients, part, self.generator.params())?);
            }
        }
        sum_terms(&*world, step, &mut terms)?;
        let mut norms = Vec::new();
        if let Some(mut gradients) = gradients {
            let params = self.generator.params();
            sum(&*world, &mut gradients, params)?;
            norms.push(("generator", checked_norm(step, "generator", params, &gradients, see)?));
            self.generator_adam.step(params, &gradients)?;
            if let Some(average) = &self.average {
                average.update(params)?;
            }
        }
        norms.extend(judged.and_then(|j| j.gradient).map(|norm| ("discriminator", norm)));

        // 8. Decide who is updated next.
        let adversary = match (&mut self.adversary, judged) {
            (Some(adversary), Some(judged)) => {
                let fooled = terms[0].value;
                let ratio = balance::ratio(judged.real, judged.generated, fooled);
                adversary.balance.update(adversary.term.balance, ratio);
                let [accuracy_real, accuracy_generated] = judged.accuracy;
                Some(AdversaryReport {
                    real: judged.real,
                    generated: judged.generated,
                    accuracy: 0.5 * (accuracy_real + accuracy_generated),
                    accuracy_real,
                    accuracy_generated,
                    ratio,
                    trained_discriminator: balance.train_discriminator,
                    trained_generator: balance.train_generator,
                    discriminator_updates: adversary.adam.updates(),
                    generator_updates: self.generator_adam.updates(),
                })
            }
            _ => None,
        };
        self.step = step;
        let measures = Vec::new();
        Ok(StepReport { step, learning_rate, terms, adversary, gradients: norms, measures })
    }

    /// All terms of the generator's loss at `generated`; the adversarial one, if any, comes first.
    fn evaluate(&self, part: &Part, generated: &Images) -> Result<Evaluated, TrainError> {
        let Part { real, numbers, seen, .. } = part;
        let wanted = seen.target.as_ref().zip(self.fixed.feature.as_ref());
        // The discriminator's weights need no gradient here, only its input does.
        let judge = self.adversary.as_ref().map(|a| (a.net.frozen(), a.term.weight));
        let adversarial = judge.as_ref().map(|(net, _)| {
            move |images: &Images| {
                let (seed, step) = (self.seed, self.step + 1);
                let mut rngs = dropout_streams(seed, step, Pass::Fool, numbers.clone());
                let logits = net.forward(images, seen.features.as_ref(), Some(&mut rngs))?;
                terms::adversarial(&logits)
            }
        });
        let feature = wanted.as_ref().map(|(wanted, f)| {
            move |images: &Images| terms::feature(&f.comparator.features(images, &f.tap)?, wanted)
        });
        let (distance, weight) = self.image;
        let image = |images: &Images| distance.between(images, real);
        let mut all = Vec::with_capacity(3);
        if let (Some(loss), Some((_, weight))) = (&adversarial, &judge) {
            all.push(Term::new("adversarial", *weight, loss));
        }
        if let (Some(loss), Some((_, f))) = (&feature, &wanted) {
            all.push(Term::new("feature", f.weight, loss));
        }
        all.push(Term::new("image", weight, &image));
        Ok(objective::evaluate(generated, &all)?)
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

/// What the generator makes of a part.
fn generate(generator: &Generator, part: &Part) -> Result<Generated, TrainError> {
    let Part { real, seen, noise, .. } = part;
    Ok(generator.forward(real, seen.features.as_ref(), noise.as_ref())?)
}

/// The images without what they were computed from.
fn detached(images: &Images) -> Result<Images, TrainError> {
    Ok(images.with_tensor(images.tensor().detach())?)
}
