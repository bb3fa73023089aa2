//! The catalogue: what can be reproduced, as tables of typed rows.
//!
//! | to add | add |
//! |---|---|
//! | a table or figure | a row of [`TARGETS`] in `targets.rs` |
//! | a generator that it trains | a row in `rows.rs` |
//! | a number that the paper prints | a row in `paper.rs` |
//! | an effect that the paper reports | a row in `claims.rs` |
//!
//! The planner, the status, the report, the help of `deepsim reproduce` and the documentation's table of targets
//! follow from these rows, or are tested against them.

mod claims;
mod inverted;
mod paper;
mod rows;
mod runs;
mod targets;
mod work;

use deepsim_run::identity::Method;
use serde::Serialize;

pub use inverted::{Encoder, Layer};
pub(crate) use paper::CODE;
pub(crate) use rows::{ALEXNET, INSTANCE};
pub use runs::{Run, label, optimised_label, runs};
pub(crate) use runs::{built_in, released};
pub use targets::TARGETS;
pub use work::{GROUPS, Group, Work, select};

/// An experiment of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Experiment {
    /// Section 4.1.
    Autoencoder,
    /// Section 4.2.
    Vae,
    /// Section 4.2 with images of 64 pixels.
    SmallVae,
    /// Section 4.3.
    Inversion,
    /// Section 4.3 with images of 64 pixels.
    SmallInversion,
}

impl Experiment {
    /// Every experiment, in the paper's order.
    pub const ALL: [Self; 5] =
        [Self::Autoencoder, Self::Vae, Self::SmallVae, Self::Inversion, Self::SmallInversion];

    /// Name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Vae => "variational autoencoder",
            Self::SmallVae => "small variational autoencoder",
            Self::Inversion => "inversion",
            Self::SmallInversion => "small inversion",
        }
    }

    /// True if the paper, or its small version here, trains on STL-10 and not on ILSVRC-2012.
    pub fn on_stl10(self) -> bool {
        matches!(self, Self::Autoencoder | Self::SmallVae | Self::SmallInversion)
    }

    /// Measures of every run of the experiment.
    pub fn measures(self) -> &'static [&'static str] {
        match self {
            Self::Autoencoder => &["error", "svm", "sharpness", "grid"],
            Self::Vae | Self::SmallVae => {
                &["error", "sharpness", "grid", "interpolate", "latent", "samples"]
            }
            Self::Inversion | Self::SmallInversion => &["error", "sharpness", "grid"],
        }
    }
}

/// A table or figure: what it needs and what it shows.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line and in reports.
    pub id: &'static str,
    /// One line for the help and the documentation.
    pub about: &'static str,
    /// Place in the paper; empty for what the paper does not have.
    pub paper: &'static str,
    /// Section of the paper (v1).
    pub section: &'static str,
    /// Heading in the report.
    pub title: &'static str,
    /// Experiment that its runs belong to.
    pub experiment: Experiment,
    /// Runs, in the order in which they are shown.
    pub runs: Runs,
    /// Measures beside those of the experiment ([`Experiment::measures`]): of every run of [`Runs::Named`], and of
    /// [`Runs::Inversions`] only of the runs by the first method.
    pub measures: &'static [&'static str],
    /// Columns of numbers that the paper prints.
    pub columns: &'static [Column],
    /// Measures whose rows the report prints beside `columns`. They must be taken: see `measures`.
    pub shown: &'static [&'static str],
    /// Pictures.
    pub pictures: &'static [Pictures],
    /// Effects that the paper reports or lets expect.
    pub claims: &'static [Claim],
    /// True if no group holds it, so that it has to be named.
    pub by_name_only: bool,
}

/// Runs of a target.
#[derive(Clone, Copy, Debug)]
pub enum Runs {
    /// Runs by id.
    Named(&'static [&'static str]),
    /// Inversions.
    Inversions {
        /// Methods by which every layer is inverted.
        each: &'static [Method],
        /// Methods by which one layer is inverted, on which they are compared: FC6 as in the paper.
        main: &'static [Method],
    },
}

impl Runs {
    /// The method that a target's own measures are taken of; all methods where `None`.
    pub(crate) fn first(self) -> Option<Method> {
        match self {
            Self::Named(_) => None,
            Self::Inversions { each, main } => each.first().or(main.first()).copied(),
        }
    }
}

/// Numbers that the paper prints: a column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// Confidence in the numbers, which is printed wherever one of them is.
    pub tag: &'static str,
    /// Largest difference at which another training is still the same result, in the same unit.
    pub tolerance: f64,
    /// Measure of ours that has the numbers.
    pub measure: &'static str,
    /// Row of that measure.
    pub quantity: Quantity,
    /// The paper's numbers, in its order.
    pub printed: &'static [Printed],
}

/// A number of the paper.
#[derive(Clone, Copy, Debug)]
pub struct Printed {
    /// Id of the run that does the same.
    pub run: &'static str,
    /// The number.
    pub value: f64,
    /// The number after its ±, if one is printed.
    pub spread: Option<f64>,
}

/// A row of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The first row whose name starts so.
    Named(&'static str),
    /// The error at the layer that is inverted.
    Inverted,
    /// Every row about a trained network that no generator is trained with; where there are names, only rows
    /// that start with one of them.
    Independent(&'static [&'static str]),
}

impl Quantity {
    /// Name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named(name) => name,
            Self::Inverted => "the inverted layer's feature space",
            Self::Independent(_) => "an independent network",
        }
    }
}

/// Pictures of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Pictures {
    /// The originals, and below them what each run makes of them; with a caption.
    Strips(&'static str),
    /// A file that a measure wrote for each run; with a caption.
    File(&'static str, &'static str),
}

/// An effect that should be there.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Methods that it is about.
    pub of: &'static [Method],
    /// Reference of the comparison.
    pub than: Than,
    /// Measure.
    pub measure: &'static str,
    /// Row of the measure.
    pub quantity: Quantity,
    /// True if the method's number should be the larger one.
    pub larger: bool,
    /// Sentence, with `{run}`, `{other}` and `{quantity}`.
    pub text: &'static str,
    /// Authority for it.
    pub source: Source,
    /// Effects that must be there too.
    pub and: &'static [Self],
}

/// Reference of a comparison.
#[derive(Clone, Copy, Debug)]
pub enum Than {
    /// The run with this method; at the same layer, if there are layers.
    Method(Method),
    /// The run with the same method, one layer nearer to the image.
    LayerBelow,
    /// A number.
    Value(f64),
}

/// Authority for an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The paper's text; the direction is certain.
    #[serde(rename = "the paper, CERTAIN")]
    Paper,
    /// The paper's numbers, which are recalled from memory.
    #[serde(rename = "the paper's numbers, RECALLED, unverified")]
    Recalled,
    /// Not a number of the paper: what its argument lets expect.
    #[serde(rename = "expected from the paper's argument; it prints no such number")]
    Argument,
}
