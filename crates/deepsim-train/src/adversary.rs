//! The discriminator's side of an iteration.

use candle_core::Tensor;
use deepsim_loss::{Balance, terms};
use deepsim_nets::random::stream;
use deepsim_nets::{Discriminator, Images};

use crate::TrainError;
use crate::error::Quantity;
use crate::gradients::{See, add, check, checked_norm};
use crate::optim::Adam;
use crate::recipe::AdversarialTerm;

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
#[derive(Clone, Copy, Debug, Default)]
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

/// Real images, what was generated for them, and the features that it was generated from, if any.
pub(crate) struct Pair {
    pub(crate) real: Images,
    pub(crate) generated: Images,
    pub(crate) features: Option<Tensor>,
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

    /// The losses on real images and on those generated from them, each in parts of equal size, and the
    /// update if there is to be one.
    pub(crate) fn judge(
        &mut self,
        seed: u64,
        step: u64,
        parts: &[Pair],
        see: &mut See<'_>,
    ) -> Result<Judged, TrainError> {
        let train = self.balance.train_discriminator;
        let net = if train { self.net.clone() } else { self.net.frozen() };
        let share = 1.0 / parts.len() as f64;
        let mut rng = dropout_stream(seed, step, Pass::Judge);
        let (mut judged, mut gradients) = (Judged::default(), None);
        for Pair { real, generated, features } in parts {
            // One pass over both: the update comes after both, so the weights are the same.
            let twice = |features: &Tensor| Tensor::cat(&[features, features], 0);
            let features = features.as_ref().map(twice).transpose()?;
            let both = real.followed_by(generated)?;
            let logits = net.forward(&both, features.as_ref(), Some(&mut rng))?;
            let real_logits = logits.narrow(0, 0, real.len())?;
            let generated_logits = logits.narrow(0, real.len(), generated.len())?;
            let real_loss = terms::discriminator_real(&real_logits)?;
            let generated_loss = terms::discriminator_generated(&generated_logits)?;
            judged.real += share * scalar(&real_loss)?;
            judged.generated += share * scalar(&generated_loss)?;
            judged.accuracy[0] += share * share_of_real(&real_logits)?;
            judged.accuracy[1] += share * (1.0 - share_of_real(&generated_logits)?);
            check(step, "discriminator's real", Quantity::Loss, judged.real)?;
            check(step, "discriminator's generated", Quantity::Loss, judged.generated)?;
            if train {
                let loss = (real_loss + generated_loss)?;
                let loss = if parts.len() == 1 { loss } else { (loss * share)? };
                gradients = Some(add(gradients, loss.backward()?, self.net.params())?);
            }
        }
        if let Some(gradients) = gradients {
            let norm = checked_norm(step, "discriminator", self.net.params(), &gradients, see)?;
            judged.gradient = Some(norm);
            self.adam.step(self.net.params(), &gradients)?;
        }
        Ok(judged)
    }
}

/// The passes through the discriminator; each draws its own dropout masks.
pub(crate) enum Pass {
    /// Real images, then generated ones, to train the discriminator.
    Judge,
    /// Generated images, to train the generator.
    Fool,
}

pub(crate) fn dropout_stream(seed: u64, step: u64, pass: Pass) -> rand_chacha::ChaCha12Rng {
    let purpose = match pass {
        Pass::Judge => "dropout/judge",
        Pass::Fool => "dropout/fool",
    };
    stream(seed, purpose, step)
}

fn scalar(tensor: &Tensor) -> Result<f64, TrainError> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}

/// Share of samples whose logit for "real" is the larger one.
fn share_of_real(logits: &Tensor) -> Result<f64, TrainError> {
    let rows = logits.to_vec2::<f32>()?;
    Ok(rows.iter().filter(|row| row[0] > row[1]).count() as f64 / rows.len() as f64)
}
