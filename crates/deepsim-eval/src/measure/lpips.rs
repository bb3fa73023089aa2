//! LPIPS of reconstructions (Zhang et al. 2018), on the centre crops of the test split.
//!
//! Measured for every network whose published weights are in the folder of weights. Reconstructions
//! are not clipped, as for the Euclidean error. Not in the paper, which came before it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::Context;
use super::{Measure, Row};
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::lpips::{Lpips, LpipsNet};

/// LPIPS of reconstructions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LpipsError {}

impl Measure for LpipsError {
    const NAME: &'static str = "lpips";
    const ABOUT: &'static str =
        "learned perceptual image patch similarity, where its weights are found";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let folder = context.weights.unwrap_or(Path::new("."));
        let mut nets = LpipsNet::ALL.to_vec();
        nets.retain(|net| net.is_in(folder));
        if nets.is_empty() {
            nets.push(LpipsNet::Alex); // Says which files are missing.
        }
        nets.into_iter().map(|net| row(context, net, folder)).collect()
    }
}

fn row(context: &Context<'_>, net: LpipsNet, folder: &Path) -> Result<Row, EvalError> {
    let lpips = Lpips::open(net, folder, context.device)?;
    let images = context.reconstructions()?;
    let mut distances = Vec::with_capacity(images.len());
    let total = images.len() as u64;
    let span = info_span!("distances", what = net.name(), total, done = Empty).entered();
    for range in images.ranges() {
        let (original, reconstruction) = images.images(range.clone())?;
        let values = numbers(&lpips.per_sample(&reconstruction, &original)?)?;
        distances.extend(values.into_iter().map(f64::from));
        span.record("done", range.end as u64);
    }
    let side = images.side();
    let note = format!("{}; {side}x{side} centre crops; spread over images", lpips.origin());
    Ok(Row::mean(net.name(), &distances, "", note))
}
