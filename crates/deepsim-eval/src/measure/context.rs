//! Model, data and choice of images that every measure is given.

use std::cell::OnceCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_data::{Batch, Crop, Dataset, Loader, LoaderConfig, Source, Subset, read_range};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use deepsim_run::files::EVAL;
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::{info_span, warn};

use super::model::Model;
use crate::EvalError;
use crate::arrays::{numbers, ranges};
use crate::comparators::{self, is_random};

/// Choice of images that all measures share. The defaults are the protocol of Tables 3 and 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Images per step through a network; bounds memory, changes no result.
    pub batch: usize,
    /// Number of test images, from the first on; all if `None`.
    pub test_images: Option<usize>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { batch: 64, test_images: None, seed: 0 }
    }
}

/// Threads that read images ahead, at most.
const READERS: usize = 4;

/// Number of test images that measures draw pictures of, by default.
pub(super) const SHOWN: usize = 12;

/// The test images that measures draw pictures of, by default.
pub(super) fn shown() -> Vec<usize> {
    (0..SHOWN).collect()
}

/// Model, data and choice of images that every measure is given.
pub struct Context<'a> {
    /// The generator and what it inverts.
    pub model: &'a Model,
    /// The run folder.
    pub run: &'a Path,
    /// The data set.
    pub dataset: &'a Dataset,
    /// Folder in which comparators' weights are looked for.
    pub weights: Option<&'a Path>,
    /// Choice of images.
    pub sampling: &'a Sampling,
    /// Device to compute on.
    pub device: &'a Device,
    reconstructions: OnceCell<Reconstructions>,
}

impl<'a> Context<'a> {
    /// Creates the context of a run folder's model and the images to measure it on.
    pub fn new(
        model: &'a Model,
        run: &'a Path,
        dataset: &'a Dataset,
        weights: Option<&'a Path>,
        sampling: &'a Sampling,
        device: &'a Device,
    ) -> Self {
        let reconstructions = OnceCell::new();
        Self { model, run, dataset, weights, sampling, device, reconstructions }
    }

    /// Folder of results, `RUN/eval`; it is created.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn folder(&self) -> Result<PathBuf, EvalError> {
        let folder = self.run.join(EVAL);
        std::fs::create_dir_all(&folder).map_err(EvalError::io("creating folder", &folder))?;
        Ok(folder)
    }

    /// Number of test images to measure on.
    pub fn test_len(&self) -> usize {
        let all = self.dataset.test.images.len();
        self.sampling.test_images.map_or(all, |n| n.min(all))
    }

    /// Hands the first `n` images of a source to `each`, a batch at a time and in order, in a span of
    /// the name `what`. The next batches are read meanwhile.
    ///
    /// # Errors
    /// If an image cannot be read, or `each` fails.
    pub fn batches(
        &self,
        what: &str,
        source: &Arc<dyn Source>,
        n: usize,
        crop: Crop,
        mut each: impl FnMut(&Batch, &Images) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let span = info_span!("batches", what, total = n as u64, done = Empty).entered();
        if n == 0 {
            return Ok(());
        }
        let first: Arc<dyn Source> = match n == source.len() {
            true => source.clone(),
            false => Arc::new(Subset::new(source.clone(), (0..n).collect())?),
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS);
        let batch = self.sampling.batch;
        let config =
            LoaderConfig { batch, crop, workers, shuffle: false, ..LoaderConfig::default() };
        let mut done = 0;
        for batch in Loader::epoch(first, config, 0)? {
            let batch = batch?;
            let images = Images::from_u8(
                &batch.pixels,
                batch.n,
                batch.height,
                batch.width,
                PixelFormat::CAFFE_BGR,
                self.device,
            )?;
            each(&batch, &images)?;
            done += batch.n;
            span.record("done", done as u64);
        }
        Ok(())
    }

    /// Returns the side of the images that the generator is for; see [`Model::side`].
    pub fn side(&self) -> usize {
        self.model.side()
    }

    /// Returns the test images to draw: those that are asked for, or of the default ones those that there are.
    /// Fewer than `least` are refused.
    pub(super) fn shown(
        &self,
        measure: &'static str,
        images: &[usize],
        least: usize,
    ) -> Result<Vec<usize>, EvalError> {
        let all = self.dataset.test.images.len();
        let mut images = images.to_vec();
        if images == shown() {
            images.retain(|index| *index < all);
        }
        if images.len() < least {
            let wanted = format!("at least {least} of the option `images`");
            let got = format!("{} of {all} test images", images.len());
            return Err(EvalError::input(measure, wanted, got));
        }
        Ok(images)
    }

    /// The middle of a test image, as a picture and as an image for networks.
    ///
    /// # Errors
    /// If there is no such test image, or it cannot be read.
    pub fn test_image(&self, index: usize) -> Result<(Picture, Images), EvalError> {
        let test = &*self.dataset.test.images;
        if index >= test.len() {
            let wanted = format!("test images below {}", test.len());
            return Err(EvalError::input("an image of the grid", wanted, index.to_string()));
        }
        let side = self.side();
        let planes = read_range(test, index..index + 1, Crop::Center(side))?.pixels;
        let format = PixelFormat::CAFFE_BGR;
        let image = Images::from_u8(&planes, 1, side, side, format, self.device)?;
        Ok((Picture::from_planes(&planes, side, side), image))
    }

    /// Centre crops of the test images with their reconstructions; computed once for all measures.
    ///
    /// # Errors
    /// If images cannot be read or the generator fails.
    pub fn reconstructions(&self) -> Result<&Reconstructions, EvalError> {
        if let Some(done) = self.reconstructions.get() {
            return Ok(done);
        }
        let (n, side) = (self.test_len(), self.side());
        let mut originals = Vec::with_capacity(n * 3 * side * side);
        let mut values = Vec::with_capacity(n * 3 * side * side);
        let crop = Crop::Center(side);
        self.batches("reconstructing", &self.dataset.test.images, n, crop, |batch, images| {
            originals.extend_from_slice(&batch.pixels);
            let reconstructed = self.model.reconstruct(images)?;
            values.extend(numbers(reconstructed.convert(PixelFormat::CAFFE_BGR)?.tensor())?);
            Ok(())
        })?;
        let device = self.device.clone();
        let batch = self.sampling.batch;
        Ok(self.reconstructions.get_or_init(|| Reconstructions {
            n,
            side,
            batch,
            originals,
            values,
            device,
        }))
    }

    /// Opens a comparator with its weights, or with random ones and a warning if there is no file.
    ///
    /// # Errors
    /// If the file does not fit.
    pub fn comparator(&self, kind: &ComparatorKind) -> Result<Box<dyn Comparator>, EvalError> {
        let net = comparators::open(kind, self.weights, self.device)?;
        if is_random(&*net) {
            warn!("{}: no weights found; {} are used", net.name(), net.origin());
        }
        Ok(net)
    }
}

/// Test images and what the generator makes of them.
#[derive(Clone, Debug)]
pub struct Reconstructions {
    n: usize,
    side: usize,
    batch: usize,
    originals: Vec<u8>,
    values: Vec<f32>,
    device: Device,
}

impl Reconstructions {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.n
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Side of the images in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Ranges of at most [`Sampling::batch`] images, to be measured together.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        ranges(self.n, self.batch)
    }

    /// Originals and reconstructions, both in [`PixelFormat::CAFFE_BGR`] and neither clipped. Errors and spectra take
    /// these; what people see takes [`Images::to_u8`] of them, rounded and clamped.
    ///
    /// # Shapes
    /// Two times `(range.len(), 3, side, side)`
    ///
    /// # Errors
    /// If the range is out of bounds.
    pub fn images(&self, range: Range<usize>) -> Result<(Images, Images), EvalError> {
        let size = 3 * self.side * self.side;
        if range.start > range.end || range.end > self.n {
            let got = format!("{range:?}");
            return Err(EvalError::input("reconstructions", format!("0..{}", self.n), got));
        }
        let (n, span) = (range.len(), range.start * size..range.end * size);
        let format = PixelFormat::CAFFE_BGR;
        let bytes = &self.originals[span.clone()];
        let originals = Images::from_u8(bytes, n, self.side, self.side, format, &self.device)?;
        let shape = (n, 3, self.side, self.side);
        let values = Tensor::from_slice(&self.values[span], shape, &self.device)?;
        Ok((originals, Images::of_output(values, format)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampling_is_read_back_and_unknown_keys_are_refused()
    -> Result<(), Box<dyn std::error::Error>> {
        let sampling = Sampling { test_images: Some(3), ..Sampling::default() };
        let text = serde_json::to_string(&sampling)?;
        assert_eq!(text, r#"{"batch":64,"test_images":3,"seed":0}"#);
        assert_eq!(serde_json::from_str::<Sampling>(&text)?, sampling);
        assert_eq!(serde_json::from_str::<Sampling>("{}")?, Sampling::default());
        assert!(serde_json::from_str::<Sampling>(r#"{"limit": 3}"#).is_err());
        Ok(())
    }
}
