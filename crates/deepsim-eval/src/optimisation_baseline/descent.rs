//! Gradient descent on a batch of pictures, each by itself.

use candle_core::Tensor;
use deepsim_nets::random::{normal, stream};
use deepsim_nets::{Comparator, Images, PixelFormat};
use rand_core::Rng;
use rayon::prelude::*;
use tracing::field::Empty;
use tracing::info_span;

use super::blur::{gaussian_blur, shifted};
use super::ending::{BACK_OFF, Ending, MOST_DIVISOR, diverges, stalls};
use super::goal::Goal;
use super::priors::{power, total_variation};
use super::settings::Settings;
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::statistics::norm;

/// Images that were found for features.
#[derive(Clone, Debug)]
pub struct BaselineImages {
    /// The images, `(N, 3, H, W)` in [`PixelFormat::CAFFE_BGR`]; those without a result
    /// ([`Ending::is_finished`]) are the images that the descent started from. They are clipped only
    /// where [`Settings::clip`] says so.
    pub images: Images,
    /// For each picture `‖Φ(x) - Φ0‖²/‖Φ0‖²`: before every step, with that step's jitter, and last of
    /// the image that is returned. Ends where the descent diverged or found no gradient, and is empty
    /// without one.
    pub objective: Vec<Vec<f64>>,
    /// End of each picture's descent.
    pub endings: Vec<Ending>,
}

/// Finds images whose features at `tap` come near to `target`, from noise.
///
/// Picture `i` of the batch draws from the streams of index `first + i`, and is computed as if it were
/// alone: the same seed and index give the same image in any batch. A picture whose descent diverges
/// starts again with smaller learning rates ([`Ending`]). Each attempt is a span that counts its steps.
///
/// # Shapes
/// `target`: `(N, ...)`, as the comparator gives it for images of `size` = (height, width); -> images
/// `(N, 3, height, width)` in BGR minus the mean, grey levels
///
/// # Errors
/// If there is no such tap, the batch is empty, features of images of `size` have another shape than
/// the target, or settings are out of range. Targets that are zero or not finite are no error of the
/// batch, but the [`Ending`] of their picture.
///
/// ```
/// use candle_core::Device;
/// use deepsim_eval::optimisation_baseline::{Settings, invert};
/// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
///
/// let net = ComparatorKind::alexnet().open_to("CONV1", None, 0, &Device::Cpu)?;
/// let bytes: Vec<u8> = (0..3 * 35 * 35).map(|i| (i % 251) as u8).collect();
/// let photo = Images::from_u8(&bytes, 1, 35, 35, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
/// let target = net.features(&photo, "CONV1")?;
///
/// let settings = Settings::mahendran_vedaldi("CONV1").with_steps(20);
/// let found = invert(&*net, "CONV1", &target, (35, 35), &settings, 7, 0)?;
/// assert_eq!(found.images.tensor().dims(), [1, 3, 35, 35]);
/// assert!(found.endings[0].is_finished());
/// assert!(found.objective[0][20] < found.objective[0][0]);
/// # Ok::<(), deepsim_eval::EvalError>(())
/// ```
pub fn invert(
    net: &dyn Comparator,
    tap: &str,
    target: &Tensor,
    size: (usize, usize),
    settings: &Settings,
    seed: u64,
    first: u64,
) -> Result<BaselineImages, EvalError> {
    let (n, numbers) = (target.dims().first().copied().unwrap_or(0), 3 * size.0 * size.1);
    let mut start = Vec::with_capacity(n * numbers);
    // The streams keep the names that published numbers were drawn with.
    for index in first..first + n as u64 {
        let mut noise = normal(&mut stream(seed, "preimage start", index), numbers, 1.0);
        let scale = (settings.start * Settings::norm(numbers) / norm(&noise)) as f32;
        noise.iter_mut().for_each(|value| *value *= scale);
        start.extend(noise);
    }
    let start = Tensor::from_vec(start, (n, 3, size.0, size.1), target.device())?;
    let start = Images::of_output(start, PixelFormat::CAFFE_BGR)?;
    invert_from(net, tap, target, &start, settings, seed, first)
}

/// Does the same as [`invert`] from given images; [`Settings::start`] is not used.
///
/// # Shapes
/// `target`: `(N, ...)`, `start`: `(N, 3, H, W)` -> images `(N, 3, H, W)`
///
/// # Errors
/// As [`invert`], or if there are not as many images as targets.
pub fn invert_from(
    net: &dyn Comparator,
    tap: &str,
    target: &Tensor,
    start: &Images,
    settings: &Settings,
    seed: u64,
    first: u64,
) -> Result<BaselineImages, EvalError> {
    settings.check()?;
    let start = start.convert(PixelFormat::CAFFE_BGR)?;
    let goal = Goal::new(net, tap, target, &start)?;
    let mut images = numbers(start.tensor())?;
    let size = images.len() / start.len();
    let mut objective = vec![Vec::new(); start.len()];
    let mut endings = goal.unreachable();
    let mut waiting: Vec<usize> =
        (0..start.len()).filter(|at| endings[*at].is_finished()).collect();
    let mut divisor = 1;
    while !waiting.is_empty() {
        let part = goal.part(&waiting);
        let pictures = waiting.iter().map(|&at| Picture {
            x: images[at * size..][..size].to_vec(),
            velocity: vec![0.0; size],
            jitter: stream(seed, "preimage jitter", first + at as u64),
            shift: (0, 0),
            objective: Vec::with_capacity(settings.steps() + 1),
            diverged: None,
            still: false,
        });
        let what = match divisor {
            1 => tap.to_owned(),
            _ => format!("{tap}, learning rates divided by {divisor}"),
        };
        let found = descend(&what, &part, pictures.collect(), settings, divisor)?;
        let mut again = Vec::new();
        for (at, picture) in waiting.into_iter().zip(found) {
            match picture.diverged {
                _ if picture.still => endings[at] = Ending::ZeroGradient,
                Some(_) if divisor < MOST_DIVISOR => again.push(at),
                Some(step) if step == settings.steps() && stalls(&picture.objective) => {
                    endings[at] = Ending::Stalled;
                }
                Some(step) => endings[at] = Ending::Diverged { step, divisor },
                None => {
                    endings[at] = Ending::Finished { divisor };
                    images[at * size..][..size].copy_from_slice(&picture.x);
                }
            }
            objective[at] = picture.objective;
        }
        (waiting, divisor) = (again, divisor * BACK_OFF);
    }
    let images = Tensor::from_vec(images, start.tensor().shape(), target.device())?;
    Ok(BaselineImages { images: start.with_tensor(images)?, objective, endings })
}

/// Makes the steps of all stages, in a span of the name `what`, with learning rates divided by `divisor`. Pictures that diverge stay
/// as they are; the descent ends when all have.
fn descend<R: Rng + Send>(
    what: &str,
    goal: &Goal<'_>,
    mut pictures: Vec<Picture<R>>,
    settings: &Settings,
    divisor: u32,
) -> Result<Vec<Picture<R>>, EvalError> {
    let [_, _, height, width] = goal.shape();
    let (size, all) = (3 * height * width, settings.steps());
    let span = info_span!("descending", what, total = all as u64, done = Empty).entered();
    let mut step = 0;
    for stage in &settings.stages {
        let rate = (stage.rate / f64::from(divisor)) as f32;
        pictures.iter_mut().for_each(|picture| picture.velocity.fill(0.0));
        for _ in 0..stage.steps {
            let seen = pictures
                .iter_mut()
                .flat_map(|picture| picture.jittered(settings.jitter, height, width))
                .collect();
            let (values, gradients) = goal.pull(seen)?;
            let blur = settings.blur_every > 0 && step % settings.blur_every == 0 && step + 1 < all;
            let gradients = gradients.par_chunks_exact(size);
            pictures.par_iter_mut().zip(values).zip(gradients).for_each(
                |((picture, value), gradient)| {
                    if picture.goes_on(step, value) {
                        picture.step(gradient, height, width, settings, rate, blur);
                    }
                },
            );
            if pictures.iter().all(|picture| picture.still || picture.diverged.is_some()) {
                return Ok(pictures);
            }
            step += 1;
            span.record("done", step as u64);
        }
    }
    let images = pictures.iter().flat_map(|picture| picture.x.iter().copied()).collect();
    let values = goal.values(images)?;
    pictures.iter_mut().zip(values).for_each(|(picture, value)| {
        if picture.goes_on(step, value) && stalls(&picture.objective) {
            picture.diverged = Some(step);
        }
    });
    Ok(pictures)
}

/// One picture's state.
struct Picture<R> {
    x: Vec<f32>,
    velocity: Vec<f32>,
    jitter: R,
    shift: (i64, i64),
    objective: Vec<f64>,
    /// The step before which it was found to diverge.
    diverged: Option<usize>,
    /// Image and gradient are zero and the features are not the target's: it moves no more.
    still: bool,
}

impl<R: Rng> Picture<R> {
    /// Takes down the objective before `step`; false if the descent ends here or has ended before.
    fn goes_on(&mut self, step: usize, value: f64) -> bool {
        if self.diverged.is_none() && !self.still {
            self.objective.push(value);
            // Rectified features hide an image that is not finite.
            let finite = self.x.iter().all(|x| x.is_finite());
            self.diverged = (!finite || diverges(&self.objective)).then_some(step);
        }
        self.diverged.is_none() && !self.still
    }

    /// The image as the network sees it in the next step.
    fn jittered(&mut self, most: usize, height: usize, width: usize) -> Vec<f32> {
        if most == 0 {
            return self.x.clone();
        }
        // The bias of the remainder is far below 1e-9.
        let mut draw = || (self.jitter.next_u64() % (2 * most as u64 + 1)) as i64 - most as i64;
        self.shift = (draw(), draw());
        shifted(&self.x, height, width, self.shift.0, self.shift.1)
    }

    /// One step, given the gradient of the features' distance at the image as the network saw it.
    fn step(
        &mut self,
        gradient: &[f32],
        height: usize,
        width: usize,
        settings: &Settings,
        rate: f32,
        blur: bool,
    ) {
        let (down, right) = self.shift;
        let mut gradient = match self.shift {
            (0, 0) => gradient.to_vec(),
            _ => shifted(gradient, height, width, -down, -right),
        };
        if settings.tv > 0.0 {
            let weight = (settings.tv / 2.0) as f32;
            total_variation(&self.x, height, width, settings.beta, weight, &mut gradient);
        }
        if settings.power > 0.0 {
            power(&self.x, settings.alpha, (settings.power / 2.0) as f32, &mut gradient);
        }
        if settings.l2 > 0.0 {
            power(&self.x, 2, settings.l2 as f32, &mut gradient);
        }
        let zero = |values: &[f32]| values.iter().all(|value| *value == 0.0);
        if self.objective.len() == 1 && self.objective[0] > 0.0 && zero(&self.x) && zero(&gradient)
        {
            self.still = true;
            return;
        }
        let (momentum, kept) = (settings.momentum as f32, (1.0 - settings.decay) as f32);
        for ((x, velocity), gradient) in self.x.iter_mut().zip(&mut self.velocity).zip(&gradient) {
            *velocity = momentum * *velocity - rate * gradient;
            *x = kept * (*x + *velocity);
        }
        if blur {
            gaussian_blur(&mut self.x, height, width, settings.blur);
        }
        if settings.clip {
            let planes = self.x.chunks_exact_mut(height * width);
            for (plane, mean) in planes.zip(PixelFormat::CAFFE_BGR.mean) {
                plane.iter_mut().for_each(|x| *x = x.clamp(-mean, 255.0 - mean));
            }
        }
    }
}
