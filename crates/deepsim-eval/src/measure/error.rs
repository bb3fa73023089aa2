//! Normalised Euclidean error of reconstructions (paper v1, Tables 3 and 6).
//!
//! Evaluated on the centre crops of the test split. In image space, images are compared as they are
//! in training: BGR in units of grey levels, reconstructions not clipped to 0..=255 (a constant
//! mean does not change distances). In feature spaces, the distance is between the features of the
//! original and of the reconstruction, with an `N` of that space's own. The paper leaves crop and
//! clipping open.

use deepsim_nets::{Comparator, ComparatorKind};
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::Context;
use super::{Measure, Opt, Row, Space};
use crate::EvalError;
use crate::arrays::numbers;
use crate::comparators::is_random;
use crate::metrics::euclidean::mean_pair_distance;
use crate::metrics::statistics::euclidean_distance;

/// Normalised Euclidean error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Error {
    /// Feature spaces; where there are none, the layer that is inverted and spaces whose weights are found.
    pub spaces: Vec<Space>,
}

/// Name of the row of Table 3.
pub const IMAGE_SPACE: &str = "image space";

impl Measure for Error {
    const NAME: &'static str = "error";
    const ABOUT: &'static str =
        "normalised Euclidean error in image and feature space (paper Table 3)";
    const OPTIONS: &'static [Opt] = &[Opt {
        key: "spaces",
        value: "NET:TAP",
        about: "feature spaces, e.g. alexnet:CONV3; where none is named, those with weights",
    }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let mut rows = vec![row(context, IMAGE_SPACE.into(), "pixels, unclipped", None)?];
        let feature_row = |comparator: &dyn Comparator, tap: &str| {
            let random = if is_random(comparator) { ", random weights" } else { "" };
            let name = format!("{} {tap} feature space{random}", comparator.name());
            row(context, name, &comparator.origin().to_string(), Some((comparator, tap)))
        };
        if let (Some((encoder, tap)), true) = (&context.model.encoder, self.spaces.is_empty()) {
            // Table 6: the layer that is inverted.
            rows.push(feature_row(&**encoder, tap)?);
        }
        let mut opened: Option<(ComparatorKind, Box<dyn Comparator>)> = None;
        for space in self.spaces(context) {
            if opened.as_ref().is_none_or(|(kind, _)| *kind != space.comparator) {
                let net = context.comparator(&space.comparator)?;
                opened = Some((space.comparator, net));
            }
            let Some((_, comparator)) = &opened else { continue };
            rows.push(feature_row(&**comparator, &space.tap)?);
        }
        Ok(rows)
    }
}

impl Error {
    /// Feature spaces that were asked for, else those of the run.
    fn spaces(&self, context: &Context<'_>) -> Vec<Space> {
        if !self.spaces.is_empty() {
            return self.spaces.clone();
        }
        let found = |kind: &ComparatorKind| kind.find_weights(context.weights).is_some();
        if context.model.encoder.is_some() {
            // Beside the layer that is inverted, a network that had no part in training.
            let judge = Space { comparator: ComparatorKind::squeezenet(), tap: "FIRE9".into() };
            return Some(judge).filter(|judge| found(&judge.comparator)).into_iter().collect();
        }
        let mut spaces = Space::standard();
        spaces.retain(|s| s.comparator == ComparatorKind::alexnet() || found(&s.comparator));
        spaces
    }
}

fn row(
    context: &Context<'_>,
    name: String,
    source: &str,
    space: Option<(&dyn Comparator, &str)>,
) -> Result<Row, EvalError> {
    let images = context.reconstructions()?;
    let mut distances = Vec::with_capacity(images.len());
    let mut samples = Vec::new();
    let total = images.len() as u64;
    let span = info_span!("distances", what = &*name, total, done = Empty).entered();
    for range in images.ranges() {
        let n = range.len();
        let (original, reconstruction) = images.images(range.clone())?;
        let (a, b) = match space {
            None => (numbers(original.tensor())?, numbers(reconstruction.tensor())?),
            Some((net, tap)) => {
                let of = |images| -> Result<Vec<f32>, EvalError> {
                    numbers(&net.features(images, tap)?)
                };
                (of(&original)?, of(&reconstruction)?)
            }
        };
        let size = a.len() / n;
        let pairs = a.chunks_exact(size).zip(b.chunks_exact(size));
        distances.extend(pairs.map(|(a, b)| euclidean_distance(a, b)));
        samples.reserve_exact(size * images.len() - samples.len());
        samples.extend(a);
        span.record("done", range.end as u64);
    }
    drop(span);
    let dimensions = samples.len().checked_div(images.len()).unwrap_or(0);
    let pairs = mean_pair_distance(&mut samples, dimensions, context.sampling.seed)?;
    let side = images.side();
    let note = format!(
        "{source}; {pairs}; {side}x{side} centre crops, {dimensions} numbers each; spread over images"
    );
    let row = Row::normalised(name, &distances, &pairs, note);
    Ok(match space {
        None => row,
        Some((net, _)) => row.in_space_of(net),
    })
}
