//! The generators of section 4.3: for each layer the paper's, and those it is compared with.

use clap::ValueEnum;

use super::{Cost, Run};
use crate::targets::Experiment;

/// A layer of the inverted network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Layer {
    /// The last convolution, with the pooling after it
    #[value(name = "CONV5")]
    Conv5,
    /// The first fully connected layer
    #[value(name = "FC6")]
    Fc6,
    /// The second one
    #[value(name = "FC7")]
    Fc7,
    /// The scores of classes
    #[value(name = "FC8")]
    Fc8,
}

impl Layer {
    /// All of them, from the image up.
    pub(crate) const ALL: [Self; 4] = [Self::Conv5, Self::Fc6, Self::Fc7, Self::Fc8];

    /// The paper's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Conv5 => "CONV5",
            Self::Fc6 => "FC6",
            Self::Fc7 => "FC7",
            Self::Fc8 => "FC8",
        }
    }

    /// 10⁶ weights of the generator, and of the discriminator that sees the layer's features if there is
    /// one.
    fn weights(self, variant: Variant) -> f64 {
        let (generator, discriminator) = match self {
            Self::Conv5 => (12.7, 11.4),
            Self::Fc6 | Self::Fc7 => (56.1, 6.1),
            Self::Fc8 => (43.4, 3.0),
        };
        generator + if variant.lacks.contains(&"adversarial") { 0.0 } else { discriminator }
    }

    /// The layer on which variants of the loss are compared: FC6 as in the paper, else the first.
    pub(crate) fn main(layers: &[Self]) -> Option<Self> {
        if layers.contains(&Self::Fc6) { Some(Self::Fc6) } else { layers.first().copied() }
    }
}

/// The network that is inverted, and is the comparator too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoder {
    /// Its name.
    pub(crate) name: String,
    /// Whether the weight of the feature term is calibrated. The paper's is for BVLC's CaffeNet.
    pub(crate) calibrated: bool,
}

/// What a generator is trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Variant {
    label: &'static str,
    suffix: &'static str,
    sets: &'static [&'static str],
    lacks: &'static [&'static str],
    /// As `deepsim plan` counts for CONV5; the other layers differ by less than a tenth.
    gflop: f64,
}

/// The paper's loss.
pub(crate) const FULL: Variant =
    Variant { label: "DeePSiM", suffix: "", sets: &[], lacks: &[], gflop: 17.6 };

pub(crate) const NO_IMAGE: Variant =
    Variant { label: "without image loss", suffix: "-no-image", sets: &["image.weight=0"], ..FULL };

pub(crate) const NO_FEATURE: Variant = Variant {
    label: "without feature loss",
    suffix: "-no-feature",
    sets: &["feature="],
    lacks: &["feature"],
    gflop: 15.0,
};

pub(crate) const NO_ADVERSARIAL: Variant = Variant {
    label: "without adversarial loss",
    suffix: "-no-adversarial",
    sets: &["adversarial="],
    lacks: &["adversarial"],
    gflop: 10.7,
};

pub(crate) const IMAGE_ONLY: Variant = Variant {
    label: "image loss only",
    suffix: "-image",
    sets: &["feature=", "adversarial="],
    lacks: &["feature", "adversarial"],
    gflop: 8.1,
};

pub(crate) const ADVERSARIAL_ONLY: Variant = Variant {
    label: "adversarial loss only",
    suffix: "-adversarial",
    sets: &["feature=", "image.weight=0"],
    ..NO_FEATURE
};

/// Absolute error; with Adam the weight of a lone term hardly matters.
pub(crate) const L1: Variant = Variant {
    label: "absolute error only",
    suffix: "-l1",
    sets: &["feature=", "adversarial=", "image.distance=absolute-error", "image.weight=2e-4"],
    ..IMAGE_ONLY
};

/// Squared error, and no convolutions between up-convolutions.
pub(crate) const PLAIN: Variant = Variant {
    label: "Dosovitskiy & Brox 2015",
    suffix: "-plain",
    sets: &["feature=", "adversarial=", "inversion.plain=true"],
    gflop: 5.4,
    ..IMAGE_ONLY
};

/// Another comparator; the paper does not say with which weight.
pub(crate) const VIDEONET: Variant = Variant {
    label: "DeePSiM, VideoNet CONV5",
    suffix: "-videonet",
    sets: &["feature.comparator=videonet", "feature.weight=", "feature.rho=2"],
    gflop: 19.0,
    ..FULL
};

/// Noise beside the features.
pub(crate) const NOISE: Variant = Variant {
    label: "DeePSiM, with noise",
    suffix: "-noise",
    sets: &["inversion.noise=64"],
    ..FULL
};

/// Figure 7.
pub(crate) const ABLATION: &[Variant] =
    &[FULL, NO_IMAGE, NO_FEATURE, NO_ADVERSARIAL, IMAGE_ONLY, ADVERSARIAL_ONLY];

impl Variant {
    /// All of them, in the order of reports.
    pub(crate) const ALL: [Self; 10] = [
        FULL,
        NO_IMAGE,
        NO_FEATURE,
        NO_ADVERSARIAL,
        IMAGE_ONLY,
        ADVERSARIAL_ONLY,
        L1,
        PLAIN,
        VIDEONET,
        NOISE,
    ];
}

/// The run that trains a generator for a layer.
pub(crate) fn run(layer: Layer, variant: Variant, encoder: &Encoder) -> Run {
    let recipe = format!("inversion-{}", layer.name().to_lowercase());
    let name = format!("{recipe}{}", variant.suffix);
    let mut sets = vec![format!("name={name}"), format!("inversion.encoder={}", encoder.name)];
    if variant != VIDEONET && !variant.lacks.contains(&"feature") {
        sets.push(format!("feature.comparator={}", encoder.name));
        if encoder.calibrated {
            sets.extend(["feature.weight=".to_owned(), "feature.rho=2".to_owned()]);
        }
    }
    sets.extend(variant.sets.iter().map(|set| (*set).to_owned()));
    Run {
        label: format!("{} {}", layer.name(), variant.label),
        name,
        recipe,
        sets,
        cost: Cost { gflop: variant.gflop, weights: layer.weights(variant), image: 60.0 },
        lacks: variant.lacks,
        experiment: Experiment::Inversion,
    }
}
