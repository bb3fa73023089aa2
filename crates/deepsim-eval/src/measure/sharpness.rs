//! Power of high spatial frequencies of reconstructions against the originals'.

use deepsim_nets::{Images, PixelFormat};
use rayon::prelude::*;

use super::context::{Context, numbers};
use super::{Measure, Row};
use crate::EvalError;
use crate::luma;
use crate::sharpness::{HIGH, MIDDLE, Spectrum};

/// Sharpness.
#[derive(Clone, Copy, Debug)]
pub struct Sharpness;

/// Name of the main row.
pub const HIGH_FREQUENCIES: &str = "high-frequency power";

impl Measure for Sharpness {
    fn name(&self) -> &'static str {
        "sharpness"
    }

    fn about(&self) -> &'static str {
        "power of high spatial frequencies against the originals'"
    }

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
            share(name, reconstructions[band], originals[band], note)
        };
        Ok(vec![row(0, HIGH_FREQUENCIES), row(1, "middle-frequency power")])
    }
}

/// The bands that are measured, in words.
pub(super) const BANDS: [&str; 2] = ["above 1/4 cycle per pixel", "1/8 to 1/4 cycle per pixel"];

/// Power of every image in [`BANDS`].
pub(super) fn power(images: &Images) -> Result<Vec<[f64; 2]>, EvalError> {
    let (height, width) = (images.height(), images.width());
    let spectrum = Spectrum::new(height, width);
    let rgb = numbers(images.convert(PixelFormat::RGB_U8)?.tensor())?;
    Ok(rgb
        .par_chunks_exact(3 * height * width)
        .map(|image| spectrum.power(&luma::from_planes(image), &[HIGH, MIDDLE]))
        .collect())
}

/// A power in percent of that of the images it is compared with, if they have any.
pub(crate) fn share(name: &str, power: f64, of: f64, note: impl Into<String>) -> Row {
    match of > 0.0 {
        true => Row::new(name, 100.0 * power / of, "%", note),
        false => Row::undefined(name, "%", "the reference has none", note),
    }
}
