//! Power of high spatial frequencies of reconstructions against the originals'.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::{Measure, Row};
use crate::EvalError;
use crate::metrics::sharpness::{BANDS, power};

/// Sharpness.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sharpness {}

/// Name of the main row.
pub const HIGH_FREQUENCIES: &str = "high-frequency power";

impl Measure for Sharpness {
    const NAME: &'static str = "sharpness";
    const ABOUT: &'static str = "power of high spatial frequencies against the originals'";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.reconstructions()?;
        let side = images.side();
        let (mut originals, mut reconstructions, mut counted) = ([0.0; 2], [0.0; 2], 0);
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
        }
        let left = match images.len() - counted {
            0 => String::new(),
            out => format!("{out} of {} left out, not finite; ", images.len()),
        };
        let row = |band: usize, name: &str| {
            let note = format!(
                "{left}of the originals'; {}, brightness of {counted} unclipped {side}x{side} \
                 images, Hann window",
                BANDS[band],
            );
            Row::share(name, reconstructions[band], originals[band], note)
        };
        Ok(vec![row(0, HIGH_FREQUENCIES), row(1, "middle-frequency power")])
    }
}
