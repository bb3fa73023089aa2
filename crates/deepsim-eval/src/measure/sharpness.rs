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

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.reconstructions()?;
        let side = images.side();
        let (mut originals, mut reconstructions) = ([0.0; 2], [0.0; 2]);
        for range in images.ranges() {
            let (original, reconstruction) = images.images(range)?;
            let (a, b) = (power(&original)?, power(&reconstruction)?);
            for band in 0..2 {
                originals[band] += a[band];
                reconstructions[band] += b[band];
            }
        }
        let row = |band: usize, name: &str| {
            let note = format!(
                "of the originals'; {}, brightness of {} unclipped {side}x{side} images, Hann window",
                BANDS[band],
                images.len()
            );
            Row::new(name, 100.0 * reconstructions[band] / originals[band], "%", note)
        };
        Ok(vec![row(0, HIGH_FREQUENCIES), row(1, "middle-frequency power")])
    }
}

/// The bands that are measured, in words.
pub(super) const BANDS: [&str; 2] = ["above 1/4 cycle per pixel", "1/8 to 1/4 cycle per pixel"];

/// Power of images in [`BANDS`], summed over images.
pub(super) fn power(images: &Images) -> Result<[f64; 2], EvalError> {
    let (height, width) = (images.height(), images.width());
    let spectrum = Spectrum::new(height, width);
    let rgb = numbers(images.convert(PixelFormat::RGB_U8)?.tensor())?;
    let each: Vec<[f64; 2]> = rgb
        .par_chunks_exact(3 * height * width)
        .map(|image| spectrum.power(&luma::from_planes(image), &[HIGH, MIDDLE]))
        .collect();
    Ok(each.iter().fold([0.0; 2], |sum, p| [sum[0] + p[0], sum[1] + p[1]]))
}
