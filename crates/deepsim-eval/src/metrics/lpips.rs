//! LPIPS, the learned perceptual image patch similarity (Zhang et al. 2018), version 0.1.
//!
//! A network's features after five or seven of its layers are divided at every position by their
//! length over channels plus `1e-10`; their squared differences are weighted by channel, with weights
//! that were fitted to people's judgements, then averaged over positions and summed over layers. 0 is
//! equal, and there is no largest value. It depends on the size of the pictures.
//!
//! | | trunk, with ImageNet's weights | heads |
//! |---|---|---|
//! | [`LpipsNet::Alex`] | `alexnet-torchvision.safetensors` | `lpips-alex.safetensors` |
//! | [`LpipsNet::Squeeze`] | `squeezenet-torchvision.safetensors` | `lpips-squeeze.safetensors` |
//! | [`LpipsNet::Vgg`] | `vgg16.safetensors` | `lpips-vgg.safetensors` |
//!
//! A file of heads holds `lin0.weight`, `lin1.weight`, ..., one weight per channel. The shift and
//! scale that LPIPS applies to pixels in -1..1 are torchvision's mean and standard deviation, so the
//! trunks take [`Images`] as they are. Numbers are those of the authors' PyTorch package
//! (`tests/fixtures/perceptual.py`); its gradient is NaN where all features of a position are zero,
//! and this one's is not.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_loss::{Distances, PerceptualDistance, TapDistance};
use deepsim_nets::params::{parse, read, values_of};
use deepsim_nets::{ComparatorKind, Images, NetError, Sides};

use crate::EvalError;
use crate::comparators::is_random;

/// The networks that LPIPS is defined on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LpipsNet {
    /// AlexNet: what the authors report and recommend to measure with.
    Alex,
    /// SqueezeNet 1.1: 0.7 million weights instead of 2.5.
    Squeeze,
    /// VGG16: 14.7 million weights; what perceptual losses of other projects mostly use.
    Vgg,
}

/// Rows of the trunk's table and their channels.
const ALEX: [(&str, usize); 5] =
    [("relu1", 64), ("relu2", 192), ("relu3", 384), ("relu4", 256), ("relu5", 256)];
const SQUEEZE: [(&str, usize); 7] = [
    ("CONV1", 64),
    ("FIRE3", 128),
    ("FIRE5", 256),
    ("FIRE6", 384),
    ("FIRE7", 384),
    ("FIRE8", 512),
    ("FIRE9", 512),
];
const VGG: [(&str, usize); 5] =
    [("relu1_2", 64), ("relu2_2", 128), ("relu3_3", 256), ("relu4_3", 512), ("relu5_3", 512)];

impl LpipsNet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alex, Self::Squeeze, Self::Vgg];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alex => "lpips-alex",
            Self::Squeeze => "lpips-squeeze",
            Self::Vgg => "lpips-vgg",
        }
    }

    /// The network whose features are compared.
    pub fn trunk(self) -> ComparatorKind {
        match self {
            Self::Alex => ComparatorKind::alexnet_torchvision(),
            Self::Squeeze => ComparatorKind::squeezenet_torchvision(),
            Self::Vgg => ComparatorKind::vgg16(),
        }
    }

    /// Taps of the trunk, with their channels.
    pub fn taps(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Alex => &ALEX,
            Self::Squeeze => &SQUEEZE,
            Self::Vgg => &VGG,
        }
    }

    /// Height and width below which the last layer has no position left.
    pub fn smallest_side(self) -> usize {
        match self {
            Self::Alex => 31,
            Self::Squeeze => 17,
            Self::Vgg => 16,
        }
    }

    /// The file with the weights of the heads in a folder of weights, if it is there.
    pub fn find_heads(self, folder: &Path) -> Option<PathBuf> {
        Some(folder.join(format!("{}.safetensors", self.name()))).filter(|path| path.is_file())
    }

    /// Advice for those who lack the weights.
    fn advice(self) -> String {
        let (trunk, heads) = match self {
            Self::Alex => ("`deepsim download alexnet-torchvision`", "alex"),
            Self::Squeeze => {
                ("squeezenet1_1-*.pth of https://download.pytorch.org/models/", "squeeze")
            }
            Self::Vgg => ("`deepsim download vgg16`", "vgg"),
        };
        format!(
            "get the first from {trunk}, the second from weights/v0.1/{heads}.pth of the package lpips on PyPI, and \
             convert both by `deepsim import` (docs/measures.md)"
        )
    }

    /// Returns true if a folder holds the trunk and the heads.
    pub fn is_in(self, folder: &Path) -> bool {
        self.trunk().find_weights(Some(folder)).is_some() && self.find_heads(folder).is_some()
    }
}

impl fmt::Display for LpipsNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// LPIPS on one network.
///
/// ```
/// use candle_core::Device;
/// use deepsim_eval::metrics::lpips::{Lpips, LpipsNet};
/// use deepsim_loss::Upsampling;
/// use deepsim_nets::{Images, PixelFormat};
///
/// let device = Device::Cpu;
/// let pair = |v: u8| Images::from_u8(&[v; 2 * 3 * 32 * 40], 2, 32, 40, PixelFormat::RGB_U8, &device);
/// let (a, b) = (pair(90)?, pair(140)?);
/// // A real measurement is `Lpips::open(LpipsNet::Alex, folder_of_weights, &device)?`.
/// let lpips = Lpips::untrained(LpipsNet::Alex, None, 0, &device)?;
///
/// let distances = lpips.between(&a, &b)?;
/// assert_eq!(distances.per_sample()?.dims(), [2]);
/// assert_eq!(distances.per_tap()?.len(), 5);
/// assert_eq!(distances.map(Upsampling::Bilinear)?.dims(), [2, 1, 32, 40]);
/// assert_eq!(lpips.per_sample(&a, &a)?.to_vec1::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lpips {
    net: LpipsNet,
    distance: PerceptualDistance,
    heads: Option<PathBuf>,
}

impl Lpips {
    /// Opens LPIPS with the published weights, which must be in `folder`.
    ///
    /// # Errors
    /// If a file is missing or does not hold exactly what it should.
    pub fn open(net: LpipsNet, folder: &Path, device: &Device) -> Result<Self, EvalError> {
        let files = (net.trunk().find_weights(Some(folder)), net.find_heads(folder));
        let (Some(trunk), Some(heads)) = files else {
            let trunk = net.trunk();
            let wanted = format!(
                "{}.safetensors and {net}.safetensors in the folder of --weights, {}",
                trunk.name(),
                folder.display()
            );
            let found = match files {
                (None, None) => "neither",
                (None, _) => "the heads only",
                _ => "the trunk only",
            };
            let found = format!("{found}; {}", net.advice());
            return Err(EvalError::input(net.name(), wanted, found));
        };
        Self::build(net, Some(&trunk), Some(heads), 0, device)
    }

    /// LPIPS with whatever weights are in `folder`: without a file the trunk is random, and all
    /// channels weigh 1. Its numbers mean nothing to others; it is there for tests, and to see what
    /// training adds.
    ///
    /// # Errors
    /// If a file that is there does not hold exactly what it should.
    pub fn untrained(
        net: LpipsNet,
        folder: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, EvalError> {
        let trunk = net.trunk().find_weights(folder);
        let heads = folder.and_then(|folder| net.find_heads(folder));
        Self::build(net, trunk.as_deref(), heads, seed, device)
    }

    fn build(
        net: LpipsNet,
        trunk: Option<&Path>,
        heads: Option<PathBuf>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, EvalError> {
        let weights = match &heads {
            Some(path) => read_heads(net, path)?,
            None => net.taps().iter().map(|(_, channels)| vec![1.0; *channels]).collect(),
        };
        let taps = net.taps().iter().zip(weights);
        let taps = taps.map(|((tap, _), weights)| TapDistance::lpips(*tap, weights)).collect();
        let (last, _) = net.taps()[net.taps().len() - 1];
        let trunk = net.trunk().open_to(last, trunk, seed, device)?;
        Ok(Self { net, distance: PerceptualDistance::new(trunk, taps)?, heads })
    }

    /// Returns the network.
    pub fn net(&self) -> LpipsNet {
        self.net
    }

    /// The distance itself, to be minimised for example.
    pub fn distance(&self) -> &PerceptualDistance {
        &self.distance
    }

    /// Returns true if both trunk and heads have learned weights.
    pub fn is_trained(&self) -> bool {
        !is_random(self.distance.net()) && self.heads.is_some()
    }

    /// Describes the origin of the weights.
    pub fn origin(&self) -> String {
        let heads = match self.heads.as_deref().and_then(Path::file_name) {
            Some(name) => format!("heads {}", name.display()),
            None => "heads of 1".into(),
        };
        format!("{}, {heads}", self.distance.net().origin())
    }

    /// Distances of images, from which follow one number per image, one per layer, and a map.
    /// Differentiable in `a`.
    ///
    /// # Shapes
    /// two `(N, 3, H, W)`
    ///
    /// # Errors
    /// If the images are smaller than [`LpipsNet::smallest_side`], or not of one number and size.
    pub fn between(&self, a: &Images, b: &Images) -> Result<Distances, EvalError> {
        let smallest = self.net.smallest_side();
        for images in [a, b] {
            if images.height().min(images.width()) < smallest {
                return Err(EvalError::Net(NetError::Size {
                    operation: self.net.name().into(),
                    expected: Sides { least: smallest, most: None },
                    found: (images.height(), images.width()),
                }));
            }
        }
        Ok(self.distance.between(a, &self.distance.targets(b)?)?)
    }

    /// One number per image.
    ///
    /// # Shapes
    /// two `(N, 3, H, W)` -> `(N)`
    ///
    /// # Errors
    /// As [`Self::between`].
    pub fn per_sample(&self, a: &Images, b: &Images) -> Result<Tensor, EvalError> {
        Ok(self.between(a, b)?.per_sample()?)
    }
}

/// The weights of all heads; everything that is wrong with the file is listed at once.
fn read_heads(net: LpipsNet, path: &Path) -> Result<Vec<Vec<f32>>, EvalError> {
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let (mut heads, mut problems) = (Vec::new(), Vec::new());
    let name = |index: usize| format!("lin{index}.weight");
    for (index, (_, channels)) in net.taps().iter().enumerate() {
        let (name, view) = (name(index), file.tensor(&name(index)));
        let Ok(view) = view else {
            problems.push(format!("{name}: missing, expected shape [{channels}]"));
            continue;
        };
        match values_of(&view).filter(|_| view.shape() == [*channels]) {
            None => problems.push(format!(
                "{name}: expected f32 or f16 [{channels}], found {:?} {:?}",
                view.dtype(),
                view.shape()
            )),
            Some(weights) => match weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
                Some(weight) => problems.push(format!("{name}: holds {weight}")),
                None => heads.push(weights),
            },
        }
    }
    let known: Vec<String> = (0..net.taps().len()).map(name).collect();
    let mut others: Vec<&str> = file.names().into_iter().collect();
    others.retain(|name| !known.iter().any(|known| known == name));
    others.sort_unstable();
    problems.extend(others.into_iter().map(|name| format!("{name}: unexpected")));
    if problems.is_empty() {
        return Ok(heads);
    }
    Err(NetError::Mismatch { path: path.into(), net: net.name().into(), problems }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_nets::PixelFormat;

    fn grey(height: usize, width: usize) -> Result<Images, EvalError> {
        let bytes = vec![99; 3 * height * width];
        Ok(Images::from_u8(&bytes, 1, height, width, PixelFormat::RGB_U8, &Device::Cpu)?)
    }

    #[test]
    fn the_smallest_side_is_the_smallest_that_the_network_takes() -> Result<(), EvalError> {
        for net in LpipsNet::ALL {
            let lpips = Lpips::untrained(net, None, 0, &Device::Cpu)?;
            let side = net.smallest_side();
            let (least, below) = (grey(side, side)?, grey(side, side - 1)?);
            assert_eq!(lpips.per_sample(&least, &least)?.to_vec1::<f32>()?, [0.0]);
            let message = lpips.between(&below, &below).expect_err("too small").to_string();
            assert!(message.contains(&format!("sides of at least {side} pixels")), "{message}");
            // The network itself refuses it, too: the limit is not stricter than need be.
            assert!(lpips.distance().targets(&below).is_err());
            assert!(!lpips.is_trained());
            assert_eq!(lpips.origin(), "random weights (seed 0), heads of 1");
        }
        Ok(())
    }

    #[test]
    fn missing_files_are_refused_unless_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        for net in LpipsNet::ALL {
            let message = Lpips::open(net, folder.path(), &Device::Cpu).expect_err("no files");
            let message = message.to_string();
            assert!(message.contains(&format!("{net}.safetensors")), "{message}");
            assert!(message.contains("found neither"), "{message}");
            assert!(!net.is_in(folder.path()));
        }
    }

    /// A safetensors file of zeros.
    fn file(tensors: &[(&str, usize, f32)]) -> Vec<u8> {
        let (mut header, mut data) = (Vec::new(), Vec::new());
        for (name, len, value) in tensors {
            let start = data.len();
            data.extend(std::iter::repeat_n(value.to_le_bytes(), *len).flatten());
            let end = data.len();
            header.push(format!(
                r#""{name}":{{"dtype":"F32","shape":[{len}],"data_offsets":[{start},{end}]}}"#
            ));
        }
        let header = format!("{{{}}}", header.join(","));
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }

    #[test]
    fn heads_that_do_not_fit_are_listed() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lpips-alex.safetensors");
        let good: Vec<(String, usize)> =
            ALEX.iter().enumerate().map(|(i, (_, c))| (format!("lin{i}.weight"), *c)).collect();
        let mut tensors: Vec<(&str, usize, f32)> =
            good.iter().map(|(name, channels)| (name.as_str(), *channels, 0.5)).collect();
        std::fs::write(&path, file(&tensors))?;
        let heads = read_heads(LpipsNet::Alex, &path)?;
        assert_eq!(heads.iter().map(Vec::len).sum::<usize>(), 64 + 192 + 384 + 256 + 256);

        tensors[0].1 = 63;
        tensors[1].2 = -1.0;
        tensors[2].0 = "lin7.weight";
        tensors[3].2 = f32::NAN;
        std::fs::write(&path, file(&tensors))?;
        let message = read_heads(LpipsNet::Alex, &path).expect_err("wrong heads").to_string();
        for words in [
            "lin0.weight: expected f32 or f16 [64], found F32 [63]",
            "lin1.weight: holds -1",
            "lin2.weight: missing, expected shape [384]",
            "lin3.weight: holds NaN",
            "lin7.weight: unexpected",
        ] {
            assert!(message.contains(words), "{message}");
        }
        std::fs::write(&path, b"not one")?;
        assert!(read_heads(LpipsNet::Alex, &path).is_err());
        Ok(())
    }
}
