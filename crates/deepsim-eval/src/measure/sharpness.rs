//! Spatial frequencies of reconstructions against the originals': the power of high ones, the distance of all bands,
//! and the grid of period two.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::row::left_out;
use super::{Measure, Row};
use crate::EvalError;
use crate::metrics::naturalness::{Powers, powers};
use crate::metrics::sharpness::{BANDS, power};

/// Sharpness.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sharpness {}

/// Name of the main row.
pub const HIGH_FREQUENCIES: &str = "high-frequency power";

/// Name of the row about all bands.
pub const BAND_DISTANCE: &str = "distance of band powers";

/// Name of the row about the grid that up-convolutions draw.
pub const GRID: &str = "grid of period two";

impl Measure for Sharpness {
    const NAME: &'static str = "sharpness";
    const ABOUT: &'static str =
        "spatial frequencies against the originals': high ones, all bands, the grid of period two";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.reconstructions()?;
        let side = images.side();
        let (mut originals, mut reconstructions, mut counted) = ([0.0; 2], [0.0; 2], 0);
        let (mut distances, mut sums) = (Vec::new(), [Powers::default(); 2]);
        for range in images.ranges() {
            let (original, reconstruction) = images.images(range)?;
            for (a, b) in power(&original)?.iter().zip(power(&reconstruction)?) {
                if b.iter().all(|power| power.is_finite()) {
                    for band in 0..2 {
                        originals[band] += a[band];
                        reconstructions[band] += b[band];
                    }
                    counted += 1;
                }
            }
            for (a, b) in powers(&original)?.iter().zip(powers(&reconstruction)?) {
                let distance = b.distance(a);
                if distance.is_finite() {
                    distances.push(distance);
                    sums[0].add(a);
                    sums[1].add(&b);
                }
            }
        }
        let left = left_out(images.len(), counted);
        let row = |band: usize, name: &str| {
            let note = format!(
                "{left}of the originals'; {}, brightness of {counted} unclipped {side}x{side} \
                 images, Hann window",
                BANDS[band],
            );
            Row::share(name, reconstructions[band], originals[band], note)
        };
        let [originals_mean, means] =
            sums.map(|sum| sum.scaled(1.0 / distances.len().max(1) as f64));
        let excess = means.grid_excess(&originals_mean);
        let bands = format!(
            "{left}0 is as in the originals, 3 a factor of two; mean over images of the mean absolute log ratio of the \
             powers in four bands above 1/16 cycle per pixel; blur and noise both count"
        );
        let grid = format!(
            "{left}about 0 without a grid; power at half a cycle per pixel along an axis beside that of its \
             neighbours, against the same of the originals"
        );
        Ok(vec![
            row(0, HIGH_FREQUENCIES),
            row(1, "middle-frequency power"),
            Row::mean(BAND_DISTANCE, &distances, "dB", bands),
            Row::new(GRID, excess, "dB", grid),
        ])
    }
}
