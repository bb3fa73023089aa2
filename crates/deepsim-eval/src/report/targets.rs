//! The tables and figures that a report can show: which runs, which numbers, which pictures.

use super::run::{Method, Run};
use crate::measure::error::IMAGE_SPACE;
use crate::measure::{interpolate, latent, neighbours, presamples, reencode, samples};

/// What a table or figure is made of.
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Section of the paper (v1).
    pub(super) section: &'static str,
    /// Its title, unless the paper's numbers bring one.
    pub(super) title: &'static str,
    /// What the paper prints.
    pub(super) columns: &'static [Column],
    /// Where everything else that is shown was measured.
    pub(super) measures: &'static [&'static str],
    pub(super) pictures: &'static [Pictures],
    /// The runs that it is about, in order.
    pub(super) runs: fn(&[Run]) -> Vec<&Run>,
}

/// Numbers that the paper prints.
pub(super) struct Column {
    /// Key in `paper.toml`.
    pub(super) paper: &'static str,
    pub(super) measure: &'static str,
    pub(super) row: Row<'static>,
}

/// A row of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row<'a> {
    /// The first whose name starts so.
    Named(&'a str),
    /// The error at the layer that is inverted.
    Inverted,
}

impl Row<'_> {
    /// In words.
    pub(super) fn name(self) -> String {
        match self {
            Self::Named(name) => name.to_owned(),
            Self::Inverted => "the inverted layer's feature space".to_owned(),
        }
    }
}

/// Pictures of a figure.
#[derive(Clone, Copy)]
pub(super) enum Pictures {
    /// The originals, and below them what each run makes of them.
    Strips(&'static str),
    /// A file that a measure wrote for each run.
    File(&'static str, &'static str),
}

/// The row of Table 4.
pub(super) const CODE: &str = "code of the whole image";

const CODES: &str = "Test images and what each generator makes of their 8x8x8 code, clamped to 0..255 \
                     for display.";
const INVERTED: &str =
    "Test images and what each method makes of their features, clamped to 0..255 for display.";

/// What is shown of variational autoencoders.
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
const VARIATIONAL: &[&str] = &["samples", "latent", "error", "sharpness"];

/// Everything there is, in the paper's order.
pub(super) const SPECS: [Spec; 14] = [
    Spec {
        columns: &[Column { paper: "table3", measure: "error", row: Row::Named(IMAGE_SPACE) }],
        measures: &["error"],
        ..spec("table3", "4.1", "", autoencoders)
    },
    Spec {
        columns: &[Column { paper: "table4", measure: "svm", row: Row::Named(CODE) }],
        measures: &["svm"],
        ..spec("table4", "4.1", "", autoencoders)
    },
    Spec {
        measures: &["sharpness"],
        pictures: &[Pictures::Strips(CODES)],
        ..spec("fig3", "4.1", "Figure 3: reconstructions, and how sharp they are", figure3)
    },
    Spec {
        measures: VARIATIONAL,
        pictures: SAMPLED,
        ..spec("fig4", "4.2", "Figure 4: samples of variational autoencoders", |runs| {
            vaes(runs, false)
        })
    },
    Spec {
        measures: VARIATIONAL,
        pictures: SAMPLED,
        ..spec("fig4-small", "4.2", "Figure 4 with pictures of 64 pixels", |runs| vaes(runs, true))
    },
    Spec {
        columns: &[
            Column { paper: "table6-image", measure: "error", row: Row::Named(IMAGE_SPACE) },
            Column { paper: "table6-feature", measure: "error", row: Row::Inverted },
        ],
        measures: &["error", "recognise"],
        ..spec("table6", "4.3", "Table 6: normalised error of inversions", compared)
    },
    Spec {
        pictures: &[Pictures::Strips(INVERTED)],
        ..spec("fig1", "1", "Figure 1: one loss after the other", components)
    },
    Spec {
        pictures: &[Pictures::Strips(INVERTED)],
        ..spec("fig5", "4.3", "Figure 5: inversions of each layer", ours)
    },
    Spec {
        pictures: &[Pictures::Strips(INVERTED)],
        ..spec("fig6", "4.3", "Figure 6: inversions by each method", methods)
    },
    Spec {
        measures: &["error", "sharpness", "recognise"],
        pictures: &[Pictures::Strips(INVERTED)],
        ..spec("fig7", "4.3", "Figure 7: without one loss or the other", components)
    },
    Spec {
        measures: &["reencode"],
        pictures: &[Pictures::File(
            reencode::PICTURES,
            "From the top: the images, then what they are after 1, 2, 4 and 8 rounds of encoding and \
             generating, unclipped in between.",
        )],
        ..spec("fig8", "4.3", "Figure 8: inversions of inversions", ours)
    },
    Spec {
        pictures: &[Pictures::File(
            interpolate::PICTURES,
            "Between two images, at the ends: their features mixed linearly.",
        )],
        ..spec("fig9", "4.3", "Figure 9: images between two images", ours)
    },
    Spec {
        measures: &["presamples"],
        pictures: &[Pictures::File(
            presamples::PICTURES,
            "An image, and images drawn from its features with different noise.",
        )],
        ..spec("presamples", "4.3", "Sampling pre-images: does noise make a difference?", noisy)
    },
    Spec {
        measures: &["neighbours"],
        pictures: &[Pictures::File(
            neighbours::PICTURES,
            "From the top: the images, the training images nearest to them in image space and by the \
             inverted features, and the reconstructions.",
        )],
        ..spec("neighbours", "supplement", "Nearest training images", ours)
    },
];

const fn spec(
    name: &'static str,
    section: &'static str,
    title: &'static str,
    runs: fn(&[Run]) -> Vec<&Run>,
) -> Spec {
    Spec { name, section, title, columns: &[], measures: &[], pictures: &[], runs }
}

fn of(runs: &[Run], wanted: impl Fn(Method) -> bool) -> Vec<&Run> {
    runs.iter().filter(|run| run.inversion.as_ref().is_some_and(|(_, m)| wanted(*m))).collect()
}

fn autoencoders(runs: &[Run]) -> Vec<&Run> {
    runs.iter().filter(|run| run.inversion.is_none() && run.vae().is_none()).collect()
}

/// Variational autoencoders, the small ones or the others.
fn vaes(runs: &[Run], small: bool) -> Vec<&Run> {
    runs.iter().filter(|run| run.vae().is_some_and(|is| is == small)).collect()
}

/// From the image up: CONV5, FC6, FC7, FC8 are in order.
fn by_layer(mut runs: Vec<&Run>) -> Vec<&Run> {
    runs.sort_by_key(|run| run.inversion.as_ref().map(|(tap, _)| tap.clone()));
    runs
}

/// In the order of the paper's figure, others after them.
fn figure3(runs: &[Run]) -> Vec<&Run> {
    const ROWS: [&str; 4] = ["AlexNet CONV3", "Exemplar-CNN CONV3", "SE", "l1"];
    let mut runs = autoencoders(runs);
    let place = |run: &&Run| ROWS.iter().position(|label| *label == run.label);
    runs.sort_by_key(|run| place(run).unwrap_or(ROWS.len()));
    runs
}

fn ours(runs: &[Run]) -> Vec<&Run> {
    by_layer(of(runs, |method| method == Method::Ours))
}

fn noisy(runs: &[Run]) -> Vec<&Run> {
    of(runs, |method| method == Method::Noise)
}

/// All but the ablation's.
fn compared(runs: &[Run]) -> Vec<&Run> {
    of(runs, |method| !matches!(method, Method::Noise | Method::Ablation))
}

/// Layer by layer.
fn methods(runs: &[Run]) -> Vec<&Run> {
    use Method::{Optimised, Ours, Plain, Released};
    by_layer(of(runs, |method| matches!(method, Ours | Plain | Optimised | Released)))
}

/// The paper's loss and parts of it, for the layer that has such runs.
fn components(runs: &[Run]) -> Vec<&Run> {
    use Method::{Ablation, ImageOnly, Ours, ReleasedImageOnly};
    let parts = of(runs, |method| matches!(method, Ablation | ImageOnly));
    let tap = parts.first().and_then(|run| Some(run.inversion.as_ref()?.0.clone()));
    let same = |run: &&Run| run.inversion.as_ref().map(|(tap, _)| tap) == tap.as_ref();
    let mut runs =
        of(runs, |method| matches!(method, Ours | Ablation | ImageOnly | ReleasedImageOnly));
    runs.retain(same);
    runs
}
