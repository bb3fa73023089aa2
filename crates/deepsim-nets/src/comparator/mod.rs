//! Comparators: frozen networks in whose feature space images are compared.

mod build;
mod built_in;
mod description;
mod kind;
mod rows;
mod spec;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::NetError;
use crate::image::{Images, PixelFormat};

pub use kind::ComparatorKind;
pub use spec::ComparatorSpec;

/// Frozen network that maps images to features. Gradients flow through it to the images, but none is
/// computed for its weights: an implementation detaches them
/// ([`Tensor::detach`](candle_core::Tensor::detach)).
///
/// [`ComparatorKind::open`] opens the networks that come with the crate and those that are described in a file.
/// Implement the trait for a network of your own; functions take it by value, in a `Box` or in an `Arc`:
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_nets::{Comparator, Images, NetError, PixelFormat, WeightsOrigin};
/// use deepsim_ops::{Conv2dConfig, conv2d};
///
/// struct Edges {
///     weight: Tensor,
///     origin: WeightsOrigin,
/// }
///
/// impl Comparator for Edges {
///     fn name(&self) -> &str {
///         "edges"
///     }
///
///     fn format(&self) -> PixelFormat {
///         PixelFormat::RGB_U8
///     }
///
///     fn taps(&self) -> Vec<String> {
///         vec!["EDGES".into()]
///     }
///
///     fn origin(&self) -> &WeightsOrigin {
///         &self.origin
///     }
///
///     fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
///         let unknown = |tap: &&&str| **tap != "EDGES";
///         if let Some(tap) = taps.iter().find(unknown) {
///             let net = self.name().into();
///             return Err(NetError::UnknownTap { net, wanted: self.taps(), got: (*tap).into() });
///         }
///         let images = images.convert(self.format())?;
///         let edges = conv2d(images.tensor(), &self.weight.detach(), None, Conv2dConfig::new(1, 1))?;
///         Ok(taps.iter().map(|_| edges.clone()).collect())
///     }
/// }
///
/// # fn main() -> Result<(), NetError> {
/// let weight = Tensor::ones((8, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// let edges = Edges { weight, origin: WeightsOrigin::Memory("ones".into()) };
/// let images = Images::from_u8(&[0; 3 * 8 * 8], 1, 8, 8, PixelFormat::RGB_U8, &Device::Cpu)?;
/// assert_eq!(edges.features(&images, "EDGES")?.dims(), [1, 8, 8, 8]);
/// # Ok(())
/// # }
/// ```
pub trait Comparator: Send + Sync {
    /// Name of the network, e.g. `alexnet`.
    fn name(&self) -> &str;

    /// Pixel format that the network was trained with; [`Comparator::features`] converts to it.
    fn format(&self) -> PixelFormat;

    /// Names of the taps, at which features can be read, shallow to deep.
    fn taps(&self) -> Vec<String>;

    /// Origin of the weights.
    fn origin(&self) -> &WeightsOrigin;

    /// Computes the features of images at several taps, in the order of `taps`, in one pass.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> for each tap `(N, C, h, w)`, or `(N, C)` after a fully connected layer
    ///
    /// # Errors
    /// If there is no such tap, or it cannot be computed for images of this size.
    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError>;

    /// Computes the features of images at `tap`.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, C, h, w)`, e.g. `(N, 3, 64, 64) -> (N, 384, 3, 3)` for AlexNet CONV3
    ///
    /// # Errors
    /// As [`Comparator::features_at`].
    fn features(&self, images: &Images, tap: &str) -> Result<Tensor, NetError> {
        Ok(self.features_at(images, &[tap])?.remove(0))
    }
}

/// Implements [`Comparator`] for a pointer to one.
macro_rules! through_pointer {
    ($($pointer:ty),*) => {$(
        impl<C: Comparator + ?Sized> Comparator for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn format(&self) -> PixelFormat {
                (**self).format()
            }

            fn taps(&self) -> Vec<String> {
                (**self).taps()
            }

            fn origin(&self) -> &WeightsOrigin {
                (**self).origin()
            }

            fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
                (**self).features_at(images, taps)
            }

            fn features(&self, images: &Images, tap: &str) -> Result<Tensor, NetError> {
                (**self).features(images, tap)
            }
        }
    )*};
}

through_pointer!(Box<C>, Arc<C>, &C);

/// Origin of a comparator's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsOrigin {
    /// Drawn from the network's own fillers with this seed; nothing was learned.
    Random(u64),
    /// Read from this file.
    File(PathBuf),
    /// Given in memory, under this name; for networks that are built by other programs.
    Memory(String),
}

impl fmt::Display for WeightsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(seed) => write!(f, "random weights (seed {seed})"),
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                write!(f, "weights {}", name.display())
            }
            Self::Memory(name) => write!(f, "weights {name}, in memory"),
        }
    }
}

#[cfg(test)]
mod tests;
