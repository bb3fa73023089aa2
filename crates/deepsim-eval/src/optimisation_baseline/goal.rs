//! The features that a descent comes near to.

use candle_core::{Device, Tensor, Var};
use deepsim_nets::{Comparator, Images, PixelFormat};
use rayon::prelude::*;

use super::ending::Ending;
use super::settings::Settings;
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::statistics::norm;

/// Features to come near to.
pub(super) struct Goal<'a> {
    net: &'a dyn Comparator,
    tap: &'a str,
    target: Vec<f32>,
    /// `‖Φ0‖²` of each picture.
    squares: Vec<f64>,
    /// Shape of the images.
    shape: [usize; 4],
    device: &'a Device,
}

impl<'a> Goal<'a> {
    /// The features `target` of images of the size of `start`.
    ///
    /// # Errors
    /// If there is no such tap, there are no images or not as many as targets, or features have
    /// another shape.
    pub(super) fn new(
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
        let target_values = numbers(target)?;
        let each = target_values.chunks_exact(target_values.len() / n);
        let squares = each.map(|values| norm(values).powi(2)).collect();
        let shape = [n, 3, start.height(), start.width()];
        Ok(Self { net, tap, target: target_values, squares, shape, device: target.device() })
    }

    /// For each picture the ending of a descent that cannot begin, or that of one without any step.
    pub(super) fn unreachable(&self) -> Vec<Ending> {
        let ending = |square: &f64| match *square {
            0.0 => Ending::ZeroTarget,
            square if square.is_finite() => Ending::Finished { divisor: 1 },
            _ => Ending::InfiniteTarget,
        };
        self.squares.iter().map(ending).collect()
    }

    /// The goal of some of the pictures.
    pub(super) fn part(&self, pictures: &[usize]) -> Self {
        let size = self.target.len() / self.squares.len();
        let target = pictures.iter().flat_map(|&at| &self.target[at * size..][..size]);
        let [_, channels, height, width] = self.shape;
        Self {
            target: target.copied().collect(),
            squares: pictures.iter().map(|&at| self.squares[at]).collect(),
            shape: [pictures.len(), channels, height, width],
            ..*self
        }
    }

    /// The shape of the images.
    pub(super) fn shape(&self) -> [usize; 4] {
        self.shape
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

    /// Relative squared distances for images.
    pub(super) fn values(&self, images: Vec<f32>) -> Result<Vec<f64>, EvalError> {
        let images = Tensor::from_vec(images, &self.shape, self.device)?;
        let images = Images::of_output(images, PixelFormat::CAFFE_BGR)?;
        Ok(self.distances(&self.net.features(&images, self.tap)?)?.0)
    }

    /// Relative squared distances for images, and the gradients of `s²` times them at the images.
    pub(super) fn pull(&self, images: Vec<f32>) -> Result<(Vec<f64>, Vec<f32>), EvalError> {
        let x = Var::from_vec(images, &self.shape, self.device)?;
        let images = Images::of_output(x.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
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
