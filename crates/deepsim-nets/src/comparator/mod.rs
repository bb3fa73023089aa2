//! Comparators: fixed networks in whose feature space images are compared.

mod build;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::alexnet::{self, Order};
use crate::image::{Images, PixelFormat};
use crate::layers::{Layer, Op, tensors};
use crate::{NetError, exemplar_cnn, squeezenet};

/// A fixed network that maps images to features. Gradients flow through it to the images, and none is
/// computed for its weights: an implementation detaches them
/// ([`Tensor::detach`](candle_core::Tensor::detach)).
///
/// [`ComparatorKind::open`] opens those that there are. One of your own implements the trait, and is handed over
/// as it is, in a `Box` or in an `Arc`:
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

    /// The format of pixels it was trained with; [`Comparator::features`] converts to it.
    fn format(&self) -> PixelFormat;

    /// Names under which features can be asked for, shallow to deep.
    fn taps(&self) -> Vec<String>;

    /// Where the weights come from.
    fn origin(&self) -> &WeightsOrigin;

    /// Features of images at several taps, in the order of `taps`, in one pass.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> for each tap `(N, C, h, w)`, or `(N, C)` after a fully connected layer
    ///
    /// # Errors
    /// If there is no such tap or the images do not have a size that it can be computed for.
    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError>;

    /// Features of images at `tap`.
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
    ($($pointer:ident),*) => {$(
        impl<C: Comparator + ?Sized> Comparator for $pointer<C> {
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

through_pointer!(Box, Arc);

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

/// The comparators that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparatorKind {
    /// AlexNet, normalisation before pooling (BVLC AlexNet).
    #[serde(rename = "alexnet")]
    AlexNet,
    /// AlexNet's convolutions under a small head of another task, where the real one is not at hand.
    #[serde(rename = "alexnet-stand-in")]
    AlexNetStandIn,
    /// AlexNet, pooling before normalisation (BVLC CaffeNet).
    #[serde(rename = "caffenet")]
    CaffeNet,
    /// torchvision's AlexNet, without normalisation.
    #[serde(rename = "alexnet-torchvision")]
    AlexNetTorchvision,
    /// CaffeNet with fc7 of 1024, trained on tracked patches of videos (Wang & Gupta 2015).
    #[serde(rename = "videonet")]
    VideoNet,
    /// Exemplar-CNN 64c5-128c5-256c5-512f.
    ExemplarCnn,
    /// SqueezeNet 1.0, to measure with.
    #[serde(rename = "squeezenet")]
    SqueezeNet,
    /// torchvision's SqueezeNet 1.1, to measure with.
    #[serde(rename = "squeezenet-torchvision")]
    SqueezeNetTorchvision,
}

/// A network as a table, with all that is known of it without weights.
struct Table {
    layers: &'static [Layer],
    taps: &'static [(&'static str, &'static str)],
    format: PixelFormat,
    /// Rows that are built when weights are drawn at random and nobody says how deep: the
    /// convolutional ones.
    convolutional: usize,
}

static NORM_POOL: [Layer; 22] = alexnet::layers(Order::NormPool);
static POOL_NORM: [Layer; 22] = alexnet::layers(Order::PoolNorm);
static NORM_POOL_TAPS: [(&str, &str); 9] = alexnet::taps(Order::NormPool);
static POOL_NORM_TAPS: [(&str, &str); 9] = alexnet::taps(Order::PoolNorm);

impl ComparatorKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AlexNet,
        Self::AlexNetStandIn,
        Self::CaffeNet,
        Self::AlexNetTorchvision,
        Self::VideoNet,
        Self::ExemplarCnn,
        Self::SqueezeNet,
        Self::SqueezeNetTorchvision,
    ];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "alexnet",
            Self::AlexNetStandIn => "alexnet-stand-in",
            Self::CaffeNet => "caffenet",
            Self::AlexNetTorchvision => "alexnet-torchvision",
            Self::VideoNet => "videonet",
            Self::ExemplarCnn => "exemplar-cnn",
            Self::SqueezeNet => "squeezenet",
            Self::SqueezeNetTorchvision => "squeezenet-torchvision",
        }
    }

    /// Names under which the whole network's features can be asked for, shallow to deep.
    pub fn taps(self) -> Vec<&'static str> {
        self.table().taps.iter().map(|(tap, _)| *tap).collect()
    }

    /// Names and shapes of the whole network's weights, in the order of its layers.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        tensors(self.table().layers, 3)
    }

    fn table(self) -> Table {
        let caffe = PixelFormat::CAFFE_BGR;
        let (layers, taps, format): (&'static [Layer], &'static [_], _) = match self {
            Self::AlexNet => (&NORM_POOL, &NORM_POOL_TAPS, caffe),
            Self::AlexNetStandIn => (&alexnet::STAND_IN, &NORM_POOL_TAPS[..8], caffe),
            Self::CaffeNet => (&POOL_NORM, &POOL_NORM_TAPS, caffe),
            Self::AlexNetTorchvision => {
                (&alexnet::TORCHVISION, &NORM_POOL_TAPS, PixelFormat::TORCHVISION)
            }
            Self::VideoNet => (&alexnet::VIDEONET, &POOL_NORM_TAPS[..7], caffe),
            Self::ExemplarCnn => (&exemplar_cnn::LAYERS, &exemplar_cnn::TAPS, exemplar_cnn::FORMAT),
            Self::SqueezeNet => (&squeezenet::LAYERS, &squeezenet::TAPS, caffe),
            Self::SqueezeNetTorchvision => {
                let format = PixelFormat::TORCHVISION;
                (&squeezenet::TORCHVISION, &squeezenet::TORCHVISION_TAPS, format)
            }
        };
        let flat = |layer: &Layer| matches!(layer.op, Op::Flatten(_));
        let convolutional = layers.iter().position(flat).unwrap_or(layers.len());
        Table { layers, taps, format, convolutional }
    }

    /// The file with this network's weights in a folder of weights, if it is there.
    pub fn find_weights(self, folder: &Path) -> Option<PathBuf> {
        let names: &[&str] = match self {
            Self::AlexNet => &["alexnet.safetensors", "alexnet_conv1-5_caffe_bgr.safetensors"],
            // The head; the convolutions are AlexNet's, in the same folder.
            Self::AlexNetStandIn => {
                &["alexnet-stand-in.safetensors", "alexnet_head_imagenette10_f16.safetensors"]
            }
            Self::CaffeNet => &["caffenet.safetensors"],
            Self::AlexNetTorchvision => &["alexnet-torchvision.safetensors"],
            Self::VideoNet => &["videonet.safetensors"],
            Self::ExemplarCnn => &["exemplar-cnn.safetensors"],
            Self::SqueezeNet => {
                &["squeezenet.safetensors", "squeezenet_v1.0_deepcompressed.safetensors"]
            }
            Self::SqueezeNetTorchvision => &["squeezenet-torchvision.safetensors"],
        };
        names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
    }

    /// Builds the network with weights from a safetensors file, as deep as the file goes: one that
    /// ends with conv5 gives a network that ends with pool5. Without a file, builds its
    /// convolutional part with random weights.
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold exactly this network's tensors up to some layer.
    pub fn open(
        self,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        self.build(None, weights, seed, device)
    }

    /// Builds the network up to a tap, with weights from a safetensors file, or with random weights.
    /// Deeper tensors of the file are left alone.
    ///
    /// # Errors
    /// If the network has no such tap, the file cannot be read, or does not hold the tensors up to
    /// the tap.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
    /// let net = ComparatorKind::AlexNet.open_to("CONV2", None, 0, &Device::Cpu)?;
    /// assert_eq!(net.taps(), ["CONV1", "CONV2"]);
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn open_to(
        self,
        tap: &str,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        self.build(Some(self.rows(tap)?.len()), weights, seed, device)
    }
}

/// The row that a tap stands for. Rows of the table (relu3, norm1, ...) are taps too, for those who
/// know the network.
fn row(layers: &[Layer], taps: &[(&str, &str)], tap: &str) -> Option<usize> {
    let name = taps.iter().find(|(name, _)| *name == tap).map_or(tap, |(_, row)| row);
    layers.iter().position(|layer| layer.name == name)
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
        let cases: [(ComparatorKind, usize, &str, &[usize]); 17] = [
            (ComparatorKind::AlexNet, 227, "FC6", &[1, 4096]),
            (ComparatorKind::CaffeNet, 227, "PROB", &[1, 1000]),
            (ComparatorKind::VideoNet, 227, "FC7", &[1, 1024]),
            (ComparatorKind::AlexNetTorchvision, 224, "CONV5", &[1, 256, 6, 6]),
            (ComparatorKind::AlexNetTorchvision, 224, "FC8", &[1, 1000]),
            (ComparatorKind::SqueezeNet, 64, "PROB", &[1, 1000]),
            (ComparatorKind::CaffeNet, 227, "CONV5", &[1, 256, 6, 6]),
            (ComparatorKind::AlexNet, 227, "CONV5", &[1, 256, 6, 6]),
            (ComparatorKind::AlexNet, 64, "CONV3", &[1, 384, 3, 3]),
            (ComparatorKind::AlexNet, 64, "CONV5", &[1, 256, 1, 1]),
            (ComparatorKind::ExemplarCnn, 64, "CONV3", &[1, 256, 16, 16]),
            (ComparatorKind::ExemplarCnn, 96, "CONV3", &[1, 256, 24, 24]),
            (ComparatorKind::ExemplarCnn, 32, "FC4", &[1, 512, 1, 1]),
            (ComparatorKind::SqueezeNet, 64, "LOGITS", &[1, 1000]),
            (ComparatorKind::SqueezeNetTorchvision, 224, "CONV1", &[1, 64, 111, 111]),
            (ComparatorKind::SqueezeNetTorchvision, 224, "FIRE9", &[1, 512, 13, 13]),
            (ComparatorKind::SqueezeNetTorchvision, 64, "LOGITS", &[1, 1000]),
        ];
        for (kind, side, tap, shape) in cases {
            let net = kind.open_to(tap, None, 0, &device)?;
            assert_eq!(net.features(&at(side)?, tap)?.dims(), shape, "{} {tap}", net.name());
        }
        Ok(())
    }

    #[test]
    fn several_taps_in_one_pass_are_those_one_by_one() -> Result<(), NetError> {
        let net = ComparatorKind::CaffeNet.open(None, 0, &Device::Cpu)?;
        let pixels: Vec<u8> = (0..3 * 64 * 64).map(|i| (i * 31 % 251) as u8).collect();
        let images = Images::from_u8(&pixels, 1, 64, 64, net.format(), &Device::Cpu)?;
        let taps = ["CONV5", "CONV1", "relu3", "CONV1"];
        for (tap, features) in taps.iter().zip(net.features_at(&images, &taps)?) {
            let alone = net.features(&images, tap)?;
            let apart = (features - alone)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart == 0.0, "{tap}: {apart}");
        }
        Ok(())
    }

    #[test]
    fn a_network_is_as_deep_as_its_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights.safetensors");
        let kind = ComparatorKind::ExemplarCnn;
        let save = |names: &[&str]| -> Result<(), NetError> {
            let all = kind
                .tensors()
                .into_iter()
                .filter(|(name, _)| names.iter().any(|layer| name.starts_with(layer)));
            let var = |(name, shape): (String, Vec<usize>)| {
                let tensor = Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu)?;
                Ok((name, candle_core::Var::from_tensor(&tensor)?))
            };
            all.map(var).collect::<Result<crate::Params, NetError>>()?.save(&path, "{}")
        };
        save(&["conv1", "conv2"])?;
        let open = || kind.open(Some(&path), 0, &Device::Cpu);
        assert_eq!(open()?.taps(), ["CONV1", "CONV2"]);
        assert!(kind.open_to("CONV3", Some(&path), 0, &Device::Cpu).is_err());
        // Deeper tensors are left alone where they are not asked for.
        save(&["conv1", "conv2", "conv3", "fc4"])?;
        assert_eq!(kind.open_to("CONV1", Some(&path), 0, &Device::Cpu)?.taps(), ["CONV1"]);
        assert_eq!(open()?.taps(), ["CONV1", "CONV2", "CONV3", "FC4"]);
        // A hole in the middle is no early end.
        save(&["conv1", "conv3"])?;
        let Err(error) = open() else { panic!("a network without conv2") };
        assert!(error.to_string().contains("conv2.weight: missing"), "{error}");
        save(&[])?;
        assert!(open().is_err());
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
