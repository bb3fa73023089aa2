//! Share of reconstructions in which a network that was neither encoder nor comparator recognises the class
//! of the original. Not in the paper.
//!
//! The network is SqueezeNet, which classifies photographs of ILSVRC's classes: on other pictures its
//! classes mean little, and equal ones still say that it sees the same.

use std::cmp::Ordering::{Equal, Less};

use deepsim_nets::{Comparator, ComparatorKind, Images};
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::Context;
use super::{Measure, Row};
use crate::EvalError;
use crate::comparators::is_random;

/// Shares of reconstructions that are classified as the originals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recognise {}

impl Measure for Recognise {
    const NAME: &'static str = "recognise";
    const ABOUT: &'static str = "share of images to which SqueezeNet gives the same class";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let net = context.comparator(&ComparatorKind::squeezenet())?;
        if is_random(&*net) {
            let wanted = "the weights of squeezenet in --weights";
            return Err(EvalError::input("recognise", wanted, "random ones"));
        }
        let images = context.reconstructions()?;
        let mut all = Vec::with_capacity(images.len());
        let total = images.len() as u64;
        let span = info_span!("recognising", total, done = Empty).entered();
        for range in images.ranges() {
            let (original, reconstruction) = images.images(range.clone())?;
            all.extend(ranks(&*net, &original, &reconstruction)?);
            span.record("done", range.end as u64);
        }
        let side = images.side();
        Ok(shares(&*net, &all, 1, &format!("{side}x{side} centre crops, unclipped")))
    }
}

/// Ranks of the originals' classes in images of theirs, of which there are equally many for each original, in a row.
pub(super) fn ranks(
    net: &dyn Comparator,
    originals: &Images,
    images: &Images,
) -> Result<Vec<usize>, EvalError> {
    let scores = |images| -> Result<Vec<Vec<f32>>, EvalError> {
        Ok(net.features(images, "PROB")?.to_vec2::<f32>()?)
    };
    let (wanted, got) = (scores(originals)?, scores(images)?);
    let of_each = (got.len() / wanted.len().max(1)).max(1);
    debug_assert_eq!(got.len(), of_each * wanted.len());
    Ok(got.iter().enumerate().map(|(i, got)| rank(&wanted[i / of_each], got)).collect())
}

/// Shares of images whose originals' class is the first, or one of the first five; means over originals, of which each
/// has so many images, for those of one original are no independent samples.
pub(super) fn shares(net: &dyn Comparator, ranks: &[usize], of_each: usize, of: &str) -> Vec<Row> {
    let row = |name: &str, below: usize| {
        let share = |ranks: &[usize]| {
            let count = ranks.iter().filter(|rank| **rank < below).count();
            100.0 * count as f64 / ranks.len() as f64
        };
        let shares: Vec<f64> = ranks.chunks(of_each.max(1)).map(share).collect();
        Row::mean(name, &shares, "%", format!("{}, {}; {of}", net.name(), net.origin()))
    };
    vec![row("recognised, top-1", 1), row("recognised, top-5", 5)]
}

/// Returns the rank in `got`, from 0, of the class that is at the top in `wanted`.
fn rank(wanted: &[f32], got: &[f32]) -> usize {
    let best = (0..wanted.len()).max_by(|a, b| wanted[*a].total_cmp(&wanted[*b])).unwrap_or(0);
    // Scores that are not numbers count as above: an image that is not finite is not recognised.
    got.iter().filter(|score| !matches!(score.partial_cmp(&&got[best]), Some(Less | Equal))).count()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use deepsim_nets::PixelFormat;

    use super::*;

    #[test]
    fn the_rank_is_that_of_the_originals_class() {
        let original = [0.1, 0.7, 0.2];
        assert_eq!(rank(&original, &[0.0, 0.9, 0.1]), 0);
        assert_eq!(rank(&original, &[0.5, 0.2, 0.3]), 2);
        assert_eq!(rank(&original, &[f32::NAN; 3]), 3, "nothing is recognised in it");
    }

    #[test]
    fn each_image_is_compared_with_the_original_that_it_belongs_to() -> Result<(), EvalError> {
        let net = ComparatorKind::squeezenet().open(None, 0, &Device::Cpu)?;
        let numbers = (0..5 * 3 * 32 * 32).map(|i| (f64::from(i) * 0.7).sin() as f32 * 100.0);
        let numbers = Tensor::from_iter(numbers, &Device::Cpu)?.reshape((5, 3, 32, 32))?;
        let ranks_of = |originals: &[usize], images: &[usize]| {
            let cut = |indices: &[usize]| -> Result<Images, EvalError> {
                let parts = indices.iter().map(|i| numbers.narrow(0, *i, 1));
                let all = Tensor::cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)?;
                Ok(Images::new(all, PixelFormat::CAFFE_BGR)?)
            };
            ranks(&*net, &cut(originals)?, &cut(images)?)
        };
        assert_eq!(ranks_of(&[0, 1], &[0, 0, 1, 1])?, [0; 4]);
        let apart = [ranks_of(&[0], &[2, 3])?, ranks_of(&[1], &[4, 2])?].concat();
        assert_eq!(ranks_of(&[0, 1], &[2, 3, 4, 2])?, apart);
        let rows = shares(&*net, &[0, 3, 5, 0], 2, "two images of each of two");
        assert_eq!(rows.iter().map(|row| row.value).collect::<Vec<_>>(), [Some(50.0), Some(75.0)]);
        assert_eq!(rows.iter().map(|row| row.spread).collect::<Vec<_>>(), [Some(0.0), Some(25.0)]);
        assert!(rows.iter().all(|row| row.samples == Some(2)));
        Ok(())
    }
}
