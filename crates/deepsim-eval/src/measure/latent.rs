//! Statistics of a variational autoencoder's codes against the prior that samples are drawn from.
//!
//! Samples look like nothing for one of two reasons: codes of images lie elsewhere than the prior's (the
//! decoder was not trained on such codes), or codes hold nothing (the decoder draws one average image). The
//! rows tell the two apart. Writes `RUN/eval/latent.png`: the divergence of each dimension, largest first.

use deepsim_data::Crop;
use deepsim_data::picture::Picture;
use deepsim_nets::random::{normal, stream};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::{Measure, Row};
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::distribution::{LEAST, Vectors, project};
use crate::metrics::statistics::mean_and_spread;
use crate::prior::vae;

/// Divergence from the prior.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latent {}

/// File with the divergence of each dimension.
pub const PICTURE: &str = "latent.png";

/// Name of the row that says how much codes hold.
pub const DIVERGENCE: &str = "divergence from the prior";
/// Name of the row that says how many numbers of the code are used.
pub const ACTIVE: &str = "active units";

/// Variance of a dimension's mean over images from which it counts as active (Burda et al. 2016).
const ACTIVE_VARIANCE: f64 = 0.01;
/// Random directions along which codes are compared with the prior.
const DIRECTIONS: usize = 100;

/// Statistics of one dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dimension {
    /// Mean over images of the divergence, in nats.
    divergence: f64,
    /// Mean over images of the posterior's mean.
    mean: f64,
    /// Variance over images of the posterior's mean.
    explained: f64,
    /// Mean over images of the posterior's variance.
    inner: f64,
}

impl Dimension {
    /// Variance of the codes of all images together.
    fn variance(&self) -> f64 {
        self.explained + self.inner
    }
}

impl Measure for Latent {
    const NAME: &'static str = "latent";
    const ABOUT: &'static str = "statistics of a variational autoencoder's codes against its prior";

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let (net, n) = (vae(context.model, "latent")?, context.test_len());
        let (mut means, mut log_variances, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        let mut rng = stream(context.sampling.seed, "posterior", 0);
        let crop = Crop::Center(context.side());
        context.batches("encoding", &context.dataset.test.images, n, crop, |_, images| {
            let posterior = net.encode(images)?;
            means.extend(numbers(&posterior.mean)?);
            log_variances.extend(numbers(&posterior.log_variance)?);
            let noise = net.noise(images.len(), &mut rng)?;
            codes.extend(numbers(&posterior.sample(&noise)?)?);
            Ok(())
        })?;
        let latent = net.config().code();
        let (dimensions, per_image) = dimensions(&means, &log_variances, latent);
        picture(&dimensions).write_png(&context.folder()?.join(PICTURE))?;

        let of =
            |part: fn(&Dimension) -> f64| -> Vec<f64> { dimensions.iter().map(part).collect() };
        let (divergence, spread) = mean_and_spread(&per_image);
        let note = "nats per image, summed over dimensions; spread over images";
        let mut rows =
            vec![Row::new(DIVERGENCE, divergence, "nats", note).with_spread(spread).over(n)];
        let active = dimensions.iter().filter(|d| d.explained > ACTIVE_VARIANCE).count();
        let note =
            format!("of {latent}: the mean's variance over images is above {ACTIVE_VARIANCE}");
        rows.push(Row::new(ACTIVE, active as f64, "units", note));
        let mut sorted = of(|d| d.divergence);
        sorted.sort_by(|a, b| b.total_cmp(a));
        let total: f64 = sorted.iter().sum();
        let sums = sorted.iter().scan(0.0, |sum, d| {
            *sum += d;
            Some(*sum)
        });
        let units = sums.take_while(|sum| *sum < 0.5 * total).count() + 1;
        let note = format!(
            "dimensions with half of the divergence; the largest has {:.2} of {total:.2} nats; {PICTURE}",
            sorted.first().copied().unwrap_or(0.0)
        );
        rows.push(Row::new("units for half of the divergence", units as f64, "units", note));

        let rms = mean_and_spread(&of(|d| d.mean * d.mean)).0.sqrt();
        let note =
            "of all images' codes together, root mean square over dimensions; the prior's is 0";
        rows.push(Row::new("mean of codes", rms, "", note));
        let (variance, spread) = mean_and_spread(&of(Dimension::variance));
        let note =
            "of all images' codes together, mean and spread over dimensions; the prior's is 1";
        rows.push(Row::new("variance of codes", variance, "", note).with_spread(spread));
        rows.push(directions(&codes, n, latent, context.sampling.seed)?);
        Ok(rows)
    }
}

/// Codes against as many draws of the prior.
fn directions(codes: &[f32], n: usize, latent: usize, seed: u64) -> Result<Row, EvalError> {
    const NAME: &str = "codes against the prior";
    if n < LEAST {
        let reason = format!("needs at least {LEAST} images, found {n}");
        return Ok(Row::undefined(NAME, "%", &reason, ""));
    }
    let prior = normal(&mut stream(seed, "prior", 0), n * latent, 1.0);
    let found = project(&Vectors::new(n, codes)?, &Vectors::new(n, &prior)?, DIRECTIONS, seed)?;
    let note = format!(
        "largest difference of the cumulative distributions of {n} images' codes and of {n} draws of \
         the prior, mean over {DIRECTIONS} random directions (Kolmogorov-Smirnov); chance alone makes {:.1} %; \
         the largest is {:.1} %; along {:.0} % of them they differ at the 5 % level",
        100.0 * found.chance,
        100.0 * found.largest,
        100.0 * found.different
    );
    Ok(Row::new(NAME, 100.0 * found.mean, "%", note))
}

/// Returns the statistics of each dimension, and the divergence of each image.
fn dimensions(means: &[f32], log_variances: &[f32], latent: usize) -> (Vec<Dimension>, Vec<f64>) {
    let mut all = vec![Dimension::default(); latent];
    let mut per_image = Vec::new();
    let n = (means.len() / latent.max(1)) as f64;
    for (means, logs) in means.chunks_exact(latent).zip(log_variances.chunks_exact(latent)) {
        let mut sum = 0.0;
        for ((dimension, &mean), &log) in all.iter_mut().zip(means).zip(logs) {
            let (mean, log) = (f64::from(mean), f64::from(log));
            let divergence = 0.5 * (mean * mean + log.exp() - log - 1.0);
            sum += divergence;
            dimension.divergence += divergence / n;
            dimension.mean += mean / n;
            dimension.explained += mean * mean / n;
            dimension.inner += log.exp() / n;
        }
        per_image.push(sum);
    }
    for dimension in &mut all {
        dimension.explained = (dimension.explained - dimension.mean * dimension.mean).max(0.0);
    }
    (all, per_image)
}

/// A bar for each dimension, or for each group of them, the highest as high as the picture.
fn picture(dimensions: &[Dimension]) -> Picture {
    const HEIGHT: usize = 120;
    const BARS: usize = 256;
    let mut heights: Vec<f64> = dimensions.iter().map(|d| d.divergence).collect();
    heights.sort_by(|a, b| b.total_cmp(a));
    let group = heights.len().div_ceil(BARS).max(1);
    let bars: Vec<f64> =
        heights.chunks(group).map(|bars| bars.iter().sum::<f64>() / bars.len() as f64).collect();
    let width = (2 * BARS / bars.len().max(1)).max(1);
    let mut picture = Picture::new(HEIGHT, width * bars.len(), [255; 3]);
    let highest = bars.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    for (index, bar) in bars.iter().enumerate() {
        let height = (bar / highest * HEIGHT as f64).round() as usize;
        let bar = Picture::new(height, width.max(2) - 1, [60, 90, 160]);
        picture.paste(&bar, HEIGHT - height, index * width);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_what_their_formulas_say() {
        // Two images; the first dimension tells them apart, the second is the prior.
        let (means, logs) = ([1.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]);
        let (dimensions, per_image) = dimensions(&means, &logs, 2);
        let first = Dimension { divergence: 0.5, mean: 0.0, explained: 1.0, inner: 1.0 };
        assert_eq!(dimensions[0], first);
        assert_eq!(dimensions[0].variance(), 2.0);
        assert_eq!(dimensions[1], Dimension { inner: 1.0, ..Dimension::default() });
        assert_eq!(per_image, [0.5, 0.5]);
    }

    #[test]
    fn bars_fall_from_the_left() {
        let of = |divergence| Dimension { divergence, ..Dimension::default() };
        let drawn = picture(&[of(1.0), of(4.0), of(0.0)]);
        let dark = |x: usize| {
            let light = |y: &usize| drawn.rgb[3 * (y * drawn.width + x)] == 255;
            drawn.height - (0..drawn.height).filter(light).count()
        };
        let third = drawn.width / 3;
        assert_eq!([0, third, 2 * third].map(dark), [120, 30, 0]);
        // The paper's number of dimensions.
        assert_eq!(picture(&vec![of(1.0); 4096]).width, 512);
    }
}
