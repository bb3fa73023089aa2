//! The tables of runs: one row for each generator of sections 4.1 and 4.2 and of small inversions, and one for each method
//! of section 4.3.

use deepsim_run::identity::Method;

use super::Experiment;
use super::Experiment::{Autoencoder, SmallInversion, SmallVae, Vae};
use Method::{AbsoluteError, DeePSiM, EnergyScore, ImageOnly, Noise, SquaredError};

/// A run that no layer is chosen for.
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) recipe: &'static str,
    pub(super) overrides: &'static [&'static str],
    pub(super) experiment: Experiment,
    pub(super) method: Method,
    /// True if it compares with the network that is inverted in section 4.3.
    pub(super) with_encoder: bool,
}

const fn row(id: &'static str, label: &'static str, experiment: Experiment, method: Method) -> Row {
    Row { id, label, recipe: id, overrides: &[], experiment, method, with_encoder: false }
}

/// Run that compares with AlexNet.
pub(crate) const ALEXNET: &str = "autoencoder-alexnet-conv3";
/// Run that stands in for it where AlexNet's weights are not there: with a network of the same shape, which was
/// trained without labels and comes with the project.
pub(crate) const INSTANCE: &str = "autoencoder-instance-conv3";
/// Run whose weights those of the paper's method begin with, in presets that have them do so.
pub(crate) const FIRST: &str = "autoencoder-se";

/// Noise beside the features, as in the recipe `preimages`.
const NOISE: &[&str] = &["inversion.noise=64", "inversion.global_noise=32"];
/// [`NOISE`], with a reward for draws that differ of the weight of the adversarial term.
const NOISE_SEEKING: &[&str] = &[
    "inversion.noise=64",
    "inversion.global_noise=32",
    "draws=2",
    "terms.mode_seeking.weight=100",
];

/// Runs of sections 4.1 and 4.2, and of 4.3 at 64 pixels.
pub(super) const ROWS: &[Row] = &[
    row(FIRST, "SE", Autoencoder, SquaredError),
    row("autoencoder-l1", "l1", Autoencoder, AbsoluteError),
    row(ALEXNET, "AlexNet CONV3", Autoencoder, DeePSiM),
    Row {
        recipe: "autoencoder-alexnet-conv3",
        overrides: &["feature.comparator=alexnet-instance"],
        ..row(INSTANCE, "Instance net CONV3", Autoencoder, DeePSiM)
    },
    row("autoencoder-exemplar-cnn-conv3", "Exemplar-CNN CONV3", Autoencoder, DeePSiM),
    Row {
        recipe: "autoencoder-alexnet-conv3",
        overrides: &["feature.tap=CONV5"],
        ..row("autoencoder-alexnet-conv5", "AlexNet CONV5", Autoencoder, DeePSiM)
    },
    row("vae-se", "VAE SE", Vae, SquaredError),
    Row { with_encoder: true, ..row("vae-alexnet-conv5", "VAE AlexNet CONV5", Vae, DeePSiM) },
    Row { with_encoder: true, ..row("vae-alexnet-fc6", "VAE AlexNet FC6", Vae, DeePSiM) },
    row("vae-videonet-conv5", "VAE VideoNet CONV5", Vae, DeePSiM),
    row("vae-small-se", "small VAE SE", SmallVae, SquaredError),
    row("vae-small-alexnet-conv3", "small VAE AlexNet CONV3", SmallVae, DeePSiM),
    Row {
        recipe: "inversion-small",
        overrides: &["inversion.tap=CONV3", "feature=", "adversarial="],
        ..row(
            "inversion-small-conv3-image",
            "small CONV3 image loss only",
            SmallInversion,
            ImageOnly,
        )
    },
    Row {
        recipe: "inversion-small",
        overrides: &["inversion.tap=CONV3"],
        ..row("inversion-small-conv3", "small CONV3 DeePSiM", SmallInversion, DeePSiM)
    },
    Row {
        recipe: "inversion-small",
        ..row("inversion-small-conv5", "small CONV5 DeePSiM", SmallInversion, DeePSiM)
    },
    Row {
        recipe: "inversion-small",
        overrides: &["feature=", "adversarial="],
        ..row(
            "inversion-small-conv5-image",
            "small CONV5 image loss only",
            SmallInversion,
            ImageOnly,
        )
    },
    Row {
        recipe: "inversion-small",
        overrides: NOISE,
        ..row("preimages-noise", "small CONV5 DeePSiM, with noise", SmallInversion, Noise)
    },
    Row {
        recipe: "inversion-small",
        overrides: NOISE_SEEKING,
        ..row(
            "preimages-mode-seeking",
            "small CONV5 DeePSiM, with noise and mode seeking",
            SmallInversion,
            Noise,
        )
    },
    row("preimages", "small CONV5 energy score", SmallInversion, EnergyScore),
];

/// Training method of an inversion.
pub(super) struct Variant {
    pub(super) method: Method,
    pub(super) label: &'static str,
    pub(super) suffix: &'static str,
    pub(super) overrides: &'static [&'static str],
}

const fn variant(
    method: Method,
    label: &'static str,
    suffix: &'static str,
    overrides: &'static [&'static str],
) -> Variant {
    Variant { method, label, suffix, overrides }
}

/// Runs of section 4.3, each for every layer.
pub(super) const VARIANTS: &[Variant] = &[
    variant(Method::DeePSiM, "DeePSiM", "", &[]),
    variant(Method::NoImage, "without image loss", "-no-image", &["image.weight=0"]),
    variant(Method::NoFeature, "without feature loss", "-no-feature", &["feature="]),
    variant(
        Method::NoAdversarial,
        "without adversarial loss",
        "-no-adversarial",
        &["adversarial="],
    ),
    variant(Method::ImageOnly, "image loss only", "-image", &["feature=", "adversarial="]),
    variant(
        Method::AdversarialOnly,
        "adversarial loss only",
        "-adversarial",
        &["feature=", "image.weight=0"],
    ),
    // With Adam the weight of a lone term hardly matters.
    variant(
        Method::AbsoluteError,
        "absolute error only",
        "-l1",
        &["feature=", "adversarial=", "image.distance=absolute-error", "image.weight=2e-4"],
    ),
    // Squared error, and no convolutions between up-convolutions.
    variant(
        Method::Plain,
        "Dosovitskiy & Brox 2015",
        "-plain",
        &["feature=", "adversarial=", "inversion.plain=true"],
    ),
    // The paper does not say with which weight.
    variant(
        Method::OtherComparator,
        "DeePSiM, VideoNet CONV5",
        "-videonet",
        &["feature.comparator=videonet", "feature.weight=", "feature.rho=2"],
    ),
    variant(Method::Noise, "DeePSiM, with noise", "-noise", &["inversion.noise=64"]),
];
