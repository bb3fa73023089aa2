//! The targets: tables and figures, one row each, in the paper's order.

use deepsim_eval::measure::{
    interpolate, latent, neighbours, preimages, presamples, reencode, samples,
};
use deepsim_run::identity::Method::{
    AbsoluteError, AdversarialOnly, DeePSiM, ImageOnly, NoAdversarial, NoFeature, NoImage, Noise,
    Optimised, OtherComparator, Plain, SquaredError,
};

use super::claims::{ABLATION, INVERSIONS, PREIMAGES, RECONSTRUCTIONS, SAMPLES, SHARPNESS};
use super::paper::{CODE, TABLE3, TABLE4, TABLE6_FEATURE, TABLE6_IMAGE};
use super::{Claim, Column, Experiment, Pictures, Quantity, Runs, Source, Target, Than};

const AUTOENCODERS: Runs = Runs::Named(&[
    "autoencoder-se",
    "autoencoder-l1",
    "autoencoder-alexnet-conv3",
    "autoencoder-instance-conv3",
    "autoencoder-exemplar-cnn-conv3",
]);
/// In the order of the paper's figure.
const FIGURE3: Runs = Runs::Named(&[
    "autoencoder-alexnet-conv3",
    "autoencoder-instance-conv3",
    "autoencoder-exemplar-cnn-conv3",
    "autoencoder-se",
    "autoencoder-l1",
]);
const VAES: Runs =
    Runs::Named(&["vae-se", "vae-alexnet-conv5", "vae-alexnet-fc6", "vae-videonet-conv5"]);
const SMALL_VAES: Runs = Runs::Named(&["vae-small-se", "vae-small-alexnet-conv3"]);
const OURS: Runs = Runs::Inversions { each: &[DeePSiM], main: &[] };

const CODES: &[Pictures] = &[Pictures::Strips(
    "Test images and what each generator makes of their 8x8x8 code, clamped to 0..255 for display.",
)];
const INVERTED: &[Pictures] = &[Pictures::Strips(
    "Test images and what each method makes of their features, clamped to 0..255 for display.",
)];
const SAMPLED: &[Pictures] = &[
    Pictures::File(
        samples::ROW,
        "Samples: images of codes drawn from N(0, 1), the same codes in each row where networks have the \
         same shape.",
    ),
    Pictures::Strips("Test images and what each autoencoder makes of the mean of their codes."),
    Pictures::File(
        interpolate::PICTURES,
        "Between two images, at the ends: the means of their codes mixed linearly.",
    ),
    Pictures::File(
        latent::PICTURE,
        "How much each dimension of the code holds, largest first: divergence from the prior, the highest \
         bar as high as the picture.",
    ),
];

/// A target without numbers and pictures.
const fn target(
    id: &'static str,
    paper: &'static str,
    experiment: Experiment,
    runs: Runs,
    about: &'static str,
    title: &'static str,
) -> Target {
    let section = match experiment {
        Experiment::Autoencoder => "4.1",
        Experiment::Vae | Experiment::SmallVae => "4.2",
        Experiment::Inversion | Experiment::SmallInversion => "4.3",
    };
    Target {
        id,
        about,
        paper,
        section,
        title,
        experiment,
        runs,
        measures: &[],
        columns: &[],
        shown: &[],
        pictures: &[],
        claims: &[],
        by_name_only: false,
    }
}

/// Every target.
pub static TARGETS: &[Target] = &[
    Target {
        columns: &[TABLE3],
        shown: &["error"],
        claims: RECONSTRUCTIONS,
        ..target(
            "table3",
            "v1 Table 3",
            Experiment::Autoencoder,
            AUTOENCODERS,
            "Normalised Euclidean error of the autoencoders' reconstructions",
            "Table 3: normalised Euclidean error of reconstructions, image space",
        )
    },
    Target {
        claims: RECONSTRUCTIONS,
        columns: &[Column { printed: &[], ..TABLE3 }],
        shown: &["error"],
        by_name_only: true,
        ..target(
            "table3-conv5",
            "",
            Experiment::Autoencoder,
            Runs::Named(&[
                "autoencoder-se",
                "autoencoder-alexnet-conv3",
                "autoencoder-alexnet-conv5",
            ]),
            "Table 3 with the comparator's CONV5 beside CONV3; only by its name",
            "Table 3 with the comparator's CONV5 beside CONV3",
        )
    },
    Target {
        columns: &[TABLE4],
        shown: &["svm"],
        claims: &[Claim {
            of: &[DeePSiM],
            than: Than::Method(SquaredError),
            measure: "svm",
            quantity: Quantity::Named(CODE),
            larger: true,
            text: "the code of {run} is better for classification than {other}'s",
            source: Source::Paper,
            and: &[],
        }],
        ..target(
            "table4",
            "v1 Table 4",
            Experiment::Autoencoder,
            AUTOENCODERS,
            "Accuracy of linear SVMs on the autoencoders' code",
            "Table 4: accuracy of linear SVMs on the code",
        )
    },
    Target {
        shown: &["sharpness"],
        pictures: CODES,
        claims: SHARPNESS,
        ..target(
            "fig3",
            "v1 Figure 3",
            Experiment::Autoencoder,
            FIGURE3,
            "Reconstructions of the autoencoders side by side",
            "Figure 3: reconstructions, and how sharp they are",
        )
    },
    Target {
        shown: VARIATIONAL,
        pictures: SAMPLED,
        claims: SAMPLES,
        ..target(
            "fig4",
            "v1 Figure 4",
            Experiment::Vae,
            VAES,
            "Samples of variational autoencoders, reconstructions, mixtures, and what codes hold",
            "Figure 4: samples of variational autoencoders",
        )
    },
    Target {
        shown: VARIATIONAL,
        pictures: SAMPLED,
        claims: SAMPLES,
        ..target(
            "fig4-small",
            "",
            Experiment::SmallVae,
            SMALL_VAES,
            "The same with images of 64 pixels, for machines without a GPU",
            "Figure 4 with pictures of 64 pixels",
        )
    },
    Target {
        columns: &[TABLE6_IMAGE, TABLE6_FEATURE],
        shown: &["error", "recognise"],
        claims: INVERSIONS,
        ..target(
            "table6",
            "v1 Table 6 = v2 Table 2",
            Experiment::Inversion,
            Runs::Inversions {
                each: &[DeePSiM, Plain, Optimised],
                main: &[ImageOnly, AbsoluteError, OtherComparator],
            },
            "Normalised Euclidean error of inversions, image space and feature space",
            "Table 6: normalised error of inversions",
        )
    },
    Target {
        section: "1",
        pictures: INVERTED,
        ..target(
            "fig1",
            "v1 Figure 1",
            Experiment::Inversion,
            Runs::Inversions { each: &[], main: &[ImageOnly, NoFeature, NoAdversarial, DeePSiM] },
            "Inversions with one loss after the other",
            "Figure 1: one loss after the other",
        )
    },
    Target {
        pictures: INVERTED,
        ..target(
            "fig5",
            "v1 Figure 5",
            Experiment::Inversion,
            OURS,
            "Inversions of each layer",
            "Figure 5: inversions of each layer",
        )
    },
    Target {
        pictures: INVERTED,
        ..target(
            "fig6",
            "v1 Figure 6",
            Experiment::Inversion,
            Runs::Inversions { each: &[DeePSiM, Plain, Optimised], main: &[] },
            "Inversions of each layer by each method",
            "Figure 6: inversions by each method",
        )
    },
    Target {
        shown: &["error", "sharpness", "recognise"],
        pictures: INVERTED,
        claims: ABLATION,
        ..target(
            "fig7",
            "v1 Figure 7",
            Experiment::Inversion,
            Runs::Inversions {
                each: &[],
                main: &[DeePSiM, NoImage, NoFeature, NoAdversarial, ImageOnly, AdversarialOnly],
            },
            "Ablation: inversions without one loss or the other",
            "Figure 7: without one loss or the other",
        )
    },
    Target {
        measures: &["reencode"],
        shown: &["reencode"],
        pictures: &[Pictures::File(
            reencode::PICTURES,
            "From the top: the images, then what they are after 1, 2, 4 and 8 rounds of encoding and \
             generating, unclipped in between.",
        )],
        ..target(
            "fig8",
            "v1 Figure 8",
            Experiment::Inversion,
            OURS,
            "Inversions of inversions",
            "Figure 8: inversions of inversions",
        )
    },
    Target {
        measures: &["interpolate"],
        pictures: &[Pictures::File(
            interpolate::PICTURES,
            "Between two images, at the ends: their features mixed linearly.",
        )],
        ..target(
            "fig9",
            "v1 Figure 9",
            Experiment::Inversion,
            Runs::Inversions { each: &[], main: &[DeePSiM] },
            "Images between two images",
            "Figure 9: images between two images",
        )
    },
    Target {
        measures: &["presamples"],
        shown: &["presamples"],
        pictures: &[Pictures::File(
            presamples::PICTURES,
            "An image, and images drawn from its features with different noise.",
        )],
        claims: &[Claim {
            of: &[Noise],
            // Percent of the distance between different inputs below which noise makes no difference to speak of.
            than: Than::Value(10.0),
            measure: "presamples",
            quantity: Quantity::Named("diversity, image space"),
            larger: false,
            text: "{run}: noise does not make images of one feature vector differ",
            source: Source::Paper,
            and: &[],
        }],
        ..target(
            "presamples",
            "v1 section 4.3",
            Experiment::Inversion,
            Runs::Inversions { each: &[], main: &[Noise] },
            "Test of whether noise makes images of one feature vector differ",
            "Sampling pre-images: does noise make a difference?",
        )
    },
    Target {
        columns: &[
            Column { printed: &[], ..TABLE6_IMAGE },
            Column { printed: &[], ..TABLE6_FEATURE },
        ],
        shown: &["error", "recognise"],
        ..target(
            "table6-small",
            "",
            Experiment::SmallInversion,
            SMALL_INVERSIONS,
            "Table 6 with images of 64 pixels, for machines without a GPU",
            "Table 6 with images of 64 pixels",
        )
    },
    Target {
        shown: &["sharpness"],
        pictures: INVERTED,
        ..target(
            "fig5-small",
            "",
            Experiment::SmallInversion,
            SMALL_INVERSIONS,
            "Figure 5 with images of 64 pixels, for machines without a GPU",
            "Figure 5 with images of 64 pixels",
        )
    },
    Target {
        measures: &["preimages"],
        shown: &["preimages"],
        pictures: &[Pictures::File(
            preimages::PICTURES,
            "In each row an image, and images that the generator draws of its features with different noise.",
        )],
        claims: PREIMAGES,
        ..target(
            "preimages",
            "",
            Experiment::SmallInversion,
            Runs::Named(&[
                "preimages",
                "preimages-mode-seeking",
                "preimages-noise",
                "inversion-small-conv5",
                "inversion-small-conv5-image",
            ]),
            "Different images of one feature vector, the problem that the paper leaves open",
            "Pre-images: many images of one feature vector",
        )
    },
    Target {
        section: "supplement",
        measures: &["neighbours"],
        shown: &["neighbours"],
        pictures: &[Pictures::File(
            neighbours::PICTURES,
            "From the top: the images, the training images nearest to them in image space and by the \
             inverted features, and the reconstructions.",
        )],
        ..target(
            "neighbours",
            "supplement",
            Experiment::Inversion,
            OURS,
            "Training images that are nearest to test images",
            "Nearest training images",
        )
    },
];

/// Inversions of 64 pixels.
const SMALL_INVERSIONS: Runs = Runs::Named(&[
    "inversion-small-conv3",
    "inversion-small-conv3-image",
    "inversion-small-conv5",
    "inversion-small-conv5-image",
]);

const VARIATIONAL: &[&str] = &["samples", "latent", "error", "sharpness"];
