//! Which tensors of a file are which of a network.

use deepsim_nets::{ComparatorKind, GeneratorKind};
use serde::{Serialize, Serializer};

/// A network whose weights can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// A comparator.
    Comparator(ComparatorKind),
    /// One of the authors' generators. `fc6_eucl` has the form of `fc6`.
    Generator(GeneratorKind),
    /// The linear heads of LPIPS on AlexNet.
    LpipsAlex,
    /// The linear heads of LPIPS on SqueezeNet.
    LpipsSqueeze,
    /// A mean image.
    Mean,
}

/// Channels of the layers that LPIPS compares.
const LPIPS_ALEX: [usize; 5] = [64, 192, 384, 256, 256];
const LPIPS_SQUEEZE: [usize; 7] = [64, 128, 256, 384, 384, 512, 512];
/// What becomes of a tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is this tensor of the network.
    Is(String),
    /// It is none, for this reason.
    None(&'static str),
    /// It is none, and must hold nothing but zeros.
    Zeros,
}

impl Net {
    /// All of them, those first that others contain.
    pub fn all() -> Vec<Self> {
        let comparators = ComparatorKind::ALL.map(Self::Comparator);
        let generators = GeneratorKind::ALL.map(Self::Generator);
        let others = [Self::LpipsAlex, Self::LpipsSqueeze, Self::Mean];
        comparators.into_iter().chain(generators).chain(others).collect()
    }

    /// Its name on the command line, and that of the file that is written.
    pub fn name(self) -> String {
        match self {
            Self::Comparator(kind) => kind.name().to_owned(),
            Self::Generator(kind) => format!("generator-{}", kind.name()),
            Self::LpipsAlex => "lpips-alex".to_owned(),
            Self::LpipsSqueeze => "lpips-squeeze".to_owned(),
            Self::Mean => "mean".to_owned(),
        }
    }

    /// The network of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|net| net.name() == name)
    }

    /// Names and shapes of its tensors; none for a mean image, which has any size.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let heads = |channels: &[usize]| {
            let head = |(i, n): (usize, &usize)| (format!("lin{i}.weight"), vec![*n]);
            channels.iter().enumerate().map(head).collect()
        };
        match self {
            Self::Comparator(kind) => kind.tensors(),
            Self::Generator(kind) => kind.tensors(),
            Self::LpipsAlex => heads(&LPIPS_ALEX),
            Self::LpipsSqueeze => heads(&LPIPS_SQUEEZE),
            Self::Mean => Vec::new(),
        }
    }

    /// What a tensor of a file is to this network. `names` are those of the network's tensors.
    pub(crate) fn role(self, blob: &str, names: &[&str]) -> Role {
        let known = |name: String| match names.contains(&name.as_str()) {
            true => Some(Role::Is(name)),
            false => None,
        };
        if let Some(role) = known(blob.to_owned()) {
            return role;
        }
        let (layer, part) = blob.rsplit_once('.').unwrap_or((blob, ""));
        // Names of ONNX files that were made from Caffe's: conv1_w_0, conv1_b_0.
        let onnx = [("_w_0", "weight"), ("_b_0", "bias")];
        let onnx = onnx.into_iter().find_map(|(end, part)| Some((blob.strip_suffix(end)?, part)));
        if let Some(role) = onnx.and_then(|(layer, part)| known(format!("{layer}.{part}"))) {
            return role;
        }
        let renamed = match self {
            Self::Comparator(ComparatorKind::AlexNetTorchvision) => match layer {
                "features.0" => "conv1",
                "features.3" => "conv2",
                "features.6" => "conv3",
                "features.8" => "conv4",
                "features.10" => "conv5",
                "classifier.1" => "fc6",
                "classifier.4" => "fc7",
                "classifier.6" => "fc8",
                _ => "",
            }
            .to_owned(),
            // The layer is fully connected in the release, and a convolution here.
            Self::Comparator(ComparatorKind::ExemplarCnn) => match layer {
                "fc6" => "fc4".to_owned(),
                "fc7" => return Role::None("the classifier of surrogate classes"),
                _ => String::new(),
            },
            Self::Comparator(ComparatorKind::VideoNet) if layer.ends_with("_p") => {
                return Role::None("another branch of the same weights");
            }
            // Two names of the same layers are in use.
            Self::Comparator(ComparatorKind::SqueezeNet) => layer
                .replace("squeeze1x1", "conv1x1_1")
                .replace("expand1x1", "conv1x1_2")
                .replace("expand3x3", "conv3x3_2")
                .replace("conv10", "conv_final"),
            Self::LpipsAlex | Self::LpipsSqueeze => layer.replace(".model.1", ""),
            _ => String::new(),
        };
        if let Some(role) = known(format!("{renamed}.{part}")) {
            return role;
        }
        // The authors' up-convolutions have biases that were never trained.
        let weight = format!("{layer}.weight");
        if matches!(self, Self::Generator(_)) && part == "bias" && names.contains(&weight.as_str())
        {
            return Role::Zeros;
        }
        Role::None("no such layer in the network")
    }

    /// Whether a file may end after any layer, as `ComparatorKind::open` takes it.
    pub(crate) fn may_end_early(self) -> bool {
        matches!(self, Self::Comparator(_))
    }
}

impl Serialize for Net {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}
