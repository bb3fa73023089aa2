//! Comparators: fixed networks in whose feature space images are compared.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::alexnet::{self, Order};
use crate::image::{Images, PixelFormat};
use crate::layers::{Layer, Stack};
use crate::params::ParamBuilder;
use crate::{NetError, exemplar_cnn, squeezenet};

/// A fixed network that maps images to features. No gradient is ever computed for its weights;
/// gradients flow through it to the images.
pub trait Comparator: Send + Sync {
    /// Name of the network, e.g. `alexnet`.
    fn name(&self) -> &str;

    /// The format of pixels it was trained with; [`Comparator::features`] converts to it.
    fn format(&self) -> PixelFormat;

    /// Names under which features can be asked for, shallow to deep.
    fn taps(&self) -> Vec<String>;

    /// Where the weights come from.
    fn origin(&self) -> &WeightsOrigin;

    /// Features of images at `tap`.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, C, h, w)`, e.g. `(N, 3, 64, 64) -> (N, 384, 3, 3)` for AlexNet CONV3
    ///
    /// # Errors
    /// If there is no such tap or the images are too small for it.
    fn features(&self, images: &Images, tap: &str) -> Result<Tensor, NetError>;
}

/// Where the weights of a comparator come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsOrigin {
    /// Drawn from the network's own fillers with this seed; nothing was learned.
    Random(u64),
    /// Read from this file.
    File(PathBuf),
}

impl fmt::Display for WeightsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(seed) => write!(f, "random weights (seed {seed})"),
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                write!(f, "weights {}", name.display())
            }
        }
    }
}

/// The comparators that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparatorKind {
    /// AlexNet, normalisation before pooling (BVLC AlexNet).
    #[serde(rename = "alexnet")]
    AlexNet,
    /// AlexNet, pooling before normalisation (BVLC CaffeNet).
    #[serde(rename = "caffenet")]
    CaffeNet,
    /// Exemplar-CNN 64c5-128c5-256c5-512f.
    ExemplarCnn,
    /// SqueezeNet 1.0, to measure with.
    #[serde(rename = "squeezenet")]
    SqueezeNet,
}

impl ComparatorKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AlexNet, Self::CaffeNet, Self::ExemplarCnn, Self::SqueezeNet];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "alexnet",
            Self::CaffeNet => "caffenet",
            Self::ExemplarCnn => "exemplar-cnn",
            Self::SqueezeNet => "squeezenet",
        }
    }

    /// The file with this network's weights in a folder of weights, if it is there.
    pub fn find_weights(self, folder: &Path) -> Option<PathBuf> {
        let names: &[&str] = match self {
            Self::AlexNet => &["alexnet.safetensors", "alexnet_conv1-5_caffe_bgr.safetensors"],
            Self::CaffeNet => &["caffenet.safetensors"],
            Self::ExemplarCnn => &["exemplar-cnn.safetensors"],
            Self::SqueezeNet => {
                &["squeezenet.safetensors", "squeezenet_v1.0_deepcompressed.safetensors"]
            }
        };
        names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
    }

    /// Builds the network with weights from a safetensors file, or with random weights.
    ///
    /// # Errors
    /// If the file cannot be read or does not hold exactly this network's tensors.
    pub fn open(
        self,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        const NORM_POOL: ([Layer; 15], [(&str, &str); 5]) =
            (alexnet::trunk(Order::NormPool), alexnet::taps(Order::NormPool));
        const POOL_NORM: ([Layer; 15], [(&str, &str); 5]) =
            (alexnet::trunk(Order::PoolNorm), alexnet::taps(Order::PoolNorm));
        let caffe = PixelFormat::CAFFE_BGR;
        let (layers, taps, format): (&[Layer], &'static [(&str, &str)], PixelFormat) = match self {
            Self::AlexNet => (&NORM_POOL.0, &NORM_POOL.1, caffe),
            Self::CaffeNet => (&POOL_NORM.0, &POOL_NORM.1, caffe),
            Self::ExemplarCnn => (&exemplar_cnn::LAYERS, &exemplar_cnn::TAPS, exemplar_cnn::FORMAT),
            Self::SqueezeNet => (&squeezenet::LAYERS, &squeezenet::TAPS, caffe),
        };
        let mut builder = ParamBuilder::new(self.name(), seed, device);
        let stack = Stack::new(layers, 3, "", &mut builder)?.frozen();
        let origin = match weights {
            Some(path) => {
                builder.params.load(path, self.name())?;
                WeightsOrigin::File(path.into())
            }
            None => WeightsOrigin::Random(seed),
        };
        Ok(Box::new(FeatureNet { kind: self, stack, taps, format, origin }))
    }
}

/// A [`Stack`] with names for its taps.
struct FeatureNet {
    kind: ComparatorKind,
    stack: Stack,
    taps: &'static [(&'static str, &'static str)],
    format: PixelFormat,
    origin: WeightsOrigin,
}

impl Comparator for FeatureNet {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn format(&self) -> PixelFormat {
        self.format
    }

    fn taps(&self) -> Vec<String> {
        self.taps.iter().map(|(tap, _)| (*tap).to_owned()).collect()
    }

    fn origin(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn features(&self, images: &Images, tap: &str) -> Result<Tensor, NetError> {
        // Rows of the table (relu3, norm1, ...) are taps too, for those who know the network.
        let row = self.taps.iter().find(|(name, _)| *name == tap).map_or(tap, |(_, row)| row);
        let images = images.convert(self.format)?;
        self.stack.forward_to(images.tensor(), row)?.ok_or_else(|| NetError::UnknownTap {
            net: self.name().into(),
            wanted: self.taps(),
            got: tap.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_have_the_papers_shapes() -> Result<(), NetError> {
        let device = Device::Cpu;
        let format = PixelFormat::CAFFE_BGR;
        let at = |side: usize| {
            Images::from_u8(&vec![60; 3 * side * side], 1, side, side, format, &device)
        };
        let cases: [(ComparatorKind, usize, &str, &[usize]); 8] = [
            (ComparatorKind::CaffeNet, 227, "CONV5", &[1, 256, 6, 6]),
            (ComparatorKind::AlexNet, 227, "CONV5", &[1, 256, 6, 6]),
            (ComparatorKind::AlexNet, 64, "CONV3", &[1, 384, 3, 3]),
            (ComparatorKind::AlexNet, 64, "CONV5", &[1, 256, 1, 1]),
            (ComparatorKind::ExemplarCnn, 64, "CONV3", &[1, 256, 16, 16]),
            (ComparatorKind::ExemplarCnn, 96, "CONV3", &[1, 256, 24, 24]),
            (ComparatorKind::ExemplarCnn, 32, "FC4", &[1, 512, 1, 1]),
            (ComparatorKind::SqueezeNet, 64, "LOGITS", &[1, 1000]),
        ];
        for (kind, side, tap, shape) in cases {
            let net = kind.open(None, 0, &device)?;
            assert_eq!(net.features(&at(side)?, tap)?.dims(), shape, "{} {tap}", net.name());
        }
        Ok(())
    }

    #[test]
    fn unknown_taps_and_missing_files_are_named() -> Result<(), NetError> {
        let net = ComparatorKind::AlexNet.open(None, 0, &Device::Cpu)?;
        let images = Images::from_u8(&[0; 3 * 64 * 64], 1, 64, 64, net.format(), &Device::Cpu)?;
        let message = net.features(&images, "CONV9").expect_err("no such tap").to_string();
        assert!(
            message.contains("no tap `CONV9`") && message.contains("CONV1, CONV2"),
            "{message}"
        );
        let missing = Path::new("no/such/file.safetensors");
        let Err(error) = ComparatorKind::AlexNet.open(Some(missing), 0, &Device::Cpu) else {
            panic!("a missing file was loaded");
        };
        assert!(error.to_string().contains("no/such/file.safetensors"), "{error}");
        Ok(())
    }
}
