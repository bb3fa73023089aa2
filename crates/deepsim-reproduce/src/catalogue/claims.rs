//! The claims: effects that the paper reports, or lets expect, of several rows.

use deepsim_eval::measure::error::IMAGE_SPACE;
use deepsim_eval::measure::samples::{FRECHET, HIGH_FREQUENCIES as OF_SAMPLES, KERNEL};
use deepsim_eval::measure::sharpness::HIGH_FREQUENCIES;
use deepsim_run::identity::Method::{
    self, DeePSiM, ImageOnly, NoAdversarial, NoFeature, Optimised, OtherComparator, SquaredError,
};

use super::{Claim, Quantity, Source, Than};

/// Table 3.
pub(super) const RECONSTRUCTIONS: &[Claim] = &[
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "error",
        quantity: Quantity::Named(IMAGE_SPACE),
        larger: true,
        text: "{run} is worse than {other} in Euclidean error",
        source: Source::Paper,
    },
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "error",
        quantity: Quantity::Independent(&[]),
        larger: false,
        text: "{run} is closer than {other} in the {quantity}",
        source: Source::Argument,
    },
];

/// Figure 4: samples of the paper's loss against those of the squared error.
pub(super) const SAMPLES: &[Claim] = &[
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "samples",
        quantity: Quantity::Named(OF_SAMPLES),
        larger: true,
        text: "samples of {run} are sharper than those of {other}",
        source: Source::Argument,
    },
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "samples",
        quantity: Quantity::Independent(&[FRECHET, KERNEL]),
        larger: false,
        text: "samples of {run} are nearer to photographs than those of {other} ({quantity})",
        source: Source::Argument,
    },
];

/// Table 6: an effect of a method beside the paper's.
const fn inversion(
    of: &'static [Method],
    quantity: Quantity,
    larger: bool,
    text: &'static str,
) -> Claim {
    let (than, measure, source) = (Than::Method(DeePSiM), "error", Source::Recalled);
    Claim { of, than, measure, quantity, larger, text, source }
}

const IMAGE: Quantity = Quantity::Named(IMAGE_SPACE);
const FEATURE: Quantity = Quantity::Inverted;

/// Effects that Table 6 shows whatever its exact digits.
pub(super) const INVERSIONS: &[Claim] = &[
    Claim {
        than: Than::LayerBelow,
        ..inversion(&[DeePSiM], IMAGE, true, "{run}: larger error in image space than {other}")
    },
    inversion(
        &[ImageOnly],
        IMAGE,
        false,
        "{run}: smaller error in image space than with the whole loss",
    ),
    inversion(
        &[ImageOnly],
        FEATURE,
        true,
        "{run}: larger error in feature space than with the whole loss",
    ),
    inversion(&[Optimised], IMAGE, true, "{run}: larger error in image space than the generator"),
    inversion(
        &[Optimised],
        FEATURE,
        false,
        "{run}: smaller error in feature space than the generator",
    ),
    inversion(
        &[OtherComparator],
        IMAGE,
        false,
        "{run}: smaller error in image space than with the encoder as comparator",
    ),
    inversion(
        &[OtherComparator],
        FEATURE,
        true,
        "{run}: larger error in feature space than with the encoder as comparator",
    ),
];

/// Effects that the paper's text describes for Figure 7.
pub(super) const ABLATION: &[Claim] = &[
    Claim {
        measure: "sharpness",
        source: Source::Paper,
        ..inversion(
            &[ImageOnly],
            Quantity::Named(HIGH_FREQUENCIES),
            false,
            "{run} is smoother than the whole loss",
        )
    },
    Claim {
        measure: "sharpness",
        source: Source::Paper,
        ..inversion(
            &[NoAdversarial],
            Quantity::Named(HIGH_FREQUENCIES),
            true,
            "{run} is noisier than the whole loss",
        )
    },
    Claim {
        source: Source::Paper,
        ..inversion(
            &[NoFeature],
            FEATURE,
            true,
            "{run} draws other objects: larger error in feature space than the whole loss",
        )
    },
];
