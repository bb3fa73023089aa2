//! Handles of comparators that are not open yet.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::description;
use super::spec::ComparatorSpec;
use crate::{NetError, shipped};

/// A comparator without weights: one that comes with the crate, or one that is described in a TOML file.
///
/// In recipes and on the command line it is written as its name, `alexnet`, or as the path of its description,
/// `nets/resnet18.toml`; [`ComparatorKind::read`] has the form of descriptions. `alexnet@227` is AlexNet for images that
/// are enlarged to 227 pixels ([`ComparatorKind::enlarging`]).
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::ComparatorKind;
/// let alexnet: ComparatorKind = "alexnet".parse()?;
/// assert_eq!(alexnet, ComparatorKind::alexnet());
/// // Random weights, drawn from seed 0, because no file is given.
/// let net = alexnet.open(None, 0, &Device::Cpu)?;
/// assert_eq!(net.taps(), ["CONV1", "CONV2", "CONV3", "CONV4", "CONV5"]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone)]
pub struct ComparatorKind(Arc<Inner>);

struct Inner {
    spec: ComparatorSpec,
    /// The description, and the file of weights that it names.
    files: Option<(PathBuf, PathBuf)>,
    /// The side that was asked for with [`ComparatorKind::enlarging`].
    enlarging: Option<usize>,
}

/// Sign between a network and the side that images are enlarged to.
const ENLARGED: char = '@';

impl ComparatorKind {
    /// Takes a network that is made in the program.
    ///
    /// # Errors
    /// If the table is no network: names the row.
    pub fn new(spec: ComparatorSpec) -> Result<Self, NetError> {
        spec.check()?;
        Ok(Self(Arc::new(Inner { spec, files: None, enlarging: None })))
    }

    /// Reads a description: a table of layers as TOML. The weights lie beside it, in the file of the same name that
    /// ends in `.safetensors` unless `weights` names another one.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("description-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// let text = r#"
    /// name = "small"
    /// pixels = "torchvision"
    /// taps = { STEM = "relu1", BLOCK = "relu2" }
    /// layers = [
    ///     { name = "conv1", op = "conv", out = 16, kernel = 3, stride = 2, padding = 1, bias = false },
    ///     { name = "bn1", op = "batch-norm" },
    ///     { name = "relu1", op = "relu" },
    ///     { name = "conv2", op = "conv", out = 16, kernel = 3, padding = 1, groups = 16 },
    ///     { name = "add", op = "add", from = ["conv2", "relu1"] },
    ///     { name = "relu2", op = "relu" },
    /// ]
    /// "#;
    /// std::fs::write(folder.join("small.toml"), text)?;
    /// let small = ComparatorKind::read(&folder.join("small.toml"))?;
    /// assert_eq!(small.shape("BLOCK", 64, 64)?, [16, 32, 32]);
    /// assert_eq!(small.tensors()[1], ("bn1.weight".into(), vec![16]));
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read, or does not describe a network: names the row and the key.
    pub fn read(path: &Path) -> Result<Self, NetError> {
        let (spec, weights) = description::read(path)?;
        Ok(Self(Arc::new(Inner { spec, files: Some((path.into(), weights)), enlarging: None })))
    }

    /// The same network for images whose shorter side is enlarged, bilinearly, to `side` pixels before the first layer;
    /// larger images stay as they are. With it, pictures of 64 pixels have the features of a network for 227.
    ///
    /// ```
    /// use deepsim_nets::ComparatorKind;
    /// let alexnet = ComparatorKind::alexnet().enlarging(227)?;
    /// assert_eq!(alexnet.shape("CONV5", 64, 64)?, [256, 6, 6]);
    /// assert_eq!(alexnet, "alexnet@227".parse()?);
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    ///
    /// # Errors
    /// If the side is 0, or larger than images may be.
    pub fn enlarging(&self, side: usize) -> Result<Self, NetError> {
        let spec = self.spec().clone().input(side);
        spec.check()?;
        let files = self.0.files.clone();
        Ok(Self(Arc::new(Inner { spec, files, enlarging: Some(side) })))
    }

    /// Writes the description that [`ComparatorKind::read`] reads as this network.
    ///
    /// ```
    /// use deepsim_nets::ComparatorKind;
    /// let text = ComparatorKind::exemplar_cnn().to_toml();
    /// assert!(text.contains("name = \"conv3\"\nop = \"conv\"\nout = 256\nkernel = 5\n"), "{text}");
    /// ```
    pub fn to_toml(&self) -> String {
        description::text(self.spec())
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.spec().name
    }

    /// Table of layers, taps and everything else that is known without weights.
    pub fn spec(&self) -> &ComparatorSpec {
        &self.0.spec
    }

    /// Names of the taps of the whole network, shallow to deep.
    pub fn taps(&self) -> Vec<&str> {
        self.spec().taps.iter().map(|(tap, _)| &**tap).collect()
    }

    /// Finds the file with this network's weights: first in `folder`, then among those that come with the project
    /// ([`crate::shipped`]). For a described network it is the path in the description, whatever the folder.
    ///
    /// ```
    /// use deepsim_nets::ComparatorKind;
    /// // Not shipped, so it is found only in a folder that you name.
    /// assert_eq!(ComparatorKind::alexnet().find_weights(None), None);
    /// ```
    pub fn find_weights(&self, folder: Option<&Path>) -> Option<PathBuf> {
        if let Some((_, weights)) = &self.0.files {
            return Some(weights.clone()).filter(|path| path.is_file());
        }
        let spec = self.spec();
        let named = folder.and_then(|folder| {
            spec.files.iter().map(|name| folder.join(&**name)).find(|path| path.is_file())
        });
        named.or_else(|| {
            spec.files.first().filter(|_| spec.shipped).and_then(|name| shipped::find(name))
        })
    }

    /// File of the description, if the network has one.
    pub fn description(&self) -> Option<&Path> {
        self.0.files.as_ref().map(|(description, _)| &**description)
    }
}

/// Prints the text that recipes use: the name, or the path of the description.
impl fmt::Display for ComparatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.description() {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str(self.name())?,
        }
        match self.0.enlarging {
            Some(side) => write!(f, "{ENLARGED}{side}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ComparatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComparatorKind({self})")
    }
}

/// Equal networks, from the same file if they are described.
impl PartialEq for ComparatorKind {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        Arc::ptr_eq(a, b) || (a.files == b.files && a.spec == b.spec)
    }
}

/// The numbers of a checked table are finite.
impl Eq for ComparatorKind {}

impl FromStr for ComparatorKind {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let known = Self::all();
        match known.iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind.clone()),
            None if text.ends_with(".toml") => Self::read(Path::new(text)),
            None => match text.rsplit_once(ENLARGED).map(|(name, side)| (name, side.parse())) {
                Some((name, Ok(side))) => name.parse::<Self>()?.enlarging(side),
                _ => Err(NetError::UnknownComparator {
                    known: known.iter().map(|kind| kind.name().to_owned()).collect(),
                    found: text.into(),
                }),
            },
        }
    }
}

impl Serialize for ComparatorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ComparatorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
