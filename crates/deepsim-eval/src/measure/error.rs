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
        let mut rows = rows(context, None, &[])?;
        if let (Some((encoder, tap)), true) = (&context.model.encoder, self.spaces.is_empty()) {
            // Table 6: the layer that is inverted.
            rows.extend(self::rows(context, Some(&**encoder), &[tap])?);
        }
        let spaces = self.spaces(context);
        // One pass through each network, for all of its layers.
        for group in spaces.chunk_by(|a, b| a.comparator == b.comparator) {
            let comparator = context.comparator(&group[0].comparator)?;
            let taps: Vec<&str> = group.iter().map(|space| &*space.tap).collect();
            rows.extend(self::rows(context, Some(&*comparator), &taps)?);
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
        spaces.retain(|space| found(&space.comparator));
        spaces
    }
}

/// Numbers of all images in one space.
#[derive(Default)]
struct Collected {
    distances: Vec<f64>,
    samples: Vec<f32>,
}

/// The errors in pixels, or at some taps of a network.
fn rows(
    context: &Context<'_>,
    net: Option<&dyn Comparator>,
    taps: &[&str],
) -> Result<Vec<Row>, EvalError> {
    let images = context.reconstructions()?;
    let names: Vec<String> = match net {
        None => vec![IMAGE_SPACE.into()],
        Some(net) => {
            let random = if is_random(net) { ", random weights" } else { "" };
            taps.iter().map(|tap| format!("{} {tap} feature space{random}", net.name())).collect()
        }
    };
    let mut collected: Vec<Collected> = names.iter().map(|_| Collected::default()).collect();
    let total = images.len() as u64;
    let what = names.join(", ");
    let span = info_span!("distances", what = &*what, total, done = Empty).entered();
    for range in images.ranges() {
        let n = range.len();
        let (original, reconstruction) = images.images(range.clone())?;
        let [a, b] = match net {
            None => [vec![original.tensor().clone()], vec![reconstruction.tensor().clone()]],
            Some(net) => {
                [net.features_at(&original, taps)?, net.features_at(&reconstruction, taps)?]
            }
        };
        for ((a, b), collected) in a.iter().zip(&b).zip(&mut collected) {
            let (a, b) = (numbers(a)?, numbers(b)?);
            let size = a.len() / n;
            let pairs = a.chunks_exact(size).zip(b.chunks_exact(size));
            collected.distances.extend(pairs.map(|(a, b)| euclidean_distance(a, b)));
            let samples = &mut collected.samples;
            samples.reserve_exact(size * images.len() - samples.len());
            samples.extend(a);
        }
        span.record("done", range.end as u64);
    }
    drop(span);
    let source = net.map_or_else(|| "pixels, unclipped".into(), |net| net.origin().to_string());
    let side = images.side();
    let row = |(name, Collected { distances, mut samples })| {
        let dimensions = samples.len().checked_div(images.len()).unwrap_or(0);
        let pairs = mean_pair_distance(&mut samples, dimensions, context.sampling.seed)?;
        let note = format!(
            "{source}; {pairs}; {side}x{side} centre crops, {dimensions} numbers each; spread over images"
        );
        let row = Row::normalised(name, &distances, &pairs, note);
        Ok(match net {
            None => row,
            Some(net) => row.in_space_of(net),
        })
    };
    names.into_iter().zip(collected).map(row).collect()
}
