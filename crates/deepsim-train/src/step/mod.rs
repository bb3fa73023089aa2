//! One iteration of the paper's algorithm, in the order of the authors' script.
//!
//! | module | holds |
//! |---|---|
//! | `networks` | state: networks, optimisers, terms |
//! | [`frozen`] | encoder and comparator, and the features of real images |
//! | `micro_batch` | splitting of a batch, reduction over its parts and over ranks |
//! | `discriminator` | its update, and the adversarial term |
//! | [`gradients`] | accumulation, all-reduce, hooks and checks of gradients |
//! | `numbers` | numbers of an iteration, on the device and read |
//! | `report` | report of an iteration |
//! | `accelerator` | CUDA graphs where they help |

pub(crate) mod accelerator;
#[cfg(feature = "cuda")]
mod cuda_graph;
pub(crate) mod discriminator;
pub mod frozen;
pub mod gradients;
pub(crate) mod micro_batch;
pub(crate) mod networks;
mod numbers;
pub(crate) mod report;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use deepsim_loss::term::Inputs;
use deepsim_loss::{Balance, Evaluated, Term, TermReport, balance, objective};
use deepsim_nets::{Generated, Generator, Images};
use deepsim_ops::DeferredScalar;
use tracing::trace_span;

use crate::TrainError;
use crate::step::gradients::{GradientHook, add, check, checked_norm, clip, sum};
use crate::step::micro_batch::{Encoded, MicroBatch, reduce_terms};
use crate::step::networks::Networks;
use crate::step::numbers::{DISCRIMINATOR, GENERATOR, StepNumbers};
use crate::step::report::{AdversaryReport, StepReport};

impl Networks {
    /// Runs one iteration without reading any loss back from the device, unless there are several micro-batches, or
    /// ranks without NCCL. Updates are skipped on the device where a number is not finite.
    ///
    /// # Errors
    /// If a number is known and not finite, or an operation fails.
    pub(crate) fn iterate(
        &mut self,
        batch: Vec<MicroBatch>,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepNumbers<DeferredScalar>, TrainError> {
        let (seed, step, group) = (self.seed, self.step + 1, self.group.clone());
        let balance = self.adversary.as_ref().map_or_else(Balance::default, |a| a.balance);

        // 1. Encode: features of the real images.
        let span = trace_span!("encode").entered();
        let encode = |batch: MicroBatch| {
            let features = self.frozen.encode(&batch.real)?;
            Encoded::new(batch, features)
        };
        let batch = batch.into_iter().map(encode).collect::<Result<Vec<_>, TrainError>>()?;
        let whole = batch.len() == 1;
        let share = 1.0 / (batch.len() * group.size()) as f64;
        drop(span);

        // 2-6. Generate; the discriminator on real images and on generated ones, and one update for both. Of several
        // micro-batches only the images are kept, and generated again below.
        let (mut outputs, mut discriminator) = (Vec::new(), None);
        if let Some(adversary) = self.adversary.as_mut().filter(|a| step > a.term.after) {
            // The discriminator is updated before the generator's terms are known.
            adversary.keep()?;
            let generator = if whole { self.generator.clone() } else { self.generator.frozen() };
            let mut generated = Vec::with_capacity(batch.len());
            for micro_batch in &batch {
                let output = generate(&generator, micro_batch)?;
                generated.push(detached(&output.images)?);
                outputs.push(output);
            }
            let _span = trace_span!("discriminator").entered();
            let numbers = adversary.train((seed, step), &batch, &generated, &*group, hook)?;
            discriminator = Some(numbers);
        }

        // 7. Generator: gradients of all terms at the generated images, summed, then through the generator. The
        // adversarial term uses the discriminator as just updated.
        let (mut measured, mut gradients) = (Vec::with_capacity(batch.len()), None);
        for (i, micro_batch) in batch.iter().enumerate() {
            let output = match outputs.get(i).filter(|_| whole) {
                Some(output) => output.clone(),
                None => generate(&self.generator, micro_batch)?,
            };
            let evaluated = self.evaluate(micro_batch, &output)?;
            if balance.train_generator {
                let _span = trace_span!("backward").entered();
                let one = backward(&output, &evaluated, share)?;
                gradients = Some(add(gradients, one, self.generator.params())?);
            }
            measured.push(evaluated.terms);
        }
        let terms = reduce_terms(&*group, measured, share)?;
        let numbers = StepNumbers { discriminator, terms, generator_gradient: None };
        let mut numbers = numbers.known_and_finite(step)?;
        if let Some(mut gradients) = gradients {
            let _span = trace_span!("optimiser").entered();
            let params = self.generator.params();
            sum(&*group, &mut gradients, params)?;
            let norm = checked_norm(step, GENERATOR, params, &gradients, hook)?;
            clip(params, &mut gradients, &norm, self.generator_adam.clip())?;
            numbers.generator_gradient = Some(norm);
            let gate = DeferredScalar::gate(&numbers.scalars())?;
            self.generator_adam.step(params, &gradients, gate.as_ref())?;
            if let Some(ema) = &self.ema {
                ema.update(params, self.generator_adam.updates(), gate.as_ref())?;
            }
        }
        Ok(numbers)
    }

    /// Evaluates all terms of the generator's loss.
    fn evaluate(&self, input: &Encoded, output: &Generated) -> Result<Evaluated, TrainError> {
        // Before the discriminator takes part, its term is left out.
        let later = usize::from(self.adversary.as_ref().is_some_and(|a| self.step < a.term.after));
        self.terms_from(later, self.step + 1, input, output)
    }

    /// Returns the weighted sum of all terms but the adversarial one, with the weights that they have in the end, at the
    /// images that `generator` makes of `real` ones. These are number `first` and the following of all that are measured:
    /// each has the same noise at any step.
    ///
    /// # Errors
    /// If the images do not fit.
    pub(crate) fn measure(
        &self,
        generator: &Generator,
        real: &Images,
        first: usize,
    ) -> Result<f64, TrainError> {
        let others = usize::from(self.adversary.is_some());
        let at = (self.seed, 0);
        let mut total = 0.0;
        for whole in MicroBatch::split(real, real.len(), first, generator, self.draws, at)? {
            let features = self.frozen.encode(&whole.real)?;
            let input = Encoded::new(whole, features)?;
            let output = generate(generator, &input)?;
            let terms = self.terms_from(others, u64::MAX, &input, &output)?.read()?;
            total += terms.iter().map(TermReport::weighted).sum::<f64>();
        }
        Ok(total)
    }

    /// Evaluates the terms from the one at `from` on.
    fn terms_from(
        &self,
        from: usize,
        step: u64,
        input: &Encoded,
        output: &Generated,
    ) -> Result<Evaluated, TrainError> {
        let Encoded { batch, drawn, .. } = input;
        let generated = detached(&output.images)?;
        let terms: Vec<&dyn Term> = self.terms[from..].iter().map(AsRef::as_ref).collect();
        let inputs = Inputs {
            step,
            samples: batch.samples.clone(),
            draws: batch.draws,
            output: &generated,
            target: &drawn.real,
            features: drawn.features.inverted.as_ref(),
            target_features: drawn.features.target.as_ref(),
            posterior: output.posterior.as_ref(),
        };
        Ok(objective::evaluate(&terms, &inputs)?)
    }

    /// Ends an iteration whose numbers were read (8.): decides which networks the next one updates.
    ///
    /// # Errors
    /// If a number is not finite.
    pub(crate) fn finish(&mut self, numbers: StepNumbers<f64>) -> Result<StepReport, TrainError> {
        let step = self.step + 1;
        let checked = |term, quantity, value| check(step, term, quantity, value);
        let StepNumbers { discriminator, terms, generator_gradient } = numbers.try_map(checked)?;
        let trained_generator = generator_gradient.is_some();
        let mut gradients: Vec<_> =
            generator_gradient.map(|norm| (GENERATOR, norm)).into_iter().collect();
        let adversary = match (&mut self.adversary, discriminator) {
            (Some(adversary), Some(numbers)) => {
                gradients.extend(numbers.gradient.map(|norm| (DISCRIMINATOR, norm)));
                // The adversarial term comes first.
                let ratio = balance::ratio(numbers.real, numbers.generated, terms[0].value);
                adversary.balance.update(adversary.term.balance, ratio);
                let updates = [adversary.adam.updates(), self.generator_adam.updates()];
                Some(AdversaryReport::new(&numbers, ratio, trained_generator, updates))
            }
            _ => None,
        };
        self.step = step;
        // Before an update it is that of the coming one.
        let learning_rate = match trained_generator {
            true => self.generator_adam.last_learning_rate(),
            false => self.generator_adam.learning_rate(),
        };
        let measures = Vec::new();
        Ok(StepReport { step, learning_rate, terms, adversary, gradients, measures })
    }
}

/// Runs the generator on a micro-batch.
fn generate(generator: &Generator, input: &Encoded) -> Result<Generated, TrainError> {
    let _span = trace_span!("generate").entered();
    let Encoded { batch, drawn, .. } = input;
    let features = drawn.features.inverted.as_ref();
    Ok(generator.forward(&drawn.real, features, batch.noise.as_ref())?)
}

/// Carries the gradients of the terms, `share` of the whole batch's, into the generator.
fn backward(output: &Generated, terms: &Evaluated, share: f64) -> Result<GradStore, TrainError> {
    let shared = |gradient: &Tensor| match share {
        1.0 => Ok(gradient.clone()),
        share => gradient * share,
    };
    let images = (output.images.tensor(), &shared(&terms.gradient)?);
    Ok(match (&output.posterior, &terms.codes) {
        (Some(codes), Some([mean, log_variance])) => objective::backward_from_all(&[
            images,
            (&codes.mean, &shared(mean)?),
            (&codes.log_variance, &shared(log_variance)?),
        ])?,
        _ => objective::backward_from(images.0, images.1)?,
    })
}

/// Returns the images without their graph.
fn detached(images: &Images) -> Result<Images, TrainError> {
    Ok(images.with_tensor(images.tensor().detach())?)
}
