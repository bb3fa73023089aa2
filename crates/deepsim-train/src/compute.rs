//! What an iteration computes, in the order of the authors' script, and what becomes of it once its numbers
//! are read.

use candle_core::Tensor;
use deepsim_loss::{Balance, Evaluated, MeasuredTerm, Term, TermReport, balance, objective, terms};
use deepsim_nets::{Generated, Generator, Images};
use deepsim_ops::Reading;

use crate::TrainError;
use crate::adversary::{LOSSES, Pass, dropout_streams};
use crate::error::Quantity;
use crate::gradients::{See, add, check, check_known, checked_norm, sum};
use crate::part::{Given, Part, add_terms, of_all, sum_terms};
use crate::step_report::{AdversaryReport, StepReport};
use crate::trainer::Trainer;

/// What the numbers of an iteration are, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    /// Who was updated; a discriminator's numbers come first, if there is one.
    balance: Balance,
    /// Names and weights of the terms.
    terms: Vec<(&'static str, f64)>,
}

impl Trainer {
    /// One iteration, but for what depends on its numbers. On a GPU nothing is waited for, unless there are
    /// several parts, or several processes without NCCL, and what must not be updated with numbers that are not
    /// finite is not.
    pub(crate) fn compute(
        &mut self,
        given: Vec<Given>,
        see: &mut See<'_>,
    ) -> Result<(Outline, Vec<Reading>), TrainError> {
        let (seed, step, world) = (self.seed, self.step + 1, self.world.clone());
        let parts = given.into_iter().map(|given| given.seen(&self.fixed));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let whole = parts.len() == 1;
        let share = 1.0 / (parts.len() * world.size()) as f64;
        let mut numbers = Vec::new();

        // 1-6. Encode and generate; the discriminator on real images and on generated ones, and one
        // update for both. Of several parts only the images are kept, and generated again below.
        let balance = self.adversary.as_ref().map_or_else(Balance::default, |a| a.balance);
        let mut outputs = Vec::new();
        if let Some(adversary) = &mut self.adversary {
            // It is updated before the generator's terms are known.
            adversary.keep()?;
            let generator = if whole { self.generator.clone() } else { self.generator.frozen() };
            let mut generated = Vec::with_capacity(parts.len());
            for part in &parts {
                let output = generate(&generator, part)?;
                generated.push(detached(&output.images)?);
                outputs.push(output);
            }
            let judged = adversary.judge((seed, step), &parts, &generated, &*world, see)?;
            numbers.extend(judged.numbers);
            numbers.extend(judged.gradient);
        }

        // 7. Generator: gradients of all terms at the generated images, summed, then through the
        // generator. The adversarial term sees the discriminator as just updated.
        let (mut measured, mut gradients) = (Vec::with_capacity(parts.len()), None);
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
            measured.push(evaluated.terms);
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
        let measured = self.measured(measured, share)?;
        let outline =
            Outline { balance, terms: measured.iter().map(|t| (t.name, t.weight)).collect() };
        for term in measured {
            check_known(step, term.name, Quantity::Loss, &term.value)?;
            check_known(step, term.name, Quantity::Gradient, &term.grad_norm)?;
            numbers.extend([term.value, term.grad_norm]);
        }
        if let Some(mut gradients) = gradients {
            let params = self.generator.params();
            sum(&*world, &mut gradients, params)?;
            numbers.push(checked_norm(step, "generator", params, &gradients, see)?);
            let only_if = Reading::gate(&numbers)?;
            self.generator_adam.step(params, &gradients, only_if.as_ref())?;
            if let Some(average) = &self.average {
                average.update(params, only_if.as_ref())?;
            }
        }
        Ok((outline, numbers))
    }

    /// The terms of the whole batch of all processes, from those of the parts of this one.
    fn measured(
        &self,
        mut parts: Vec<Vec<MeasuredTerm>>,
        share: f64,
    ) -> Result<Vec<MeasuredTerm>, TrainError> {
        let world = &*self.world;
        if parts.len() == 1 && !world.sums_on_host() {
            let mut terms = parts.pop().unwrap_or_default();
            let own = terms.iter().flat_map(MeasuredTerm::numbers).collect();
            let places = terms.iter_mut().flat_map(|term| [&mut term.value, &mut term.grad_norm]);
            for (number, of_all) in places.zip(of_all(world, own)?) {
                *number = of_all;
            }
            return Ok(terms);
        }
        let mut terms: Vec<TermReport> = Vec::new();
        for part in parts {
            add_terms(&mut terms, MeasuredTerm::read(&part)?, share);
        }
        sum_terms(world, &mut terms)?;
        let known = |TermReport { name, value, weight, grad_norm }| MeasuredTerm {
            name,
            weight,
            value: Reading::known(value),
            grad_norm: Reading::known(grad_norm),
        };
        Ok(terms.into_iter().map(known).collect())
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

    /// Step 8: looks at the numbers, and decides who is updated next.
    pub(crate) fn end(
        &mut self,
        outline: &Outline,
        values: &[f64],
    ) -> Result<StepReport, TrainError> {
        let (step, mut values) = (self.step + 1, values.iter().copied());
        let mut next = |term, quantity| {
            let value = values.next().unwrap_or(f64::NAN);
            check(step, term, quantity, value).map(|()| value)
        };
        let Outline { balance, terms } = outline;
        let mut judged = None;
        if self.adversary.is_some() {
            let [real, generated] = LOSSES;
            let (real, generated) = (next(real, Quantity::Loss)?, next(generated, Quantity::Loss)?);
            let name = "discriminator";
            let (right, wrong) = (next(name, Quantity::Loss)?, next(name, Quantity::Loss)?);
            let accuracy = [right, 1.0 - wrong];
            let norm = match balance.train_discriminator {
                true => Some(next(name, Quantity::ParameterGradient)?),
                false => None,
            };
            judged = Some((real, generated, accuracy, norm));
        }
        let mut reports = Vec::with_capacity(terms.len());
        for &(name, weight) in terms {
            let (value, grad_norm) = (next(name, Quantity::Loss)?, next(name, Quantity::Gradient)?);
            reports.push(TermReport { name, value, weight, grad_norm });
        }
        let mut gradients = Vec::new();
        if balance.train_generator {
            gradients.push(("generator", next("generator", Quantity::ParameterGradient)?));
        }
        let adversary = match (&mut self.adversary, judged) {
            (
                Some(adversary),
                Some((real, generated, [accuracy_real, accuracy_generated], norm)),
            ) => {
                gradients.extend(norm.map(|norm| ("discriminator", norm)));
                let ratio = balance::ratio(real, generated, reports[0].value);
                adversary.balance.update(adversary.term.balance, ratio);
                Some(AdversaryReport {
                    real,
                    generated,
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
        // Before an update it is that of the coming one.
        let learning_rate = match balance.train_generator {
            true => self.generator_adam.last_learning_rate(),
            false => self.generator_adam.learning_rate(),
        };
        let (terms, measures) = (reports, Vec::new());
        Ok(StepReport { step, learning_rate, terms, adversary, gradients, measures })
    }
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
