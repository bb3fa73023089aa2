//! Colour histograms of reconstructions against those of the originals, over all test images.
//!
//! Pictures are compared as people see them: the mean added back, rounded and clamped to 0..=255. Not in the
//! paper.

use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::row::left_out;
use super::{Context, Measure, Row};
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::colour::{BINS, CHANNELS, Histograms, earth_movers, total_variation};
use crate::metrics::statistics::mean_and_spread;

/// Colour histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colour {}

impl Measure for Colour {
    const NAME: &'static str = "colour";
    const ABOUT: &'static str = "distances of colour histograms from the originals'";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.reconstructions()?;
        let (mut originals, mut reconstructions) = (Histograms::default(), Histograms::default());
        let mut counted = 0;
        let total = images.len() as u64;
        let span = info_span!("colour histograms", total, done = Empty).entered();
        for range in images.ranges() {
            let end = range.end;
            let (original, reconstruction) = images.images(range)?;
            let values = numbers(reconstruction.tensor())?;
            let (a, b) = (original.to_u8()?, reconstruction.to_u8()?);
            let size = 3 * images.side() * images.side();
            let pairs = a.chunks_exact(size).zip(b.chunks_exact(size));
            for ((a, b), values) in pairs.zip(values.chunks_exact(size)) {
                if values.iter().all(|value| value.is_finite()) {
                    originals.add(a);
                    reconstructions.add(b);
                    counted += 1;
                }
            }
            span.record("done", end as u64);
        }
        drop(span);
        let left = left_out(images.len(), counted);
        let side = images.side();
        let note =
            format!("{left}histograms of {BINS} bins over {counted} {side}x{side} centre crops");
        Ok(distances(&originals, &reconstructions, &note))
    }
}

/// A row for each distance and channel, and the mean of each distance over red, green and blue.
fn distances(originals: &Histograms, reconstructions: &Histograms, note: &str) -> Vec<Row> {
    let shares = total_variation(originals, reconstructions).map(|share| 100.0 * share);
    let levels = earth_movers(originals, reconstructions);
    let mut rows = Vec::new();
    for (name, unit, values) in
        [("total variation", "%", shares), ("earth mover's distance", "grey levels", levels)]
    {
        let row = |channel: &str, value, note: &str| {
            Row::new(format!("{name}, {channel}"), value, unit, note)
        };
        rows.extend(CHANNELS.iter().zip(values).map(|(channel, value)| row(channel, value, note)));
        // Luma is a mixture of the others.
        let (mean, _) = mean_and_spread(&values[..3]);
        rows.push(row("mean", mean, &format!("of red, green and blue; {note}")));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_row_for_each_channel_and_the_mean_of_red_green_and_blue() {
        let (mut a, mut b) = (Histograms::default(), Histograms::default());
        a.add(&[40, 40, 40, 40, 40, 40]);
        b.add(&[52, 40, 40, 40, 80, 80]);
        let rows = distances(&a, &b, "why");
        let value = |name: &str| rows.iter().find(|row| row.name == name).and_then(|row| row.value);
        let expected = [
            ("red", 50.0, 6.0),
            ("green", 0.0, 0.0),
            ("blue", 100.0, 40.0),
            ("mean", 50.0, 46.0 / 3.0),
        ];
        for (channel, share, levels) in expected {
            assert_eq!(value(&format!("total variation, {channel}")), Some(share), "{channel}");
            assert_eq!(
                value(&format!("earth mover's distance, {channel}")),
                Some(levels),
                "{channel}"
            );
        }
        assert_eq!((rows.len(), &*rows[9].note), (10, "of red, green and blue; why"));
        // No image is finite: rows say so instead of a number.
        let none = distances(&a, &Histograms::default(), "2 of 2 left out, not finite");
        assert!(none.iter().all(|row| row.value.is_none() && row.note.starts_with("value NaN; ")));
    }
}
