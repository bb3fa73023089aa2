//! Samples of a variational autoencoder (paper v1, Figure 4): pictures, and how far they are from the test
//! images as a distribution.
//!
//! Writes `RUN/eval/samples.png` (8 x 8) and `RUN/eval/samples-row.png` (8). The distances are between
//! features of as many samples as there are test images; maps are averaged over their positions, and divided by
//! the root mean square of the test images'. Samples are rounded and clamped to 0..=255 before, as people see
//! them.

use deepsim_data::Crop;
use deepsim_data::picture::{Picture, grid};
use deepsim_nets::{ComparatorKind, Images, PixelFormat};
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::Context;
pub use super::distances::{FRECHET, KERNEL};
use super::distances::{SetDistances, Words, pooled};
use super::{Measure, Opt, Row, Space};
use crate::EvalError;
use crate::arrays::ranges;
use crate::metrics::distribution::LEAST;
use crate::metrics::naturalness::{Powers, powers};
use crate::metrics::sharpness::{BANDS, power};
use crate::prior::{self, vae};

/// Samples from the prior.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Samples {
    /// Feature spaces of the distances; where there are none, SqueezeNet's FIRE9 if its weights are found, else AlexNet's CONV5.
    pub spaces: Vec<Space>,
}

/// File with many samples.
pub const PICTURES: &str = "samples.png";
/// File with a row of samples.
pub const ROW: &str = "samples-row.png";
/// Name of the row with the power of high frequencies.
pub const HIGH_FREQUENCIES: &str = "high-frequency power of samples";
/// Name of the row about all bands.
pub const BAND_DISTANCE: &str = "distance of samples' band powers";

/// Samples in a row, and rows.
const SIDE: usize = 8;

/// Samples as pictures of eight bits.
struct Drawn {
    /// Planes of all of them.
    planes: Vec<u8>,
    side: usize,
}

impl Measure for Samples {
    const NAME: &'static str = "samples";
    const ABOUT: &'static str = "samples from a variational autoencoder's prior, and their distance from images (paper Figure 4)";
    const OPTIONS: &'static [Opt] = &[Opt {
        key: "spaces",
        value: "NET:TAP",
        about: "feature spaces of the distances; where none is named, squeezenet:FIRE9 if it has weights, else alexnet:CONV5",
    }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let (net, seed) = (vae(context.model, "samples")?, context.sampling.seed);
        let (n, side) = (context.test_len(), context.side());
        let mut drawn = Drawn { planes: Vec::with_capacity(n * 3 * side * side), side };
        let all = n.max(SIDE * SIDE);
        let span = info_span!("sampling", total = all as u64, done = Empty).entered();
        for range in ranges(all, context.sampling.batch) {
            let images = prior::images(net, range.clone(), seed, None)?;
            drawn.planes.extend(images.to_u8()?);
            span.record("done", range.end as u64);
        }
        drop(span);
        let shown = Picture::several(&drawn.planes[..SIDE * SIDE * 3 * side * side], side, side);
        let rows: Vec<Vec<Picture>> = shown.chunks(SIDE).map(<[_]>::to_vec).collect();
        let folder = context.folder()?;
        grid(&rows, 0).write_png(&folder.join(PICTURES))?;
        grid(&rows[..1], 0).write_png(&folder.join(ROW))?;

        let mut rows = sharpness(context, &drawn, n)?;
        if n < LEAST {
            let reason = format!("needs at least {LEAST} test images, found {n}");
            rows.push(Row::undefined(FRECHET, "", &reason, ""));
            return Ok(rows);
        }
        for space in self.spaces(context) {
            rows.extend(distances(context, &drawn, n, &space)?);
        }
        Ok(rows)
    }
}

impl Drawn {
    /// Hands test images to `each`, a batch at a time, with as many samples.
    fn beside(
        &self,
        context: &Context<'_>,
        what: &str,
        n: usize,
        mut each: impl FnMut(&Images, &Images) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let (side, size) = (self.side, 3 * self.side * self.side);
        let mut planes = self.planes.as_slice();
        let test = &context.dataset.test.images;
        context.batches(what, test, n, Crop::Center(side), |_, images| {
            let (now, later) = planes.split_at(images.len() * size);
            planes = later;
            let format = PixelFormat::CAFFE_BGR;
            let samples = Images::from_u8(now, images.len(), side, side, format, context.device)?;
            each(images, &samples)
        })
    }
}

impl Samples {
    /// Feature spaces that were asked for; else that of SqueezeNet, with which nothing is trained, where its
    /// weights are found. Without them AlexNet's, which may be the comparator: no judge of it.
    fn spaces(&self, context: &Context<'_>) -> Vec<Space> {
        let space = |comparator, tap: &str| Space { comparator, tap: tap.into() };
        if !self.spaces.is_empty() {
            return self.spaces.clone();
        }
        let judge = ComparatorKind::squeezenet();
        match judge.find_weights(context.weights) {
            Some(_) => vec![space(judge, "FIRE9")],
            None => vec![space(ComparatorKind::alexnet(), "CONV5")],
        }
    }
}

/// Power of high frequencies of samples against the test images'.
fn sharpness(context: &Context<'_>, drawn: &Drawn, n: usize) -> Result<Vec<Row>, EvalError> {
    let (mut of_images, mut of_samples) = ([0.0; 2], [0.0; 2]);
    let mut sums = [Powers::default(); 2];
    drawn.beside(context, "spectra", n, |images, samples| {
        for (a, b) in power(images)?.iter().zip(power(samples)?) {
            for band in 0..2 {
                of_images[band] += a[band];
                of_samples[band] += b[band];
            }
        }
        powers(images)?.iter().for_each(|one| sums[0].add(one));
        powers(samples)?.iter().for_each(|one| sums[1].add(one));
        Ok(())
    })?;
    let names = [HIGH_FREQUENCIES, "middle-frequency power of samples"];
    let row = |band: usize| {
        let note = format!(
            "of {n} test images'; {}, brightness of {n} samples, Hann window; {PICTURES}",
            BANDS[band]
        );
        Row::share(names[band], of_samples[band], of_images[band], note)
    };
    let distance = sums[1].scaled(1.0 / n as f64).distance(&sums[0].scaled(1.0 / n as f64));
    let note = format!(
        "0 is equal, 3 a factor of two; mean absolute log ratio of the mean powers of {n} samples and test images in \
         four bands above 1/16 cycle per pixel"
    );
    Ok(vec![row(0), row(1), Row::new(BAND_DISTANCE, distance, "dB", note)])
}

fn distances(
    context: &Context<'_>,
    drawn: &Drawn,
    n: usize,
    space: &Space,
) -> Result<Vec<Row>, EvalError> {
    let (net, tap) = (context.comparator(&space.comparator)?, &space.tap);
    let (mut real, mut sampled) = (Vec::new(), Vec::new());
    drawn.beside(context, "features", n, |images, samples| {
        real.extend(pooled(&*net, tap, images)?);
        sampled.extend(pooled(&*net, tap, samples)?);
        Ok(())
    })?;
    let words =
        Words { sets: format!("{n} samples and {n} test images"), reference: "the images'" };
    let distances = SetDistances::new(&*net, tap, [(n, real), (n, sampled)], words)?;
    Ok(vec![distances.frechet()?, distances.kernel()?])
}
