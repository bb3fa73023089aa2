//! One iteration of training, in the order of the authors' script.

use candle_core::{Device, Tensor};
use deepsim_loss::{
    Balance, Distance, Evaluated, Term, TermReport, balance, calibrate, objective, terms,
};
use deepsim_nets::random::stream;
use deepsim_nets::{Autoencoder, Comparator, Discriminator, Images};

use crate::TrainError;
use crate::optim::Adam;
use crate::recipe::{AdversarialTerm, Recipe};

/// Networks, optimisers and balance of a run.
pub struct Trainer {
    seed: u64,
    step: u64,
    generator: Autoencoder,
    generator_adam: Adam,
    image: (Distance, f64),
    feature: Option<Feature>,
    adversary: Option<Adversary>,
}

/// A comparator with the layer and weight of its term.
pub struct Feature {
    /// The network.
    pub comparator: Box<dyn Comparator>,
    /// The layer.
    pub tap: String,
    /// The weight of the term.
    pub weight: f64,
}

/// The discriminator with all that belongs to it.
pub struct Adversary {
    /// The network.
    pub net: Discriminator,
    /// Its optimiser.
    pub adam: Adam,
    /// Who is updated next.
    pub balance: Balance,
    term: AdversarialTerm,
}

/// What happened in one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's terms.
    pub terms: Vec<TermReport>,
    /// The discriminator's side, if there is one.
    pub adversary: Option<AdversaryReport>,
    /// Numbers that are watched but not minimised, by name.
    pub measures: Vec<(&'static str, f64)>,
}

impl StepReport {
    /// The weighted sum of the terms.
    pub fn total(&self) -> f64 {
        self.terms.iter().map(TermReport::weighted).sum()
    }
}

/// The discriminator's side of one iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdversaryReport {
    /// Cross-entropy on real images.
    pub real: f64,
    /// Cross-entropy on generated images.
    pub generated: f64,
    /// Share of all images that it told right, before its update.
    pub accuracy: f64,
    /// `(real + generated) / adversarial`.
    pub ratio: f64,
    /// Whether the discriminator was updated.
    pub trained_discriminator: bool,
    /// Whether the generator was updated.
    pub trained_generator: bool,
}

impl Trainer {
    /// Fresh networks. The feature term of the recipe is given opened, because its weight may have
    /// been calibrated.
    ///
    /// # Errors
    /// If a network cannot be built.
    pub fn new(
        recipe: &Recipe,
        feature: Option<Feature>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let adam = &recipe.adam;
        let generator = Autoencoder::new(recipe.generator, recipe.seed, device)?;
        let generator_adam = Adam::new(adam, adam.generator_decay, generator.params())?;
        let adversary = match recipe.adversarial {
            None => None,
            Some(term) => {
                let net = Discriminator::new(term.discriminator, recipe.seed, device)?;
                let adam = Adam::new(adam, adam.discriminator_decay, net.params())?;
                Some(Adversary { net, adam, balance: Balance::default(), term })
            }
        };
        Ok(Self {
            seed: recipe.seed,
            step: 0,
            generator,
            generator_adam,
            image: (recipe.image.distance, recipe.image.weight),
            feature,
            adversary,
        })
    }

    /// One iteration on a batch of real images (paper, Algorithm as coded; the numbers are those of
    /// the authors' script).
    ///
    /// # Shapes
    /// `(B, 3, H, W)`, sides multiples of 8
    ///
    /// # Errors
    /// If a loss is not finite, or an operation fails.
    pub fn step(&mut self, real: &Images) -> Result<StepReport, TrainError> {
        let step = self.step + 1;
        // 1-3. Encode and generate.
        let output = self.generator.forward(real)?;
        let generated = output.with_tensor(output.tensor().detach())?;

        // 4-6. Discriminator on real images, then on generated ones; one update for both.
        let mut discriminator = None;
        if let Some(adversary) = &mut self.adversary {
            let losses = adversary.pass(self.seed, step, real, &generated)?;
            check(step, "discriminator's real", losses.real)?;
            check(step, "discriminator's generated", losses.generated)?;
            discriminator = Some(losses);
        }

        // 7. Generator: gradients of all terms at the generated images, summed, then through the
        // generator. The adversarial term sees the discriminator as just updated.
        let evaluated = self.evaluate(step, real, &generated)?;
        for term in &evaluated.terms {
            check(step, term.name, term.value)?;
        }
        let balance = self.adversary.as_ref().map_or_else(Balance::default, |a| a.balance);
        let learning_rate = self.generator_adam.learning_rate();
        if balance.train_generator {
            let gradients = objective::backward_from(output.tensor(), &evaluated.gradient)?;
            self.generator_adam.step(self.generator.params(), &gradients)?;
        }

        // 8. Decide who is updated next.
        let adversary = match (&mut self.adversary, discriminator) {
            (Some(adversary), Some(losses)) => {
                let fooled = evaluated.terms[0].value;
                let ratio = balance::ratio(losses.real, losses.generated, fooled);
                adversary.balance.update(adversary.term.balance, ratio);
                Some(AdversaryReport {
                    real: losses.real,
                    generated: losses.generated,
                    accuracy: losses.accuracy,
                    ratio,
                    trained_discriminator: balance.train_discriminator,
                    trained_generator: balance.train_generator,
                })
            }
            _ => None,
        };
        self.step = step;
        let (terms, measures) = (evaluated.terms, Vec::new());
        Ok(StepReport { step, learning_rate, terms, adversary, measures })
    }

    /// All terms of the generator's loss at `generated`; the adversarial one, if any, comes first.
    fn evaluate(
        &self,
        step: u64,
        real: &Images,
        generated: &Images,
    ) -> Result<Evaluated, TrainError> {
        let wanted = match &self.feature {
            Some(f) => Some((f.comparator.features(real, &f.tap)?.detach(), f)),
            None => None,
        };
        // The discriminator's weights need no gradient here, only its input does.
        let judge = self.adversary.as_ref().map(|a| (a.net.frozen(), a.term.weight));
        let adversarial = judge.as_ref().map(|(net, _)| {
            move |images: &Images| {
                let mut rng = dropout_stream(self.seed, step, Pass::Fool);
                terms::adversarial(&net.forward(images, Some(&mut rng))?)
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
    pub fn generator(&self) -> &Autoencoder {
        &self.generator
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

struct Losses {
    real: f64,
    generated: f64,
    accuracy: f64,
}

impl Adversary {
    /// The discriminator's losses on both batches, and its update if it is to be updated.
    fn pass(
        &mut self,
        seed: u64,
        step: u64,
        real: &Images,
        generated: &Images,
    ) -> Result<Losses, TrainError> {
        let train = self.balance.train_discriminator;
        let net = if train { self.net.clone() } else { self.net.frozen() };
        // One pass over both batches: the update comes after both, so the weights are the same.
        let mut rng = dropout_stream(seed, step, Pass::Judge);
        let logits = net.forward(&real.followed_by(generated)?, Some(&mut rng))?;
        let real_logits = logits.narrow(0, 0, real.len())?;
        let generated_logits = logits.narrow(0, real.len(), generated.len())?;
        let real_loss = terms::discriminator_real(&real_logits)?;
        let generated_loss = terms::discriminator_generated(&generated_logits)?;
        let losses = Losses {
            real: scalar(&real_loss)?,
            generated: scalar(&generated_loss)?,
            accuracy: 0.5
                * (share_of_real(&real_logits)? + 1.0 - share_of_real(&generated_logits)?),
        };
        if train && losses.real.is_finite() && losses.generated.is_finite() {
            let gradients = (real_loss + generated_loss)?.backward()?;
            self.adam.step(self.net.params(), &gradients)?;
        }
        Ok(losses)
    }
}

/// The weight of a feature term by calibration on a fixed batch; see [`calibrate`].
///
/// # Errors
/// If the features of different images do not differ.
pub fn calibrated_weight(
    comparator: &dyn Comparator,
    tap: &str,
    rho: f64,
    image_weight: f64,
    images: &Images,
) -> Result<f64, TrainError> {
    let image_energy = calibrate::pair_energy(images.tensor())?;
    let feature_energy = calibrate::pair_energy(&comparator.features(images, tap)?)?;
    Ok(calibrate::feature_weight(feature_energy, image_weight, image_energy, rho)?)
}

/// The passes through the discriminator; each draws its own dropout masks.
enum Pass {
    /// Real images, then generated ones, to train the discriminator.
    Judge,
    /// Generated images, to train the generator.
    Fool,
}

fn dropout_stream(seed: u64, step: u64, pass: Pass) -> rand_chacha::ChaCha12Rng {
    let purpose = match pass {
        Pass::Judge => "dropout/judge",
        Pass::Fool => "dropout/fool",
    };
    stream(seed, purpose, step)
}

fn check(step: u64, term: &'static str, value: f64) -> Result<(), TrainError> {
    if value.is_finite() { Ok(()) } else { Err(TrainError::NonFinite { step, term, value }) }
}

fn scalar(tensor: &Tensor) -> Result<f64, TrainError> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}

/// Share of samples whose logit for "real" is the larger one.
fn share_of_real(logits: &Tensor) -> Result<f64, TrainError> {
    let rows = logits.to_vec2::<f32>()?;
    Ok(rows.iter().filter(|row| row[0] > row[1]).count() as f64 / rows.len() as f64)
}
