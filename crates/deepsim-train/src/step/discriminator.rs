//! The discriminator: its update, and the term by which the generator fools it.

use std::ops::Range;

use candle_core::{DType, Tensor, Var};
use deepsim_loss::term::{Inputs, Term, TermValue, at_images};
use deepsim_loss::{Balance, LossError};
use deepsim_nets::{Discriminator, Images};
use deepsim_ops::{DeferredScalar, Moments, backward, copy_all, set_moments};
use deepsim_run::recipe::AdversarialTerm;
use rand_chacha::ChaCha12Rng;

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::optim::Adam;
use crate::step::gradients::{GradientHook, add, checked_norm, clip, sum};
use crate::step::micro_batch::{Encoded, all_reduce, repeated, streams_of_draws};
use crate::step::numbers::{DISCRIMINATOR, DiscriminatorNumbers};

/// Discriminator with its optimiser and its balance against the generator.
pub struct Adversary {
    /// The network.
    pub net: Discriminator,
    /// Optimiser of the network.
    pub adam: Adam,
    /// Networks that the next iteration updates.
    pub balance: Balance,
    pub(crate) term: AdversarialTerm,
    before: Option<Before>,
    /// True if `before` is the state before the step under way.
    pub(crate) kept: bool,
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

    /// Computes the losses on real and generated images over all ranks, and updates the weights if the balance
    /// allows it.
    ///
    /// # Errors
    /// If a number is known and not finite, or an operation fails.
    pub(crate) fn train(
        &mut self,
        (seed, step): (u64, u64),
        batch: &[Encoded],
        generated: &[Images],
        group: &dyn ProcessGroup,
        hook: &mut GradientHook<'_>,
    ) -> Result<DiscriminatorNumbers<DeferredScalar>, TrainError> {
        let train = self.balance.train_discriminator;
        let net = if train { self.net.clone() } else { self.net.frozen() };
        let share = 1.0 / (batch.len() * group.size()) as f64;
        let (mut numbers, mut gradients) = (Vec::with_capacity(batch.len()), None);
        for (Encoded { batch, features, .. }, generated) in batch.iter().zip(generated) {
            // One pass over both: the update comes after both, so the weights are the same.
            let draws = generated.len() / batch.real.len();
            let all = |features: &Tensor| repeated(features, 1 + draws);
            let features = features.inverted.as_ref().map(all).transpose()?;
            let both = batch.real.followed_by(generated)?;
            let rngs = [(Pass::Real, 1), (Pass::Generated, draws)].map(|(pass, draws)| {
                dropout_streams(seed, step, pass, batch.samples.clone(), draws)
            });
            let logits = net.forward(&both, features.as_ref(), Some(&mut rngs.concat()))?;
            // Several logits an image are of patches.
            let patches = logits.dim(0)? / both.len();
            let [real, made] = [batch.real.len(), generated.len()].map(|images| images * patches);
            let real_logits = logits.narrow(0, 0, real)?;
            let generated_logits = logits.narrow(0, real, made)?;
            let real_loss = self.term.loss.real(&real_logits)?;
            let generated_loss = self.term.loss.generated(&generated_logits)?;
            numbers.push([
                DeferredScalar::of(&real_loss)?,
                DeferredScalar::of(&generated_loss)?,
                share_of_real(&real_logits)?,
                share_of_real(&generated_logits)?,
            ]);
            if train {
                let loss = (real_loss + generated_loss)?;
                let loss = if share == 1.0 { loss } else { (loss * share)? };
                gradients = Some(add(gradients, backward(&loss)?, self.net.params())?);
            }
        }
        let numbers = DiscriminatorNumbers::new(reduce(&numbers, share, group)?);
        let mut numbers = numbers.known_and_finite(step)?;
        if let Some(mut gradients) = gradients {
            sum(group, &mut gradients, self.net.params())?;
            let norm = checked_norm(step, DISCRIMINATOR, self.net.params(), &gradients, hook)?;
            clip(self.net.params(), &mut gradients, &norm, self.adam.clip())?;
            let gate = [numbers.real.clone(), numbers.generated.clone(), norm.clone()];
            numbers.gradient = Some(norm);
            self.adam.step(self.net.params(), &gradients, DeferredScalar::gate(&gate)?.as_ref())?;
        }
        Ok(numbers)
    }
}

/// Sums the numbers of all micro-batches of all ranks, each `share` of the whole.
fn reduce(
    micro_batches: &[[DeferredScalar; 4]],
    share: f64,
    group: &dyn ProcessGroup,
) -> Result<[DeferredScalar; 4], TrainError> {
    if let [one] = micro_batches
        && !group.sums_on_host()
    {
        let reduced = all_reduce(group, one.to_vec())?;
        return Ok(reduced.try_into().unwrap_or_else(|_| one.clone()));
    }
    let mut sums = [0.0; 4];
    let values = DeferredScalar::read(&micro_batches.concat())?;
    for values in values.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += share * value;
        }
    }
    group.sum(&mut sums)?;
    Ok(sums.map(DeferredScalar::known))
}

/// The adversarial term: how far the generated images are from being taken for real.
pub(crate) struct Adversarial {
    /// The discriminator, which shares its weights with the one in training.
    pub(crate) net: Discriminator,
    /// Its weight, and from when on.
    pub(crate) term: AdversarialTerm,
    /// Seed of the run.
    pub(crate) seed: u64,
}

impl Term for Adversarial {
    fn name(&self) -> &'static str {
        "adversarial"
    }

    fn weight(&self, step: u64) -> f64 {
        if step > self.term.after { self.term.weight } else { 0.0 }
    }

    fn relative(&self) -> bool {
        self.term.adaptive
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        // Only the input needs a gradient here, no weight does.
        let net = self.net.frozen();
        let samples = inputs.samples.clone();
        let mut rngs = dropout_streams(self.seed, inputs.step, Pass::Fool, samples, inputs.draws);
        at_images(inputs.output, |images| {
            let logits = net.forward(images, inputs.features, Some(&mut rngs))?;
            self.term.loss.generator(&logits)
        })
    }
}

/// The passes through the discriminator; each draws its own dropout masks.
enum Pass {
    /// Real images, to train the discriminator.
    Real,
    /// Generated images, to train the discriminator.
    Generated,
    /// Generated images, to train the generator.
    Fool,
}

/// Random streams for the draws of some images of the whole batch.
fn dropout_streams(
    seed: u64,
    step: u64,
    pass: Pass,
    images: Range<usize>,
    draws: usize,
) -> Vec<ChaCha12Rng> {
    let purpose = match pass {
        Pass::Real => "dropout/real",
        Pass::Generated => "dropout/generated",
        Pass::Fool => "dropout/fool",
    };
    streams_of_draws(seed, purpose, step, images, draws)
}

/// Share of samples whose logit for "real" is the larger one.
///
/// # Shapes
/// `(N, 2)`
fn share_of_real(logits: &Tensor) -> Result<DeferredScalar, TrainError> {
    let (real, generated) = (logits.narrow(1, 0, 1)?, logits.narrow(1, 1, 1)?);
    let told = real.gt(&generated)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(DeferredScalar::of(&told)?.over(logits.dim(0)? as f64))
}
