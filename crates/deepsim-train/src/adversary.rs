//! The discriminator's side of an iteration.

use std::ops::Range;

use candle_core::{DType, Tensor, Var};
use deepsim_loss::{Balance, terms};
use deepsim_nets::random::streams;
use deepsim_nets::{Discriminator, Images};
use deepsim_ops::{Moments, Reading, copy_all, set_moments};
use deepsim_run::recipe::AdversarialTerm;
use rand_chacha::ChaCha12Rng;

use crate::TrainError;
use crate::error::Quantity;
use crate::gradients::{See, add, check_known, checked_norm, sum};
use crate::optim::Adam;
use crate::part::{Part, of_all};
use crate::world::World;

/// The discriminator with all that belongs to it.
pub struct Adversary {
    /// The network.
    pub net: Discriminator,
    /// Its optimiser.
    pub adam: Adam,
    /// Who is updated next.
    pub balance: Balance,
    pub(crate) term: AdversarialTerm,
    before: Option<Before>,
    /// Whether that is of the step that is being made.
    pub(crate) kept: bool,
}

/// What the discriminator said of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// Cross-entropy on real and on generated images, and shares of real and of generated images that
    /// it took for real.
    pub(crate) numbers: Vec<Reading>,
    /// Norm of the gradient of its weights, if it was updated.
    pub(crate) gradient: Option<Reading>,
}

/// The discriminator as it was before a step, in memory that is used again.
struct Before {
    weights: Vec<Var>,
    moments: Vec<Moments>,
}

impl Adversary {
    /// A discriminator before its training.
    pub(crate) fn new(net: Discriminator, adam: Adam, term: AdversarialTerm) -> Self {
        Self { net, adam, balance: Balance::default(), term, before: None, kept: false }
    }

    /// Keeps what [`Adversary::undo`] needs if the coming step cannot be finished: nothing if it does not
    /// change the discriminator.
    pub(crate) fn keep(&mut self) -> Result<(), TrainError> {
        if !self.balance.train_discriminator {
            return Ok(());
        }
        let params = self.net.params();
        if self.before.is_none() {
            let weights = params.iter().map(|(_, var)| Var::from_tensor(&var.zeros_like()?));
            let weights = weights.collect::<Result<_, _>>()?;
            let moments = params.iter().map(|(_, var)| Moments::zeros_like(var));
            let moments = moments.collect::<Result<_, _>>()?;
            self.before = Some(Before { weights, moments });
        }
        if let Some(Before { weights, moments }) = &mut self.before {
            let pairs = weights.iter().zip(params.iter());
            copy_all(&pairs.map(|(kept, (_, var))| (kept, var.as_tensor())).collect::<Vec<_>>())?;
            set_moments(moments.iter_mut().zip(self.adam.moments()).collect())?;
        }
        self.kept = true;
        Ok(())
    }

    /// Puts back the discriminator of before a step that trained it, when `updates` had been made.
    pub(crate) fn undo(&mut self, updates: u64) -> Result<(), TrainError> {
        if let Some(Before { weights, moments }) = self.before.as_ref().filter(|_| self.kept) {
            let pairs = self.net.params().iter().zip(weights);
            copy_all(&pairs.map(|((_, var), kept)| (var, kept.as_tensor())).collect::<Vec<_>>())?;
            self.adam.copy_moments(moments)?;
        }
        self.adam.set_updates(updates);
        Ok(())
    }

    /// The losses on real images and on those generated from each part, of equal size, over all
    /// processes, and the update if there is to be one.
    pub(crate) fn judge(
        &mut self,
        (seed, step): (u64, u64),
        parts: &[Part],
        generated: &[Images],
        world: &dyn World,
        see: &mut See<'_>,
    ) -> Result<Judged, TrainError> {
        let train = self.balance.train_discriminator;
        let net = if train { self.net.clone() } else { self.net.frozen() };
        let share = 1.0 / (parts.len() * world.size()) as f64;
        let (mut said, mut gradients) = (Vec::with_capacity(parts.len()), None);
        for (Part { real, numbers, seen, .. }, generated) in parts.iter().zip(generated) {
            // One pass over both: the update comes after both, so the weights are the same.
            let twice = |features: &Tensor| Tensor::cat(&[features, features], 0);
            let features = seen.features.as_ref().map(twice).transpose()?;
            let both = real.followed_by(generated)?;
            let passes = [Pass::Real, Pass::Generated];
            let rngs = passes.map(|pass| dropout_streams(seed, step, pass, numbers.clone()));
            let logits = net.forward(&both, features.as_ref(), Some(&mut rngs.concat()))?;
            let real_logits = logits.narrow(0, 0, real.len())?;
            let generated_logits = logits.narrow(0, real.len(), generated.len())?;
            let real_loss = terms::discriminator_real(&real_logits)?;
            let generated_loss = terms::discriminator_generated(&generated_logits)?;
            said.push(vec![
                Reading::of(&real_loss)?,
                Reading::of(&generated_loss)?,
                share_of_real(&real_logits)?,
                share_of_real(&generated_logits)?,
            ]);
            if train {
                let loss = (real_loss + generated_loss)?;
                let loss = if share == 1.0 { loss } else { (loss * share)? };
                gradients = Some(add(gradients, loss.backward()?, self.net.params())?);
            }
        }
        let numbers = match said.pop() {
            // Not read yet.
            Some(all) if said.is_empty() && !world.sums_on_host() => of_all(world, all)?,
            last => {
                said.extend(last);
                summed(&said, share, world)?
            }
        };
        for (number, term) in numbers.iter().zip(LOSSES) {
            check_known(step, term, Quantity::Loss, number)?;
        }
        let mut judged = Judged { numbers, gradient: None };
        if let Some(mut gradients) = gradients {
            sum(world, &mut gradients, self.net.params())?;
            let norm = checked_norm(step, "discriminator", self.net.params(), &gradients, see)?;
            let losses = judged.numbers.iter().take(LOSSES.len()).chain([&norm]);
            let only_if = Reading::gate(&losses.cloned().collect::<Vec<_>>())?;
            judged.gradient = Some(norm);
            self.adam.step(self.net.params(), &gradients, only_if.as_ref())?;
        }
        Ok(judged)
    }
}

/// Names of the discriminator's losses in errors.
pub(crate) const LOSSES: [&str; 2] = ["discriminator's real", "discriminator's generated"];

/// What all parts of all processes said, each part `share` of the whole.
fn summed(
    parts: &[Vec<Reading>],
    share: f64,
    world: &dyn World,
) -> Result<Vec<Reading>, TrainError> {
    let mut sums = [0.0; 4];
    for part in Reading::read(&parts.concat())?.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += share * value;
        }
    }
    world.sum(&mut sums)?;
    Ok(sums.map(Reading::known).to_vec())
}

/// The passes through the discriminator; each draws its own dropout masks.
pub(crate) enum Pass {
    /// Real images, to train the discriminator.
    Real,
    /// Generated images, to train the discriminator.
    Generated,
    /// Generated images, to train the generator.
    Fool,
}

/// Random streams for some images of the whole batch.
pub(crate) fn dropout_streams(
    seed: u64,
    step: u64,
    pass: Pass,
    images: Range<usize>,
) -> Vec<ChaCha12Rng> {
    let purpose = match pass {
        Pass::Real => "dropout/real",
        Pass::Generated => "dropout/generated",
        Pass::Fool => "dropout/fool",
    };
    streams(seed, purpose, step, images)
}

/// Share of samples whose logit for "real" is the larger one.
///
/// # Shapes
/// `(N, 2)`
fn share_of_real(logits: &Tensor) -> Result<Reading, TrainError> {
    let (real, generated) = (logits.narrow(1, 0, 1)?, logits.narrow(1, 1, 1)?);
    let told = real.gt(&generated)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(Reading::of(&told)?.over(logits.dim(0)? as f64))
}
