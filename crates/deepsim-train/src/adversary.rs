//! The discriminator's side of an iteration.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_loss::{Balance, terms};
use deepsim_nets::random::streams;
use deepsim_nets::{Discriminator, Images};
use rand_chacha::ChaCha12Rng;

use crate::TrainError;
use crate::error::Quantity;
use crate::gradients::{See, add, check, checked_norm, sum};
use crate::optim::Adam;
use crate::part::Part;
use crate::recipe::AdversarialTerm;
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
}

/// What the discriminator said of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// Cross-entropy on real images.
    pub(crate) real: f64,
    /// Cross-entropy on generated images.
    pub(crate) generated: f64,
    /// Shares of real and of generated images that it told right.
    pub(crate) accuracy: [f64; 2],
    /// Norm of the gradient of its weights, if it was updated.
    pub(crate) gradient: Option<f64>,
}

/// The discriminator as it was before a step.
pub(crate) struct Before {
    weights: Vec<Tensor>,
    adam: Adam,
}

impl Adversary {
    /// What [`Adversary::undo`] needs if the coming step cannot be finished: nothing if it does not
    /// change the discriminator.
    pub(crate) fn before(&self) -> Result<Option<Before>, TrainError> {
        if !self.balance.train_discriminator {
            return Ok(None);
        }
        let weights = self.net.params().iter().map(|(_, var)| var.as_tensor().copy());
        let weights = weights.collect::<Result<_, _>>()?;
        Ok(Some(Before { weights, adam: self.adam.clone() }))
    }

    /// Puts back the discriminator of before a step.
    pub(crate) fn undo(&mut self, before: Before) -> Result<(), TrainError> {
        for ((_, var), weight) in self.net.params().iter().zip(&before.weights) {
            var.set(weight)?;
        }
        self.adam = before.adam;
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
        let (mut sums, mut gradients) = ([0.0; 4], None);
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
            let losses = deepsim_ops::scalars(&[&real_loss, &generated_loss])?;
            let logits = logits.to_vec2::<f32>()?;
            let (of_real, of_generated) = logits.split_at(real.len());
            sums[0] += share * losses[0];
            sums[1] += share * losses[1];
            sums[2] += share * share_of_real(of_real);
            sums[3] += share * (1.0 - share_of_real(of_generated));
            if train {
                let loss = (real_loss + generated_loss)?;
                let loss = if share == 1.0 { loss } else { (loss * share)? };
                gradients = Some(add(gradients, loss.backward()?, self.net.params())?);
            }
        }
        world.sum(&mut sums)?;
        let [real, generated, accuracy @ ..] = sums;
        let mut judged = Judged { real, generated, accuracy, gradient: None };
        check(step, "discriminator's real", Quantity::Loss, real)?;
        check(step, "discriminator's generated", Quantity::Loss, generated)?;
        if let Some(mut gradients) = gradients {
            sum(world, &mut gradients, self.net.params())?;
            let norm = checked_norm(step, "discriminator", self.net.params(), &gradients, see)?;
            judged.gradient = Some(norm);
            self.adam.step(self.net.params(), &gradients)?;
        }
        Ok(judged)
    }
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
fn share_of_real(rows: &[Vec<f32>]) -> f64 {
    rows.iter().filter(|row| row[0] > row[1]).count() as f64 / rows.len() as f64
}
