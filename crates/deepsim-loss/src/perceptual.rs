//! Distances of images in the feature space of a comparator, over any number of its layers.
//!
//! Two published distances are of one form, a weighted sum of squared differences at every position
//! of every tap, and differ in how they transform the features and how they combine positions:
//!
//! | | features | channels | positions | |
//! |---|---|---|---|---|
//! | [`TapDistance::deepsim`] | as they are | sum | ½ sum | Dosovitskiy & Brox 2016, `L_feat` |
//! | [`TapDistance::lpips`] | over their length across channels | weighted sum | mean | Zhang et al. 2018 |
//!
//! [`Distances`] holds the distance at every position, from which follow one number per image, one
//! per image and tap, a map over the image, and the scalar of a [`Term`](crate::Term).
//!
//! Gradients are finite for all features whose squares are. That includes equal images and features
//! that are zero at a position, where the derivative of the length does not exist and LPIPS'
//! published code returns NaN: the length is taken as `sqrt(Σ f² + 1e-36)`, which no `f32` result
//! shows, since `1e-10` is added to the length.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use deepsim_nets::{Comparator, Images};
use deepsim_ops::{Upsampling, upsample};

use crate::LossError;
pub use crate::tap::{LENGTH_EPSILON, Reduction, TapDistance};

/// A distance of images in the feature space of a comparator. Targets are constants: gradients
/// flow to the first images only.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::perceptual::{PerceptualDistance, TapDistance};
/// use deepsim_loss::{Upsampling, objective, term};
/// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
///
/// let device = Device::Cpu;
/// let images = |v: u8| Images::from_u8(&[v; 2 * 3 * 64 * 64], 2, 64, 64, PixelFormat::RGB_U8, &device);
/// let (output, target) = (images(90)?, images(130)?);
///
/// // Random weights, drawn from seed 0, because no file is given.
/// let net = ComparatorKind::alexnet().open(None, 0, &device)?;
/// let taps = vec![TapDistance::deepsim("CONV2", 0.5), TapDistance::deepsim("CONV5", 1.0)];
/// let distance = PerceptualDistance::new(net, taps)?;
///
/// let distances = distance.between(&output, &distance.targets(&target)?)?;
/// assert_eq!(distances.per_sample()?.dims(), [2]);
/// assert_eq!(distances.map(Upsampling::Bilinear)?.dims(), [2, 1, 64, 64]);
///
/// // As a term of the objective; the target's features are computed once.
/// let targets = distance.targets(&target)?;
/// let feature = term::from_fn("feature", 0.01, |images: &Images| distance.loss(images, &targets));
/// let evaluated = objective::evaluate(&[&feature], &term::Inputs::new(&output, &target))?;
/// assert_eq!(evaluated.gradient.dims(), [2, 3, 64, 64]);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
#[derive(Clone)]
pub struct PerceptualDistance {
    net: Arc<dyn Comparator>,
    taps: Vec<TapDistance>,
}

impl fmt::Debug for PerceptualDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = self.net.name();
        f.debug_struct("PerceptualDistance").field("net", &net).field("taps", &self.taps).finish()
    }
}

impl PerceptualDistance {
    /// Creates the sum of the distances at `taps` of a network: one of your own as it is, or any in a `Box` or an
    /// `Arc`.
    ///
    /// # Errors
    /// If there is no tap, or a weight is negative or not finite. Taps that the network does not
    /// have, and channel weights of another number than its channels, are found at the first use.
    pub fn new(net: impl Comparator + 'static, taps: Vec<TapDistance>) -> Result<Self, LossError> {
        let problem = match taps.is_empty() {
            true => Some("no taps".to_owned()),
            false => taps.iter().find_map(TapDistance::problem),
        };
        match problem {
            None => Ok(Self { net: Arc::new(net), taps }),
            Some(got) => Err(LossError::Mismatch {
                operation: "perceptual distance",
                wanted: "taps with finite weights of at least 0".into(),
                got,
            }),
        }
    }

    /// Returns the network.
    pub fn net(&self) -> &dyn Comparator {
        &*self.net
    }

    /// Returns the distances at its taps.
    pub fn taps(&self) -> &[TapDistance] {
        &self.taps
    }

    /// Computes the features of images that others are compared with.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`
    ///
    /// # Errors
    /// If the network has no such tap or does not take images of this size.
    pub fn targets(&self, images: &Images) -> Result<Targets, LossError> {
        let constant = images.with_tensor(images.tensor().detach())?;
        let size = (images.len(), images.height(), images.width());
        let features = self.features(&constant)?.iter().map(Tensor::detach).collect();
        Ok(Targets { features, size })
    }

    /// Computes the distances of images from `targets` in one pass. Differentiable.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`, as for `targets`
    ///
    /// # Errors
    /// If the images are of another number or size than the targets.
    pub fn between(&self, images: &Images, targets: &Targets) -> Result<Distances, LossError> {
        let size = (images.len(), images.height(), images.width());
        if size != targets.size || self.taps.len() != targets.features.len() {
            let write = |(n, h, w): (usize, usize, usize)| format!("{n} images of {w}x{h} pixels");
            return Err(LossError::Mismatch {
                operation: "perceptual distance",
                wanted: format!("{}, {} taps", write(targets.size), targets.features.len()),
                got: format!("{}, {} taps", write(size), self.taps.len()),
            });
        }
        let features = self.features(images)?;
        let taps = self.taps.iter().zip(features.iter().zip(&targets.features));
        let taps = taps.map(|(tap, (output, target))| {
            let positions = tap.at_positions(output, target)?;
            let (_, _, h, w) = positions.dims4()?;
            let factor = tap.factor(h * w);
            Ok(TapDistances { tap: tap.tap.clone(), positions, factor, reduction: tap.reduction })
        });
        let taps = taps.collect::<Result<_, LossError>>()?;
        Ok(Distances { taps, height: images.height(), width: images.width() })
    }

    /// Computes one distance per image.
    ///
    /// # Shapes
    /// two `(N, 3, H, W)` -> `(N)`
    ///
    /// # Errors
    /// As [`Self::targets`] and [`Self::between`].
    pub fn per_sample(&self, images: &Images, targets: &Images) -> Result<Tensor, LossError> {
        self.between(images, &self.targets(targets)?)?.per_sample()
    }

    /// Computes the share of every tap in [`Self::per_sample`], with the tap's name.
    ///
    /// # Shapes
    /// two `(N, 3, H, W)` -> `(N)` for each tap
    ///
    /// # Errors
    /// As [`Self::targets`] and [`Self::between`].
    pub fn per_tap(
        &self,
        images: &Images,
        targets: &Images,
    ) -> Result<Vec<(String, Tensor)>, LossError> {
        self.between(images, &self.targets(targets)?)?.per_tap()
    }

    /// Computes a map of the distance; see [`Distances::map`].
    ///
    /// # Shapes
    /// two `(N, 3, H, W)` -> `(N, 1, H, W)`
    ///
    /// # Errors
    /// As [`Self::targets`] and [`Self::between`].
    pub fn map(
        &self,
        images: &Images,
        targets: &Images,
        upsampling: Upsampling,
    ) -> Result<Tensor, LossError> {
        self.between(images, &self.targets(targets)?)?.map(upsampling)
    }

    /// Computes the mean distance over the batch, to be minimised.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> scalar
    ///
    /// # Errors
    /// As [`Self::between`].
    pub fn loss(&self, images: &Images, targets: &Targets) -> Result<Tensor, LossError> {
        Ok(self.between(images, targets)?.per_sample()?.mean_all()?)
    }

    fn features(&self, images: &Images) -> Result<Vec<Tensor>, LossError> {
        let names: Vec<&str> = self.taps.iter().map(TapDistance::tap).collect();
        let features = self.net.features_at(images, &names)?;
        self.taps.iter().zip(&features).map(|(tap, features)| tap.prepare(features)).collect()
    }
}

/// Features of images that others are compared with, from [`PerceptualDistance::targets`].
#[derive(Clone, Debug)]
pub struct Targets {
    features: Vec<Tensor>,
    /// Number, height and width of the images.
    size: (usize, usize, usize),
}

#[derive(Clone, Debug)]
struct TapDistances {
    tap: String,
    /// `(N, 1, h, w)`
    positions: Tensor,
    factor: f64,
    reduction: Reduction,
}

/// Distances of images at every position of every tap, from [`PerceptualDistance::between`].
#[derive(Clone, Debug)]
pub struct Distances {
    taps: Vec<TapDistances>,
    height: usize,
    width: usize,
}

impl Distances {
    /// Computes one distance per image: the sum over taps.
    ///
    /// # Shapes
    /// -> `(N)`
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn per_sample(&self) -> Result<Tensor, LossError> {
        sum(self.per_tap()?.into_iter().map(|(_, values)| values))
    }

    /// Computes the share of every tap in the distance, weights included, with the tap's name.
    ///
    /// # Shapes
    /// -> `(N)` for each tap
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn per_tap(&self) -> Result<Vec<(String, Tensor)>, LossError> {
        let values = |tap: &TapDistances| {
            let sums = tap.positions.flatten_from(1)?.sum(1)?;
            Ok((tap.tap.clone(), (sums * tap.factor)?))
        };
        self.taps.iter().map(values).collect()
    }

    /// Computes a map of the distance over the images: the sum over taps of the distance at every
    /// position, up-sampled to the size of the images.
    ///
    /// Taps with [`Reduction::Mean`] are up-sampled as they are, like `spatial=True` of LPIPS: the
    /// mean of the map is about the distance. Taps with [`Reduction::HalfSum`] are spread over the
    /// pixels, so that the sum of the map is about the distance.
    ///
    /// # Shapes
    /// -> `(N, 1, H, W)`
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn map(&self, upsampling: Upsampling) -> Result<Tensor, LossError> {
        let maps = self.taps.iter().map(|tap| {
            let positions = (tap.positions.dim(2)? * tap.positions.dim(3)?) as f64;
            let spread = match tap.reduction {
                Reduction::HalfSum => positions / (self.height * self.width) as f64,
                Reduction::Mean => positions,
            };
            let map = upsample(&tap.positions, (self.height, self.width), upsampling)?;
            Ok((map * (tap.factor * spread))?)
        });
        sum(maps.collect::<Result<Vec<_>, LossError>>()?.into_iter())
    }
}

fn sum(mut tensors: impl Iterator<Item = Tensor>) -> Result<Tensor, LossError> {
    let first = tensors.next().ok_or_else(|| LossError::Mismatch {
        operation: "perceptual distance",
        wanted: "at least one tap".into(),
        got: "none".into(),
    })?;
    Ok(tensors.try_fold(first, |sum, next| sum + next)?)
}
