//! Errors of the baseline's images for the pictures of a data set, tap by tap, and sheets of these images.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use deepsim_data::atomic::write_atomic;
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, Source, read_range};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::{Ending, Prior, Settings, invert};
use crate::EvalError;
use crate::arrays::{numbers, pictures, ranges};
use crate::comparators::RANDOM_SEED;
use crate::measure::error::IMAGE_SPACE;
use crate::measure::{Row, json};
use crate::metrics::euclidean::{PairDistance, mean_pair_distance};
use crate::metrics::statistics::euclidean_distance;

/// Pixels between the images of a row and of a sheet.
pub const GAP: usize = 2;

/// Network, pictures and prior of an experiment.
pub struct Experiment<'a> {
    /// The network.
    pub comparator: ComparatorKind,
    /// Weights of the network; random without a file.
    pub weights: Option<&'a Path>,
    /// The pictures; the first of them are inverted.
    pub source: &'a dyn Source,
    /// The part of each that is used.
    pub crop: Crop,
    /// Description of the pictures.
    pub dataset: &'a str,
    /// Prior that keeps the images natural.
    pub prior: Prior,
    /// Steps, where not the prior's own.
    pub steps: Option<usize>,
    /// Number of pictures that are inverted; fewer where there are fewer.
    pub pictures: usize,
    /// Number of pictures that the normaliser `N` is computed from. All their pixels and features are held in
    /// memory: 0.6 MB for each image of 227x227.
    pub pairs: usize,
    /// Pictures that are inverted together; changes no result.
    pub batch: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// Device to compute on.
    pub device: &'a Device,
    image_pairs: OnceCell<PairDistance>,
}

/// Inputs that the numbers of one tap depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the network.
    pub comparator: String,
    /// Origin of its weights.
    pub weights: String,
    /// The tap that is inverted.
    pub tap: String,
    /// The prior.
    pub prior: Prior,
    /// Settings of the descent.
    pub settings: Settings,
    /// Seed of the noise.
    pub seed: u64,
    /// Description of the pictures.
    pub dataset: String,
    /// Height and width of the images in pixels.
    pub size: [usize; 2],
    /// Number of pictures that were inverted.
    pub pictures: usize,
    /// Number of pictures that `N` was computed from.
    pub pairs: usize,
}

/// The file `OUT/<prior>-<tap>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inversion {
    /// Inputs of the inversion.
    pub job: Job,
    /// Numbers that were measured.
    pub rows: Vec<Row>,
    /// Pictures that are in no mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A picture without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Index of the picture.
    pub picture: usize,
    /// Reason, e.g. `target features are all zero`.
    pub reason: String,
}

impl Inversion {
    /// Refuses an inversion without any error that is defined.
    ///
    /// # Errors
    /// If all pictures were left out, or are equal, so that nothing can be normalised.
    pub fn check(&self) -> Result<(), EvalError> {
        let errors = || self.rows.iter().filter(|row| row.unit == "%");
        if errors().any(|row| row.value.is_some()) {
            return Ok(());
        }
        let reason = match (self.left_out.first(), errors().next()) {
            (Some(LeftOut { picture, reason }), _) => format!("picture {picture}: {reason}"),
            (None, Some(row)) => format!("{}: {}", row.name, row.note),
            (None, None) => "no error was measured".into(),
        };
        let measure = format!("inversion of {}", self.job.tap);
        Err(EvalError::Undefined { measure, reason })
    }
}

impl<'a> Experiment<'a> {
    /// Inverts the first 20 images of a source with Mahendran & Vedaldi's prior, on the CPU, 4 at a
    /// time, with random weights and seed 0; fields can be set.
    pub fn new(comparator: ComparatorKind, source: &'a dyn Source, crop: Crop) -> Self {
        Self {
            comparator,
            weights: None,
            source,
            crop,
            dataset: "",
            prior: Prior::MahendranVedaldi,
            steps: None,
            pictures: 20,
            pairs: source.len(),
            batch: 4,
            seed: 0,
            device: &Device::Cpu,
            image_pairs: OnceCell::new(),
        }
    }

    /// Inverts a tap, measures, and writes `<prior>-<tap>.json` and a row of pictures
    /// `<prior>-<tap>.png` to `out`, each whole or not at all. If both are there and the file says
    /// that it was made from the same [`Job`], it is returned as it is, with `true`.
    ///
    /// Rows: the normalised Euclidean error in image space and in feature space (`%`), the relative
    /// objective `‖Φ(x) - Φ0‖²/‖Φ0‖²` at the end, and seconds for each picture. Means are over the
    /// pictures whose descent finished; the others are listed, and drawn as what it started from.
    ///
    /// # Errors
    /// If there is no such tap, weights do not fit, pictures cannot be read or are too few, or a file
    /// cannot be written.
    pub fn run(&self, tap: &str, out: &Path) -> Result<(Inversion, bool), EvalError> {
        let seed = RANDOM_SEED;
        let net = self.comparator.open_to(tap, self.weights, seed, self.device)?;
        let job = self.job(tap, &*net)?;
        let (file, strip) = (self.path(out, tap, "json"), self.path(out, tap, "png"));
        if strip.is_file()
            && let Some(done) = finished(&file, &job)
        {
            return Ok((done, true));
        }
        std::fs::create_dir_all(out).map_err(EvalError::io("creating folder", out))?;
        let (inversion, pictures) = self.measured(&*net, job)?;
        // The row of pictures first: a file of numbers says that both are there.
        grid(&[pictures], GAP).write_png(&strip)?;
        write_atomic(&file, &json(&inversion, "an inversion")?)?;
        Ok((inversion, false))
    }

    /// Writes `<prior>.png`: the originals, and below them a row for each tap, all of which
    /// [`run`](Self::run) has inverted. The mean is added back, values are rounded and clamped.
    ///
    /// # Errors
    /// If a row is missing, or the sheet cannot be written.
    pub fn sheet(&self, taps: &[&str], out: &Path) -> Result<PathBuf, EvalError> {
        let originals = pictures(&self.images(0..self.pictures())?)?;
        let mut rows = vec![vec![grid(&[originals], GAP)]];
        for tap in taps {
            rows.push(vec![Picture::read_png(&self.path(out, tap, "png"))?]);
        }
        let path = out.join(format!("{}.png", self.prior));
        grid(&rows, GAP).write_png(&path)?;
        Ok(path)
    }

    fn pictures(&self) -> usize {
        self.pictures.min(self.source.len())
    }

    fn path(&self, out: &Path, tap: &str, extension: &str) -> PathBuf {
        out.join(format!("{}-{}.{extension}", self.prior, tap.replace('/', "-")))
    }

    fn job(&self, tap: &str, net: &dyn Comparator) -> Result<Job, EvalError> {
        if self.pictures() == 0 {
            let got = format!("{} of {}", self.pictures, self.source.len());
            return Err(EvalError::input("inversion", "one picture or more", got));
        }
        let part = self.crop.rectangle(self.source.height(), self.source.width())?;
        let settings = self.prior.settings(tap);
        Ok(Job {
            comparator: net.name().into(),
            weights: net.origin().to_string(),
            tap: tap.into(),
            prior: self.prior,
            settings: self.steps.map_or(settings, |steps| settings.with_steps(steps)),
            seed: self.seed,
            dataset: self.dataset.into(),
            size: [part.height, part.width],
            pictures: self.pictures(),
            pairs: self.pairs.clamp(self.pictures(), self.source.len().max(self.pictures())),
        })
    }

    fn images(&self, range: std::ops::Range<usize>) -> Result<Images, EvalError> {
        let batch = read_range(self.source, range, self.crop)?;
        let (n, height, width) = (batch.n, batch.height, batch.width);
        let format = PixelFormat::CAFFE_BGR;
        Ok(Images::from_u8(&batch.pixels, n, height, width, format, self.device)?)
    }

    /// `N` over the first pictures, in the space that `of` maps them to.
    fn normaliser(
        &self,
        what: &str,
        pictures: usize,
        of: impl Fn(&Images) -> Result<Vec<f32>, EvalError>,
    ) -> Result<PairDistance, EvalError> {
        let mut samples = Vec::new();
        let span = info_span!("normaliser", what, total = pictures as u64, done = Empty).entered();
        for range in ranges(pictures, self.batch) {
            let values = of(&self.images(range.clone())?)?;
            samples.reserve_exact(values.len() / range.len() * pictures - samples.len());
            samples.extend(values);
            span.record("done", range.end as u64);
        }
        drop(span);
        let dimensions = samples.len().checked_div(pictures).unwrap_or(0);
        mean_pair_distance(&mut samples, dimensions, self.seed)
    }

    fn measured(
        &self,
        net: &dyn Comparator,
        job: Job,
    ) -> Result<(Inversion, Vec<Picture>), EvalError> {
        let (tap, n) = (&*job.tap, job.pictures);
        let image_pairs = match self.image_pairs.get() {
            Some(pairs) => *pairs,
            None => {
                let pairs = self
                    .normaliser("N in image space", job.pairs, |images| numbers(images.tensor()))?;
                *self.image_pairs.get_or_init(|| pairs)
            }
        };
        let what = format!("N at {tap}");
        let features = |images: &Images| numbers(&net.features(images, tap)?);
        let feature_pairs = self.normaliser(&what, job.pairs, features)?;

        let (mut image_distances, mut feature_distances) = (Vec::new(), Vec::new());
        let (mut objectives, mut endings, mut row) = (Vec::new(), Vec::new(), Vec::new());
        let mut seconds = 0.0;
        let what = format!("{tap}, pictures");
        let span = info_span!("inverting", what, total = n as u64, done = Empty).entered();
        for range in ranges(n, self.batch) {
            let originals = self.images(range.clone())?;
            let size = (originals.height(), originals.width());
            let target = net.features(&originals, tap)?;
            let (start, first) = (Instant::now(), range.start as u64);
            let found = invert(net, tap, &target, size, &job.settings, self.seed, first)?;
            seconds += start.elapsed().as_secs_f64();
            let answers = net.features(&found.images, tap)?;
            image_distances.extend(distances(originals.tensor(), found.images.tensor())?);
            feature_distances.extend(distances(&target, &answers)?);
            objectives
                .extend(found.objective.iter().map(|v| v.last().copied().unwrap_or(f64::NAN)));
            endings.extend(found.endings);
            row.extend(pictures(&found.images)?);
            span.record("done", range.end as u64);
        }
        drop(span);

        let left_out: Vec<LeftOut> = endings
            .iter()
            .enumerate()
            .filter(|(_, ending)| !ending.is_finished())
            .map(|(picture, ending)| LeftOut { picture, reason: ending.to_string() })
            .collect();
        for left in &left_out {
            for values in [&mut image_distances, &mut feature_distances, &mut objectives] {
                values[left.picture] = f64::NAN;
            }
        }
        let space = format!("{} {tap} feature space", job.comparator);
        let [height, width] = job.size;
        let unclipped = format!("pixels, unclipped, {height}x{width}");
        let error = |name: String, distances: &[f64], pairs: &PairDistance, note: &str| {
            Row::normalised(name, distances, pairs, format!("{note}; {pairs}; spread over images"))
        };
        let note = format!(
            "squared distance of features over the squared norm, {}{}",
            job.weights,
            backed_off(&endings)
        );
        let rows = vec![
            error(IMAGE_SPACE.into(), &image_distances, &image_pairs, &unclipped),
            error(space, &feature_distances, &feature_pairs, &job.weights),
            Row::mean("relative objective", &objectives, "", note),
            Row::new(
                "time for a picture",
                seconds / n as f64,
                "s",
                format!("{} steps, {} pictures together", job.settings.steps(), self.batch),
            ),
        ];
        Ok((Inversion { job, rows, left_out }, row))
    }
}

/// The pictures whose learning rates are not the schedule's own, in words.
fn backed_off(endings: &[Ending]) -> String {
    let divisors = endings.iter().filter_map(|ending| match ending {
        Ending::Finished { divisor } if *divisor > 1 => Some(*divisor),
        _ => None,
    });
    match divisors.clone().max() {
        Some(most) => {
            format!("; learning rates divided by up to {most} for {} pictures", divisors.count())
        }
        None => String::new(),
    }
}

/// Reads the result in a file, if it was made from this job. A file that cannot be read is made anew, and so is
/// one that lacks a value and does not say why.
fn finished(file: &Path, job: &Job) -> Option<Inversion> {
    let done: Inversion = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    // Through the same text, so that both have the same rounding.
    let job: Job = serde_json::from_slice(&serde_json::to_vec(job).ok()?).ok()?;
    let explained = !done.left_out.is_empty() || done.rows.iter().all(|row| row.value.is_some());
    (done.job == job && explained).then_some(done)
}

/// Distances of the rows of two batches.
fn distances(a: &candle_core::Tensor, b: &candle_core::Tensor) -> Result<Vec<f64>, EvalError> {
    let n = a.dims().first().copied().unwrap_or(1).max(1);
    let (a, b) = (numbers(a)?, numbers(b)?);
    let size = (a.len() / n).max(1);
    Ok(a.chunks_exact(size)
        .zip(b.chunks_exact(size))
        .map(|(a, b)| euclidean_distance(a, b))
        .collect())
}
