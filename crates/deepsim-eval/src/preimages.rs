//! Different images of one feature vector, by a generator that takes noise.

use candle_core::{Tensor, Var};
use deepsim_data::picture::{Picture, grid};
use deepsim_nets::{Comparator, Generator, Images};
use deepsim_ops::{AdamStep, Moments, adam_update, backward, squared_error};
use tracing::field::Empty;
use tracing::info_span;

use crate::EvalError;
use crate::arrays::{numbers, pictures, ranges};
use crate::generate::relative;
use crate::measure::{Model, Row};
use crate::optimisation_baseline::GAP;

/// Number of images, and how they are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawOptions {
    /// Number of images.
    pub n: usize,
    /// Seed; the same one gives the same images, however many there are.
    pub seed: u64,
    /// Deviation of the noise, which is 1 in training. More makes the images differ more: a generator is too sure of
    /// photographs that it was not trained on.
    pub noise: f64,
    /// Steps that change the noise, and nothing else, so that the features of the images become those that are given.
    /// Each lowers the feature error at some cost of the spread.
    pub refine: usize,
    /// Images that are drawn together; changes the speed only.
    pub batch: usize,
}

impl Default for DrawOptions {
    fn default() -> Self {
        Self { n: 16, seed: 0, noise: 1.0, refine: 0, batch: 16 }
    }
}

/// Images of one feature vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    /// The images.
    pub pictures: Vec<Picture>,
    /// Distance of the features of each, unclipped, from the given ones, in percent of their norm.
    pub errors: Vec<f64>,
    /// The same before the noise was refined; empty if it was not.
    pub before: Vec<f64>,
    /// Note on the weights of the network.
    note: String,
}

/// Learning rate of the noise, whose numbers have a deviation of 1.
const RATE: f64 = 0.05;

fn refuse(wanted: &str, got: &str) -> EvalError {
    EvalError::input("sample", wanted, got)
}

/// Checks that a model can draw images of features, and measure them.
///
/// # Errors
/// If the generator takes no noise, or its network is not at hand.
pub fn check(model: &Model) -> Result<(), EvalError> {
    encoder(model).map(drop)
}

/// Checks a deviation of noise, for an operation.
///
/// # Errors
/// If it is negative or not finite.
pub(crate) fn check_noise(operation: &'static str, deviation: f64) -> Result<(), EvalError> {
    match deviation.is_finite() && deviation >= 0.0 {
        true => Ok(()),
        false => {
            let wanted = "noise of a deviation >= 0";
            Err(EvalError::input(operation, wanted, deviation.to_string()))
        }
    }
}

/// The network that a generator with noise inverts.
fn encoder(model: &Model) -> Result<&dyn Comparator, EvalError> {
    let Generator::Inverter(net) = &model.generator else {
        return Err(refuse("a generator that inverts features", "another generator"));
    };
    let Some((encoder, _)) = &model.encoder else {
        let wanted = format!("weights of {} in --weights", net.config().encoder);
        return Err(refuse(&wanted, "none"));
    };
    match model.noise(1, 0, 0)? {
        Some(_) => Ok(&**encoder),
        None => Err(refuse("a generator that takes noise (`inversion.noise`)", "one without")),
    }
}

/// Draws images of the features of one image.
///
/// # Shapes
/// `features` as the generator takes them, `(1, ..)`
///
/// # Errors
/// If the generator takes no noise, its network is not at hand, the features do not fit, or the deviation of the noise is
/// negative or not finite.
pub fn draw(model: &Model, features: &Tensor, options: DrawOptions) -> Result<Draws, EvalError> {
    let encoder = encoder(model)?;
    if options.n == 0 {
        return Err(refuse("at least one image", "0"));
    }
    check_noise("sample", options.noise)?;
    let one = |index: usize| -> Result<Tensor, EvalError> {
        let noise = model.noise(1, options.seed, index as u64)?;
        noise.ok_or_else(|| refuse("noise", "none"))
    };
    let mut draws = Draws {
        pictures: Vec::with_capacity(options.n),
        errors: Vec::new(),
        before: Vec::new(),
        note: encoder.origin().to_string(),
    };
    let batches = options.n.div_ceil(options.batch.max(1));
    let total = (batches * (options.refine + 1)) as u64;
    let span = info_span!("drawing pre-images", total, done = Empty).entered();
    let mut done = 0;
    for range in ranges(options.n, options.batch) {
        let features = Tensor::cat(&vec![features; range.len()], 0)?.to_device(model.device())?;
        let noise = Tensor::cat(&range.map(one).collect::<Result<Vec<_>, _>>()?, 0)?;
        let noise = (noise * options.noise)?;
        let refined = refined("sample", model, &features, &noise, options.refine, || {
            done += 1;
            span.record("done", done);
        })?;
        draws.pictures.extend(pictures(&refined.images)?);
        draws.errors.extend(refined.errors);
        if options.refine > 0 {
            draws.before.extend(refined.before);
        }
    }
    Ok(draws)
}

/// Images of features, by noise that was changed until their own features came nearer.
pub(crate) struct Refined {
    /// The images, each the nearest on the way.
    pub(crate) images: Images,
    /// Distance of the features of each, unclipped, from the given ones, in percent of their norm.
    errors: Vec<f64>,
    /// The same with the noise as it was given.
    before: Vec<f64>,
}

/// Draws images of features and noise, one of each, and changes the noise, and nothing else, in some steps of Adam that
/// lower the squared distance of the images' features from those given. `each` is called after each step and at the end.
///
/// # Errors
/// If the features or the noise do not fit.
pub(crate) fn refined(
    operation: &'static str,
    model: &Model,
    features: &Tensor,
    noise: &Tensor,
    steps: usize,
    mut each: impl FnMut(),
) -> Result<Refined, EvalError> {
    let n = features.dims()[0];
    let given = numbers(features)?;
    let noise = Var::from_tensor(&noise.to_device(model.device())?)?;
    let mut moments = Moments::zeros_like(&noise)?;
    let mut images = model.draw(features, Some(&noise))?;
    let mut found = model.code(&images)?;
    let before = relative(&given, &numbers(&found)?, n);
    let (mut errors, mut nearest) = (before.clone(), numbers(images.tensor())?);
    for t in 1..=steps {
        let gradients = backward(&squared_error(&found, features)?)?;
        let gradient = gradients.get(&noise).ok_or_else(|| {
            EvalError::input(operation, "images that depend on the noise", "others")
        })?;
        let step = AdamStep { t: t as u64, epsilon: 1e-20, ..AdamStep::new(RATE) };
        adam_update(&noise, gradient, &mut moments, step)?;
        each();
        images = model.draw(features, Some(&noise))?;
        found = model.code(&images)?;
        let drawn = numbers(images.tensor())?;
        let size = drawn.len() / n;
        for (at, error) in relative(&given, &numbers(&found)?, n).into_iter().enumerate() {
            if error < errors[at] {
                errors[at] = error;
                nearest[at * size..][..size].copy_from_slice(&drawn[at * size..][..size]);
            }
        }
    }
    each();
    let nearest = Tensor::from_vec(nearest, images.tensor().shape(), model.device())?;
    Ok(Refined { images: images.with_tensor(nearest)?, errors, before })
}

impl Draws {
    /// The images in rows of so many.
    pub fn sheet(&self, columns: usize) -> Picture {
        let rows: Vec<Vec<Picture>> =
            self.pictures.chunks(columns.max(1)).map(<[_]>::to_vec).collect();
        grid(&rows, GAP)
    }

    /// The errors as rows, one value for each image.
    pub fn rows(&self) -> Vec<Row> {
        let note = |what: &str| {
            format!("{what}of the norm of the given ones, images not clipped; {}", self.note)
        };
        let mut rows = vec![Row::mean("feature error", &self.errors, "%", note(""))];
        if !self.before.is_empty() {
            rows.push(Row::mean(
                "feature error before",
                &self.before,
                "%",
                note("without refining the noise; "),
            ));
        }
        rows
    }
}
