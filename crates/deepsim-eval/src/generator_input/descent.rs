//! The descent and its restarts.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Tensor, Var};
use deepsim_nets::random::{normal, stream};
use deepsim_ops::{AdamStep, Moments, SgdStep, adam_update, backward, sgd_update};
use tracing::field::Empty;
use tracing::info_span;

use super::goal::{Goal, Term, evaluate};
use super::settings::{Optimiser, Settings, Start};
use crate::EvalError;
use crate::arrays::{numbers, ranges};
use crate::measure::Model;
use crate::metrics::statistics::norm;

/// Result of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimised {
    /// Input that the first restart began with.
    pub start: Vec<f32>,
    /// Value of each term there: relative squared distances, or activations.
    pub before: Vec<f64>,
    /// Input with the least objective.
    pub input: Vec<f32>,
    /// Value of each term there.
    pub after: Vec<f64>,
    /// The objective there; infinite if it was finite nowhere.
    pub objective: f64,
    /// Restart, and step of it, that found the input.
    pub found_at: (usize, usize),
}

/// Results of all pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// One for each picture, `None` for those that were not begun before the interruption.
    pub pictures: Vec<Option<Optimised>>,
    /// Shape of an input.
    pub shape: Vec<usize>,
    /// True if not all steps were made.
    pub interrupted: bool,
}

/// Descends in the input of a generator. Picture `i` draws from streams of index `i`: its result is the same in any batch.
/// If `stop` becomes true, the best inputs so far are returned. Counts the steps in a span.
///
/// # Errors
/// If terms are for different numbers of pictures, features have another shape, the start or the bounds do not fit the
/// input, or settings are out of range.
pub fn optimise(
    model: &Model,
    (shape, goals): (&[usize], &[Goal]),
    start: &Start,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Found, EvalError> {
    settings.check()?;
    let counts = || goals.iter().flat_map(|goal| &goal.terms).map(Term::len);
    let n = counts().next().unwrap_or(0);
    if n == 0 || counts().any(|count| count != n) {
        let got = format!("{:?}", counts().collect::<Vec<_>>());
        return Err(EvalError::input("optimise", "targets of as many pictures, 1 or more", got));
    }
    let space = Inputs::new(shape, start, n)?;
    let mut pictures: Vec<Option<Optimised>> = vec![None; n];
    let steps = ranges(n, settings.batch)
        .count()
        .saturating_mul(settings.restarts)
        .saturating_mul(settings.steps.saturating_add(1));
    let span = info_span!("optimising", total = steps as u64, done = Empty).entered();
    let mut done = 0;
    let mut interrupted = false;
    'all: for range in ranges(n, settings.batch) {
        for restart in 0..settings.restarts {
            let run = Run { model, goals, settings, space: &space, range: range.clone(), restart };
            let finished = run.descend(&mut pictures[range.clone()], stop, |_| {
                done += 1;
                span.record("done", done as u64);
            })?;
            if !finished {
                interrupted = true;
                break 'all;
            }
        }
    }
    Ok(Found { pictures, shape: shape.into(), interrupted })
}

/// Coordinates of the inputs: `z = mean + deviation * u`.
struct Inputs {
    shape: Vec<usize>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    bounds: Option<(Vec<f32>, Vec<f32>)>,
    /// Inputs to start from, one for each picture.
    start: Option<Vec<f32>>,
}

/// Smallest deviation of a number, as a share of all numbers' root mean square: those that never varied may move, too,
/// as far as bounds let them.
const LEAST_DEVIATION: f64 = 0.01;

impl Inputs {
    fn new(shape: &[usize], start: &Start, n: usize) -> Result<Self, EvalError> {
        let size: usize = shape.iter().product();
        let fit = |what, values: &[f32]| match values.len() == size {
            true => Ok(()),
            false => {
                Err(EvalError::input(what, format!("{size} numbers"), values.len().to_string()))
            }
        };
        let given = match &start.input {
            None => None,
            Some(input) => {
                let values = numbers(input)?;
                let values = if values.len() == size { values.repeat(n) } else { values };
                if values.len() != n * size || input.dims().get(1..) != Some(shape) {
                    let wanted =
                        format!("inputs of shape {shape:?}, one, or one for each of {n} pictures");
                    return Err(EvalError::input("--start", wanted, format!("{:?}", input.dims())));
                }
                Some(values)
            }
        };
        let rms = |values: &[f32]| norm(values) / (values.len().max(1) as f64).sqrt();
        let moments = start.bounds.as_ref().and_then(|bounds| bounds.moments.clone());
        let (mean, deviation) = match moments {
            Some((mean, deviation)) => {
                fit("bounds", &mean)?;
                let least =
                    (LEAST_DEVIATION * rms(&deviation)).max(f64::from(f32::MIN_POSITIVE)) as f32;
                (mean, deviation.into_iter().map(|value| value.max(least)).collect())
            }
            None => {
                let scale = given.as_deref().map(rms).filter(|scale| *scale > 0.0).unwrap_or(1.0);
                (vec![0.0; size], vec![scale as f32; size])
            }
        };
        let bounds = match &start.bounds {
            None => None,
            Some(bounds) => {
                fit("bounds", &bounds.least)?;
                fit("bounds", &bounds.greatest)?;
                Some((bounds.least.clone(), bounds.greatest.clone()))
            }
        };
        Ok(Self { shape: shape.into(), mean, deviation, bounds, start: given })
    }

    /// Coordinates that a restart of a picture starts from.
    fn first(&self, picture: usize, restart: usize, seed: u64) -> Vec<f32> {
        let size = self.mean.len();
        let mut rng = stream(seed, &format!("generator input {restart}"), picture as u64);
        match &self.start {
            None => normal(&mut rng, size, 1.0),
            Some(start) => {
                let noise = match restart {
                    0 => vec![0.0; size],
                    _ => normal(&mut rng, size, 0.5),
                };
                let start = &start[picture * size..][..size];
                let coordinate =
                    |at: usize| (start[at] - self.mean[at]) / self.deviation[at] + noise[at];
                (0..size).map(coordinate).collect()
            }
        }
    }

    /// A row of numbers, one for each of the input's, as `(1, size)`.
    fn row(&self, values: impl Iterator<Item = f32>, like: &Tensor) -> Result<Tensor, EvalError> {
        let values: Vec<f32> = values.collect();
        Ok(Tensor::from_vec(values, (1, self.mean.len()), like.device())?)
    }

    /// Bounds of the coordinates.
    fn limits(&self, like: &Tensor) -> Result<Option<(Tensor, Tensor)>, EvalError> {
        let Some((least, greatest)) = &self.bounds else { return Ok(None) };
        let limit = |bound: &[f32]| {
            let each = bound.iter().zip(&self.mean).zip(&self.deviation);
            self.row(each.map(|((bound, mean), deviation)| (bound - mean) / deviation), like)
        };
        Ok(Some((limit(least)?, limit(greatest)?)))
    }
}

/// One restart of the pictures of a batch.
struct Run<'a> {
    model: &'a Model,
    goals: &'a [Goal],
    settings: &'a Settings,
    space: &'a Inputs,
    range: Range<usize>,
    restart: usize,
}

impl Run<'_> {
    /// Makes all steps, and keeps the best inputs; false if it was stopped before the end.
    fn descend(
        &self,
        best: &mut [Option<Optimised>],
        stop: &AtomicBool,
        mut done: impl FnMut(usize),
    ) -> Result<bool, EvalError> {
        let Self { settings, space, range, restart, .. } = self;
        let (n, size) = (range.len(), space.mean.len());
        let first = range.clone().flat_map(|picture| space.first(picture, *restart, settings.seed));
        let u = Var::from_tensor(&Tensor::from_vec(
            first.collect::<Vec<f32>>(),
            (n, size),
            self.model.device(),
        )?)?;
        let limits = space.limits(&u)?;
        let mean = space.row(space.mean.iter().copied(), &u)?;
        let deviation = space.row(space.deviation.iter().copied(), &u)?;
        let mut rule = Rule::new(settings.optimiser, &u)?;
        cut(&u, limits.as_ref())?;
        for step in 0..=settings.steps {
            let z = u.broadcast_mul(&deviation)?.broadcast_add(&mean)?;
            let images = self.model.decode(&z.reshape([&[n], &space.shape[..]].concat())?)?;
            let found = evaluate(self.goals, &images, range)?;
            let squares = numbers(&u.sqr()?.mean(1)?)?;
            let objective = found.objective.iter().zip(&squares);
            let objective: Vec<f64> =
                objective.map(|(value, square)| value + settings.l2 * f64::from(*square)).collect();
            let z = numbers(&z)?;
            for (at, (best, objective)) in best.iter_mut().zip(&objective).enumerate() {
                let (input, values) = (&z[at * size..][..size], &found.values[at]);
                keep(best, input, values, *objective, (*restart, step));
            }
            done(step);
            if stop.load(Ordering::Relaxed) && step < settings.steps {
                return Ok(false);
            }
            if step == settings.steps || objective.iter().all(|objective| !objective.is_finite()) {
                break;
            }
            let penalty = (u.sqr()?.sum_all()? * (settings.l2 / size as f64))?;
            let gradients = backward(&(found.loss + penalty)?)?;
            let gradient = gradients.get(&u).ok_or_else(|| {
                EvalError::input("optimise", "images that depend on the input", "others")
            })?;
            let share = step as f64 / settings.steps as f64;
            rule.step(&u, gradient, settings.rate * (1.0 - 0.9 * share))?;
            cut(&u, limits.as_ref())?;
        }
        // An interruption after the last step of this restart leaves the others undone.
        Ok(!stop.load(Ordering::Relaxed) || restart + 1 == settings.restarts)
    }
}

/// Keeps an input if it is the first, or has the least objective so far.
fn keep(
    best: &mut Option<Optimised>,
    input: &[f32],
    values: &[f64],
    objective: f64,
    found_at: (usize, usize),
) {
    let objective = if objective.is_finite() { objective } else { f64::INFINITY };
    match best {
        None => {
            *best = Some(Optimised {
                start: input.into(),
                before: values.into(),
                input: input.into(),
                after: values.into(),
                objective,
                found_at,
            });
        }
        Some(best) if objective < best.objective => {
            best.input.copy_from_slice(input);
            best.after.copy_from_slice(values);
            (best.objective, best.found_at) = (objective, found_at);
        }
        Some(_) => {}
    }
}

/// Cuts coordinates to their limits.
fn cut(u: &Var, limits: Option<&(Tensor, Tensor)>) -> Result<(), EvalError> {
    if let Some((least, greatest)) = limits {
        u.set(&u.detach().broadcast_maximum(least)?.broadcast_minimum(greatest)?)?;
    }
    Ok(())
}

/// State of an optimiser.
enum Rule {
    Adam(Moments, u64),
    Momentum(Var),
}

/// Share of the last step that is made again.
const MOMENTUM: f64 = 0.9;

impl Rule {
    fn new(optimiser: Optimiser, u: &Tensor) -> Result<Self, EvalError> {
        Ok(match optimiser {
            Optimiser::Adam => Self::Adam(Moments::zeros_like(u)?, 0),
            Optimiser::Momentum => Self::Momentum(Var::zeros(u.shape(), DType::F32, u.device())?),
        })
    }

    fn step(&mut self, u: &Var, gradient: &Tensor, learning_rate: f64) -> Result<(), EvalError> {
        match self {
            Self::Adam(moments, t) => {
                *t += 1;
                // Gradients are far below 1, so the epsilon of training would hide them.
                let step = AdamStep { t: *t, epsilon: 1e-20, ..AdamStep::new(learning_rate) };
                adam_update(u, gradient, moments, step)?;
            }
            Self::Momentum(velocity) => {
                let length = (gradient.sqr()?.mean_keepdim(1)? + 1e-30)?.sqrt()?;
                let learning_rate = learning_rate * (1.0 - MOMENTUM);
                let step = SgdStep { learning_rate, momentum: MOMENTUM, weight_decay: 0.0 };
                sgd_update(u, &gradient.broadcast_div(&length)?, velocity, step)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use deepsim_nets::{ComparatorKind, Generator, Inverter, InverterConfig};

    use super::*;

    #[test]
    fn the_gradient_at_the_input_is_the_slope_of_the_objective() -> Result<(), EvalError> {
        let config = InverterConfig::new(ComparatorKind::exemplar_cnn(), "CONV2", &[128, 4, 4], 16);
        let net = Inverter::new(config, 3, &Device::Cpu)?;
        let generator = Generator::Inverter(net.frozen());
        let model = Model { generator, encoder: None, resize: None, crop: None };
        let draw = |z: &Tensor| model.decode(&z.reshape((2, 128, 4, 4))?);
        let noise = |index| {
            Tensor::from_vec(
                normal(&mut stream(5, "test", index), 4096, 1.0),
                (2, 2048),
                &Device::Cpu,
            )
        };
        let net = ComparatorKind::exemplar_cnn().open_shipped(&Device::Cpu)?;
        let target = net.features(&draw(&noise(0)?)?, "CONV1")?;
        let terms =
            vec![Term::features("CONV1", 2.0, &target)?, Term::units("CONV3", 0.1, vec![3, 99])?];
        let goals = [Goal { net, terms }];
        let z = Var::from_tensor(&noise(1)?)?;
        let found = evaluate(&goals, &draw(&z)?, &(0..2))?;
        let gradient = backward(&found.loss)?.get(&z).expect("a gradient").clone();
        let square = f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        // A short way along the gradient, so that the objective changes by a thousandth or so.
        let step = 1e-3 / square;
        let along = |step: f64| -> Result<f64, EvalError> {
            let z = (z.detach() + (&gradient * step)?)?;
            Ok(evaluate(&goals, &draw(&z)?, &(0..2))?.objective.iter().sum())
        };
        let slope = (along(step)? - along(-step)?) / (2.0 * step);
        assert!((slope - square).abs() < 0.03 * square, "slope {slope}, squared gradient {square}");
        Ok(())
    }
}
