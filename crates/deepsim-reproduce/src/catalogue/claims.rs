//! The claims: effects that the paper reports, or lets expect, of several rows.

use deepsim_eval::measure::error::IMAGE_SPACE;
use deepsim_eval::measure::samples::{BAND_DISTANCE as OF_SAMPLES, FRECHET, KERNEL};
use deepsim_eval::measure::sharpness::{BAND_DISTANCE, GRID, HIGH_FREQUENCIES};
use deepsim_run::identity::Method::{
    self, DeePSiM, EnergyScore, ImageOnly, NoAdversarial, NoFeature, Optimised, OtherComparator,
    SquaredError,
};

use super::{Claim, Quantity, Source, Than};

/// Reconstructions are nearer in features that no generator is trained with.
const NEARER: Claim = Claim {
    of: &[DeePSiM],
    than: Than::Method(SquaredError),
    measure: "error",
    quantity: Quantity::Independent(&[]),
    larger: false,
    text: "{run} is closer than {other} in the {quantity}",
    source: Source::Argument,
    and: &[],
};

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
        and: &[],
    },
    NEARER,
];

/// Largest excess of the grid of period two, in dB, that the eye does not see beside the detail of photographs.
const NO_GRID: f64 = 3.0;

/// Figure 3. More power at high frequencies does not pass for sharpness: noise has it too.
pub(super) const SHARPNESS: &[Claim] = &[Claim {
    of: &[DeePSiM],
    than: Than::Method(SquaredError),
    measure: "sharpness",
    quantity: Quantity::Named(BAND_DISTANCE),
    larger: false,
    text: "{run} is sharper than {other} and natural",
    source: Source::Argument,
    and: &[
        Claim {
            of: &[DeePSiM],
            than: Than::Value(NO_GRID),
            measure: "sharpness",
            quantity: Quantity::Named(GRID),
            larger: false,
            text: "no grid",
            source: Source::Argument,
            and: &[],
        },
        Claim { text: "nearer in the {quantity}", ..NEARER },
    ],
}];

/// Figure 4: samples of the paper's loss against those of the squared error.
pub(super) const SAMPLES: &[Claim] = &[
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "samples",
        quantity: Quantity::Named(OF_SAMPLES),
        larger: false,
        text: "samples of {run} have detail nearer to photographs' than those of {other}",
        source: Source::Argument,
        and: &[],
    },
    Claim {
        of: &[DeePSiM],
        than: Than::Method(SquaredError),
        measure: "samples",
        quantity: Quantity::Independent(&[FRECHET, KERNEL]),
        larger: false,
        text: "samples of {run} are nearer to photographs than those of {other} ({quantity})",
        source: Source::Argument,
        and: &[],
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
    Claim { of, than, measure, quantity, larger, text, source, and: &[] }
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

/// Effects that a sampler of pre-images should show, after the measures of `docs/results/preimages`.
pub(super) const PREIMAGES: &[Claim] = &[Claim {
    of: &[EnergyScore],
    than: Than::Value(50.0),
    measure: "preimages",
    quantity: Quantity::Named("share of photographs' distance, image space"),
    larger: true,
    text: "{run}: images of one feature vector are at least half as far apart as photographs",
    source: Source::Argument,
    and: &[Claim {
        of: &[EnergyScore],
        than: Than::Method(DeePSiM),
        measure: "preimages",
        quantity: Quantity::Named("energy score, image space"),
        larger: false,
        text: "{run} has a smaller energy score than {other}",
        source: Source::Argument,
        and: &[],
    }],
}];
