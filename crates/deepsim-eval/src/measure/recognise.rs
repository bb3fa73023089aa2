//! Share of reconstructions in which a network that was neither encoder nor comparator recognises the class
//! of the original. Not in the paper.
//!
//! The network is SqueezeNet, which classifies photographs of ILSVRC's classes: on other pictures its
//! classes mean little, and equal ones still say that it sees the same.

use std::cmp::Ordering::{Equal, Less};

use deepsim_nets::ComparatorKind;
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
        let (mut first, mut among_five) = (0, 0);
        let total = images.len() as u64;
        let span = info_span!("recognising", total, done = Empty).entered();
        for range in images.ranges() {
            let (original, reconstruction) = images.images(range.clone())?;
            let scores = |images| -> Result<Vec<Vec<f32>>, EvalError> {
                Ok(net.features(images, "PROB")?.to_vec2::<f32>()?)
            };
            for (wanted, got) in scores(&original)?.iter().zip(scores(&reconstruction)?) {
                let rank = rank(wanted, &got);
                first += usize::from(rank == 0);
                among_five += usize::from(rank < 5);
            }
            span.record("done", range.end as u64);
        }
        let (n, side, origin) = (images.len(), images.side(), net.origin());
        let row = |name: &str, count: usize| {
            let share = count as f64 / n as f64;
            let spread = 100.0 * (share * (1.0 - share)).sqrt();
            let note = format!("{}, {origin}; {side}x{side} centre crops, unclipped", net.name());
            Row::new(name, 100.0 * share, "%", note).with_spread(spread).over(n)
        };
        Ok(vec![row("recognised, top-1", first), row("recognised, top-5", among_five)])
    }
}

/// Returns the rank in `got`, from 0, of the class that is at the top in `wanted`.
fn rank(wanted: &[f32], got: &[f32]) -> usize {
    let best = (0..wanted.len()).max_by(|a, b| wanted[*a].total_cmp(&wanted[*b])).unwrap_or(0);
    // Scores that are not numbers count as above: an image that is not finite is not recognised.
    got.iter().filter(|score| !matches!(score.partial_cmp(&&got[best]), Some(Less | Equal))).count()
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_rank_is_that_of_the_originals_class() {
        let original = [0.1, 0.7, 0.2];
        assert_eq!(rank(&original, &[0.0, 0.9, 0.1]), 0);
        assert_eq!(rank(&original, &[0.5, 0.2, 0.3]), 2);
        assert_eq!(rank(&original, &[f32::NAN; 3]), 3, "nothing is recognised in it");
    }
}
