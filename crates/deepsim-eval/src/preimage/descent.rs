//! Gradient descent on a batch of pictures, each by itself.

use candle_core::{Device, Tensor, Var};
use deepsim_nets::random::{normal, stream};
use deepsim_nets::{Comparator, Images, PixelFormat};
use rand_core::Rng;
use rayon::prelude::*;

use super::blur::{gaussian_blur, shifted};
use super::priors::{power, total_variation};
use super::settings::Settings;
use crate::EvalError;
use crate::measure::context::{Progress, numbers};
use crate::statistics::norm;

/// Images that were found for features.
#[derive(Clone, Debug)]
pub struct Preimages {
    /// The images, `(N, 3, H, W)` in [`PixelFormat::CAFFE_BGR`]. They are clipped only where
    /// [`Settings::clip`] says so.
    pub images: Images,
    /// For each picture `‖Φ(x) - Φ0‖²/‖Φ0‖²`: before every step, with that step's jitter, and last of
    /// the image that is returned.
    pub objective: Vec<Vec<f64>>,
}

/// Finds images whose features at `tap` come near to `target`, from noise.
///
/// Picture `i` of the batch draws from the streams of index `first + i`, and is computed as if it were
/// alone: the same seed and index give the same image in any batch. `tell` hears of steps.
///
/// # Shapes
/// `target`: `(N, ...)`, as the comparator gives it for images of `size` = (height, width); -> images
/// `(N, 3, height, width)` in BGR minus the mean, grey levels
///
/// # Errors
/// If there is no such tap, the batch is empty, features of images of `size` have another shape than
/// the target, a picture's target is zero or not finite, or settings are out of range.
///
/// ```
/// use candle_core::Device;
/// use deepsim_eval::preimage::{Settings, invert};
/// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
///
/// let net = ComparatorKind::AlexNet.open_to("CONV1", None, 0, &Device::Cpu)?;
/// let bytes: Vec<u8> = (0..3 * 35 * 35).map(|i| (i % 251) as u8).collect();
/// let photo = Images::from_u8(&bytes, 1, 35, 35, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
/// let target = net.features(&photo, "CONV1")?;
///
/// let settings = Settings::mahendran_vedaldi("CONV1").with_steps(20);
/// let found = invert(&*net, "CONV1", &target, (35, 35), &settings, 7, 0, &|_| ())?;
/// assert_eq!(found.images.tensor().dims(), [1, 3, 35, 35]);
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
    tell: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Preimages, EvalError> {
    let (n, numbers) = (target.dims().first().copied().unwrap_or(0), 3 * size.0 * size.1);
    let mut start = Vec::with_capacity(n * numbers);
    for index in first..first + n as u64 {
        let mut noise = normal(&mut stream(seed, "preimage start", index), numbers, 1.0);
        let scale = (settings.start * Settings::norm(numbers) / norm(&noise)) as f32;
        noise.iter_mut().for_each(|value| *value *= scale);
        start.extend(noise);
    }
    let start = Tensor::from_vec(start, (n, 3, size.0, size.1), target.device())?;
    let start = Images::new(start, PixelFormat::CAFFE_BGR)?;
    invert_from(net, tap, target, &start, settings, seed, first, tell)
}

/// As [`invert`], from given images; [`Settings::start`] is not used.
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
    tell: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Preimages, EvalError> {
    settings.check()?;
    let start = start.convert(PixelFormat::CAFFE_BGR)?;
    let (n, height, width) = (start.len(), start.height(), start.width());
    let goal = Goal::new(net, tap, target, &start)?;
    let (size, all) = (3 * height * width, settings.steps());
    let mut images = numbers(start.tensor())?;
    let indices = first..first + n as u64;
    let mut pictures: Vec<Picture<'_, _>> = images
        .chunks_exact_mut(size)
        .zip(indices)
        .map(|(x, index)| Picture {
            x,
            velocity: vec![0.0; size],
            jitter: stream(seed, "preimage jitter", index),
            shift: (0, 0),
        })
        .collect();
    let mut objective = vec![Vec::with_capacity(all + 1); n];

    let mut step = 0;
    for stage in &settings.stages {
        pictures.iter_mut().for_each(|picture| picture.velocity.fill(0.0));
        for _ in 0..stage.steps {
            let seen: Vec<f32> = pictures
                .iter_mut()
                .flat_map(|picture| picture.jittered(settings.jitter, height, width))
                .collect();
            let (values, gradients) = goal.pull(seen)?;
            objective.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
            let blur = settings.blur_every > 0 && step % settings.blur_every == 0 && step + 1 < all;
            pictures.par_iter_mut().zip(gradients.par_chunks_exact(size)).for_each(
                |(picture, gradient)| {
                    picture.step(gradient, height, width, settings, stage.rate as f32, blur);
                },
            );
            step += 1;
            tell(Progress { what: tap, done: step, all });
        }
    }
    let images =
        start.with_tensor(Tensor::from_vec(images, start.tensor().shape(), goal.device())?)?;
    let (last, _) = goal.distances(&net.features(&images, tap)?)?;
    objective.iter_mut().zip(last).for_each(|(all, value)| all.push(value));
    Ok(Preimages { images, objective })
}

/// Features to come near to.
struct Goal<'a> {
    net: &'a dyn Comparator,
    tap: &'a str,
    target: Vec<f32>,
    /// `‖Φ0‖²` of each picture.
    squares: Vec<f64>,
    /// Of the images.
    shape: [usize; 4],
    device: &'a Device,
}

impl<'a> Goal<'a> {
    fn new(
        net: &'a dyn Comparator,
        tap: &'a str,
        target: &'a Tensor,
        start: &Images,
    ) -> Result<Self, EvalError> {
        let refuse = |wanted: String, got: String| Err(EvalError::input("inversion", wanted, got));
        let n = start.len();
        if n == 0 || target.dims().first() != Some(&n) {
            let got = format!("features {:?} and {n} images to start from", target.dims());
            return refuse("features of one picture or more, and an image for each".into(), got);
        }
        // One picture shows the shape: a mistake should not cost a pass of the batch.
        let one = start.with_tensor(start.tensor().narrow(0, 0, 1)?)?;
        let features = net.features(&one, tap)?;
        if features.dims()[1..] != target.dims()[1..] {
            let (height, width) = (start.height(), start.width());
            return refuse(
                format!("features {:?} of {height}x{width} images", &features.dims()[1..]),
                format!("{:?}", &target.dims()[1..]),
            );
        }
        let values = numbers(target)?;
        let squares: Vec<f64> =
            values.chunks_exact(values.len() / n).map(|values| norm(values).powi(2)).collect();
        if let Some(at) = squares.iter().position(|square| !(square.is_finite() && *square > 0.0)) {
            return refuse(
                "finite features that are not all zero".into(),
                format!("features of norm {} for picture {at}", squares[at].sqrt()),
            );
        }
        let shape = [n, 3, start.height(), start.width()];
        Ok(Self { net, tap, target: values, squares, shape, device: target.device() })
    }

    fn device(&self) -> &Device {
        self.device
    }

    /// Relative squared distances of features from the target, and the gradients of `s²` times them
    /// at the features.
    fn distances(&self, features: &Tensor) -> Result<(Vec<f64>, Vec<f32>), EvalError> {
        let mut values = numbers(features)?;
        let size = values.len() / self.squares.len();
        let [_, channels, height, width] = self.shape;
        let scale = 2.0 * Settings::norm(channels * height * width).powi(2);
        let distances = values
            .par_chunks_exact_mut(size)
            .zip(self.target.par_chunks_exact(size))
            .zip(&self.squares)
            .map(|((values, target), square)| {
                let (factor, mut sum) = ((scale / square) as f32, 0.0);
                for (value, target) in values.iter_mut().zip(target) {
                    let apart = *value - target;
                    sum += f64::from(apart).powi(2);
                    *value = factor * apart;
                }
                sum / square
            });
        Ok((distances.collect(), values))
    }

    /// Relative squared distances for images, and the gradients of `s²` times them at the images.
    fn pull(&self, images: Vec<f32>) -> Result<(Vec<f64>, Vec<f32>), EvalError> {
        let x = Var::from_vec(images, &self.shape, self.device)?;
        let images = Images::new(x.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
        let features = self.net.features(&images, self.tap)?;
        let (distances, pull) = self.distances(&features.detach())?;
        // The product's gradient at the features is `pull`: the distance's own gradient, computed
        // for each picture with its own weight.
        let pull = Tensor::from_vec(pull, features.shape(), self.device)?;
        let gradients = (features * pull)?.sum_all()?.backward()?;
        let gradient = gradients.get(&x).ok_or_else(|| {
            EvalError::input("inversion", "features that depend on the image", self.tap)
        })?;
        Ok((distances, numbers(gradient)?))
    }
}

/// One picture's state.
struct Picture<'a, R> {
    x: &'a mut [f32],
    velocity: Vec<f32>,
    jitter: R,
    shift: (i64, i64),
}

impl<R: Rng> Picture<'_, R> {
    /// The image as the network sees it in the next step.
    fn jittered(&mut self, most: usize, height: usize, width: usize) -> Vec<f32> {
        if most == 0 {
            return self.x.to_vec();
        }
        // The bias of the remainder is far below 1e-9.
        let mut draw = || (self.jitter.next_u64() % (2 * most as u64 + 1)) as i64 - most as i64;
        self.shift = (draw(), draw());
        shifted(self.x, height, width, self.shift.0, self.shift.1)
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
            total_variation(self.x, height, width, settings.beta, weight, &mut gradient);
        }
        if settings.power > 0.0 {
            power(self.x, settings.alpha, (settings.power / 2.0) as f32, &mut gradient);
        }
        if settings.l2 > 0.0 {
            power(self.x, 2, settings.l2 as f32, &mut gradient);
        }
        let (momentum, kept) = (settings.momentum as f32, (1.0 - settings.decay) as f32);
        for ((x, velocity), gradient) in self.x.iter_mut().zip(&mut self.velocity).zip(&gradient) {
            *velocity = momentum * *velocity - rate * gradient;
            *x = kept * (*x + *velocity);
        }
        if blur {
            gaussian_blur(self.x, height, width, settings.blur);
        }
        if settings.clip {
            let planes = self.x.chunks_exact_mut(height * width);
            for (plane, mean) in planes.zip(PixelFormat::CAFFE_BGR.mean) {
                plane.iter_mut().for_each(|x| *x = x.clamp(-mean, 255.0 - mean));
            }
        }
    }
}
