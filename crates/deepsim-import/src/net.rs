//! Networks whose weights can be imported, and the layers that they are made of.

use std::path::Path;

use deepsim_nets::layers::Op;
use deepsim_nets::{ComparatorKind, GeneratorKind, NetError};
use serde::{Serialize, Serializer};

/// A network whose weights can be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// A comparator.
    Comparator(ComparatorKind),
    /// One of the authors' generators. `fc6_eucl` has the form of `fc6`.
    Generator(GeneratorKind),
    /// The linear heads of LPIPS on AlexNet.
    LpipsAlex,
    /// The linear heads of LPIPS on SqueezeNet.
    LpipsSqueeze,
    /// The linear heads of LPIPS on VGG16.
    LpipsVgg,
    /// A mean image.
    Mean,
}

/// Channels of the layers that LPIPS compares.
const LPIPS_ALEX: [usize; 5] = [64, 192, 384, 256, 256];
const LPIPS_SQUEEZE: [usize; 7] = [64, 128, 256, 384, 384, 512, 512];
const LPIPS_VGG: [usize; 5] = [64, 128, 256, 512, 512];

impl Net {
    /// Returns every network; a network comes before those that contain it.
    pub fn all() -> Vec<Self> {
        let comparators = ComparatorKind::all().into_iter().map(Self::Comparator);
        let generators = GeneratorKind::ALL.map(Self::Generator);
        let others = [Self::LpipsAlex, Self::LpipsSqueeze, Self::LpipsVgg, Self::Mean];
        comparators.chain(generators).chain(others).collect()
    }

    /// Returns the name on the command line, which is also that of the written file.
    pub fn name(&self) -> String {
        match self {
            Self::Comparator(kind) => kind.name().to_owned(),
            Self::Generator(kind) => format!("generator-{}", kind.name()),
            Self::LpipsAlex => "lpips-alex".to_owned(),
            Self::LpipsSqueeze => "lpips-squeeze".to_owned(),
            Self::LpipsVgg => "lpips-vgg".to_owned(),
            Self::Mean => "mean".to_owned(),
        }
    }

    /// Returns the network of this name, or the comparator that a file describes whose path ends in `.toml`.
    ///
    /// # Errors
    /// If there is none, or the file describes none.
    pub fn by_name(name: &str) -> Result<Self, NetError> {
        let all = Self::all();
        if let Some(net) = all.iter().find(|net| net.name() == name) {
            return Ok(net.clone());
        }
        if name.ends_with(".toml") {
            return Ok(Self::Comparator(ComparatorKind::read(Path::new(name))?));
        }
        let known = all.iter().map(Self::name).collect();
        Err(NetError::UnknownComparator { known, found: name.into() })
    }

    /// Names and shapes of its tensors; none for a mean image, which has any size.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let heads = |channels: &[usize]| {
            let head = |(i, n): (usize, &usize)| (format!("lin{i}.weight"), vec![*n]);
            channels.iter().enumerate().map(head).collect()
        };
        match self {
            Self::Comparator(kind) => kind.tensors(),
            Self::Generator(kind) => kind.tensors(),
            Self::LpipsAlex => heads(&LPIPS_ALEX),
            Self::LpipsSqueeze => heads(&LPIPS_SQUEEZE),
            Self::LpipsVgg => heads(&LPIPS_VGG),
            Self::Mean => Vec::new(),
        }
    }

    /// True if a file may end after any layer, as `ComparatorKind::open` takes it.
    pub(crate) fn may_end_early(&self) -> bool {
        matches!(self, Self::Comparator(_))
    }

    /// True for the heads of LPIPS.
    pub(crate) fn is_heads(&self) -> bool {
        matches!(self, Self::LpipsAlex | Self::LpipsSqueeze | Self::LpipsVgg)
    }

    /// Groups of the convolution with this weight.
    pub(crate) fn groups(&self, weight: &str) -> usize {
        let Self::Comparator(kind) = self else { return 1 };
        let row = weight.strip_suffix(".weight").unwrap_or(weight);
        match kind.spec().layers.iter().find(|layer| layer.name == row).map(|layer| layer.op) {
            Some(Op::Conv(conv)) => conv.groups,
            _ => 1,
        }
    }
}

/// Returns the layer of a tensor: its tensors are imported together or not at all.
pub(crate) fn layer(name: &str) -> &str {
    // Modules have several convolutions: fire2/conv1x1_1.weight, features.3.squeeze.weight,
    // _blocks.3._expand_conv.weight.
    let name = name.split('/').next().unwrap_or(name);
    let numbered =
        ["features.", "classifier.", "_blocks."].iter().any(|list| name.starts_with(list));
    let parts = if numbered { 2 } else { 1 };
    name.match_indices('.').nth(parts - 1).map_or(name, |(end, _)| &name[..end])
}

/// True if a layer is of the classifier of a comparator, which other tasks replace.
pub(crate) fn is_head(layer: &str) -> bool {
    let layer = layer.trim_start_matches('_');
    ["fc", "conv_final", "classifier"].iter().any(|head| layer.starts_with(head))
}

impl Serialize for Net {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}
