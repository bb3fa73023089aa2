//! Batches in a fixed order, prepared by worker threads.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::draw::{Draw, Sequence};
use crate::source::Rectangle;
use crate::{Crop, DataError, Source};

/// A position in the endless sequence of samples: two integers to save and go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Passes over the data that are complete.
    pub epoch: u64,
    /// Samples taken in this pass, by all ranks together.
    pub position: u64,
}

impl Cursor {
    pub(crate) fn advanced(self, samples: u64, len: u64) -> Self {
        let position = self.position + samples;
        Self { epoch: self.epoch + position / len, position: position % len }
    }
}

/// What to do with a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// The batch is an error.
    #[default]
    Fail,
    /// Another sample, drawn at random, takes its place, and [`Batch::skipped`] says so; more than
    /// this many since the loader was started are an error.
    Skip(u64),
}

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples in a batch; every batch is full and may reach into the next epoch.
    pub batch: usize,
    /// What is cut out of each image.
    pub crop: Crop,
    /// Whether half of the images, chosen at random, are mirrored left to right.
    pub mirror: bool,
    /// Seed of order, crops and mirroring.
    pub seed: u64,
    /// Threads that read, decode and crop; they change the speed only.
    pub workers: usize,
    /// Batches prepared ahead, by all workers together.
    pub prefetch: usize,
    /// Whether each epoch has its own random order.
    pub shuffle: bool,
    /// Which of `world` equal shares of each step this loader takes.
    pub rank: usize,
    /// Number of processes that share the data. The batches of ranks 0, 1, ... of a step, one after
    /// the other, are what a single process with a batch `world` times as large gets.
    pub world: usize,
    /// What to do with a sample that cannot be read.
    pub broken: Broken,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch: 64,
            crop: Crop::Full,
            mirror: false,
            seed: 0,
            workers: 1,
            prefetch: 4,
            shuffle: true,
            rank: 0,
            world: 1,
            broken: Broken::Fail,
        }
    }
}

/// Pixels of some images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `n x 3 x height x width` bytes: planes red, green, blue, each row-major.
    pub pixels: Vec<u8>,
    /// Images.
    pub n: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Where each image comes from.
    pub samples: Vec<Sample>,
    /// Samples that could not be read and were replaced.
    pub skipped: Vec<Skipped>,
    /// Where to go on after this batch; the same for every rank.
    pub next: Cursor,
}

/// Where an image of a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Which image of the source.
    pub index: usize,
    /// Its class, if the source has labels.
    pub label: Option<u32>,
    /// Which part of it.
    pub part: Rectangle,
    /// Whether it was mirrored left to right after cutting.
    pub mirrored: bool,
}

/// A sample that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which image of the source.
    pub index: usize,
    /// Why: the error's words.
    pub reason: String,
}

/// An endless iterator over batches.
///
/// The sequence is a function of the source, the configuration and the cursor alone; the number of
/// workers changes nothing. There are at most `prefetch + 2 * workers` batches in memory, and one
/// decoded picture for each worker.
pub struct Loader {
    /// Worker `i` prepares every batch whose number is `i` modulo their count, so taking from them
    /// in turn restores the order.
    queues: Vec<Receiver<Result<Batch, DataError>>>,
    workers: Vec<JoinHandle<()>>,
    turn: usize,
    broken: Broken,
    skipped: u64,
}

impl Loader {
    /// Starts the workers at `cursor`.
    ///
    /// # Errors
    /// If the source is empty, the crop too large, the batch, the number of workers or of processes
    /// 0, or the rank not below the latter.
    pub fn new(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        cursor: Cursor,
    ) -> Result<Self, DataError> {
        check(&*source, &config, cursor)?;
        let ahead = config.prefetch.div_ceil(config.workers).max(1);
        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for worker in 0..config.workers {
            let (sender, receiver) = bounded(ahead);
            let source = source.clone();
            workers.push(std::thread::spawn(move || {
                let sequence = Sequence::new(source.len(), &config);
                let step = (config.batch * config.world) as u64;
                let mut at = cursor.advanced(worker as u64 * step, sequence.len());
                // Ends when the loader is dropped and nobody receives any more.
                while sender.send(read_batch(&*source, &config, &sequence, at)).is_ok() {
                    at = at.advanced(config.workers as u64 * step, sequence.len());
                }
            }));
            queues.push(receiver);
        }
        Ok(Self { queues, workers, turn: 0, broken: config.broken, skipped: 0 })
    }
}

fn check(source: &dyn Source, config: &LoaderConfig, cursor: Cursor) -> Result<(), DataError> {
    let refuse = |wanted: &str, got: String| {
        Err(DataError::Argument { operation: "starting a loader", wanted: wanted.into(), got })
    };
    let (len, batch, workers) = (source.len(), config.batch, config.workers);
    if len == 0 || batch == 0 || workers == 0 {
        let got = format!("{len} images, batch {batch}, {workers} workers");
        return refuse("a source with images, a batch and a worker", got);
    }
    if config.rank >= config.world {
        let got = format!("rank {} of {}", config.rank, config.world);
        return refuse("a rank below the number of processes", got);
    }
    if cursor.position >= len as u64 {
        return refuse(&format!("a cursor position below {len}"), cursor.position.to_string());
    }
    config.crop.rectangle(source.height(), source.width()).map(|_| ())
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.queues[self.turn].recv().ok()?;
        self.turn = (self.turn + 1) % self.queues.len();
        let Ok(batch) = batch else { return Some(batch) };
        // Counted here, in the order of delivery, so that workers change nothing.
        self.skipped += batch.skipped.len() as u64;
        match (self.broken, batch.skipped.last()) {
            (Broken::Skip(limit), Some(last)) if self.skipped > limit => {
                let (count, reason) = (self.skipped, last.reason.clone());
                Some(Err(DataError::TooManyBroken { limit, count, reason }))
            }
            _ => Some(Ok(batch)),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has ended too; there is nobody left to tell.
            let _ = worker.join();
        }
    }
}

/// Replacements tried for one sample before its batch is an error.
const REPLACEMENTS: u64 = 16;

fn read_batch(
    source: &dyn Source,
    config: &LoaderConfig,
    sequence: &Sequence,
    cursor: Cursor,
) -> Result<Batch, DataError> {
    let whole = config.crop.rectangle(source.height(), source.width())?;
    let (height, width) = (whole.height, whole.width);
    let mut batch = Batch {
        pixels: vec![0; config.batch * 3 * height * width],
        n: config.batch,
        height,
        width,
        next: cursor.advanced((config.batch * config.world) as u64, sequence.len()),
        ..Batch::default()
    };
    let first = (config.rank * config.batch) as u64;
    for (i, out) in batch.pixels.chunks_exact_mut(3 * height * width).enumerate() {
        let at = cursor.advanced(first + i as u64, sequence.len());
        let mut attempt = 0;
        let sample = loop {
            let draw = sequence.draw(at, attempt);
            match read_sample(source, config, whole, &draw, out) {
                Ok(sample) => break sample,
                Err(error) if config.broken == Broken::Fail || attempt == REPLACEMENTS => {
                    return Err(error);
                }
                Err(error) => {
                    let (index, reason) = (draw.index(), error.to_string());
                    batch.skipped.push(Skipped { index, reason });
                    attempt += 1;
                }
            }
        };
        batch.samples.push(sample);
    }
    Ok(batch)
}

fn read_sample(
    source: &dyn Source,
    config: &LoaderConfig,
    whole: Rectangle,
    draw: &Draw,
    out: &mut [u8],
) -> Result<Sample, DataError> {
    let part = match config.crop {
        Crop::Random(_) => {
            let places = (source.height() - whole.height + 1, source.width() - whole.width + 1);
            let (top, left) = draw.corner(places);
            Rectangle { top, left, ..whole }
        }
        Crop::Center(_) | Crop::Full => whole,
    };
    let index = draw.index();
    source.read_part(index, part, out)?;
    let mirrored = config.mirror && draw.mirrored();
    if mirrored {
        out.chunks_exact_mut(whole.width).for_each(<[u8]>::reverse);
    }
    Ok(Sample { index, label: source.label(index), part, mirrored })
}

/// Images `range` of a source in order, for evaluation; a random crop is not accepted.
///
/// # Errors
/// If the range reaches beyond the source, the crop does not fit, or an image cannot be read.
///
/// ```
/// use deepsim_data::{Crop, Scenes, read_range, scenes};
/// let test = Scenes::new(0, scenes::TEST, 100);
/// let batch = read_range(&test, 10..14, Crop::Center(64))?;
/// assert_eq!((batch.n, batch.height, batch.samples[0].index), (4, 64, 10));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
pub fn read_range(
    source: &dyn Source,
    range: std::ops::Range<usize>,
    crop: Crop,
) -> Result<Batch, DataError> {
    if range.end > source.len() || range.is_empty() || matches!(crop, Crop::Random(_)) {
        return Err(DataError::Argument {
            operation: "reading a range",
            wanted: format!("a range within 0..{} and a fixed crop", source.len()),
            got: format!("{range:?} and {crop:?}"),
        });
    }
    let part = crop.rectangle(source.height(), source.width())?;
    let mut pixels = vec![0; range.len() * 3 * part.height * part.width];
    pixels
        .par_chunks_mut(3 * part.height * part.width)
        .zip(range.clone())
        .try_for_each(|(out, index)| source.read_part(index, part, out))?;
    let next = Cursor { epoch: 0, position: range.end as u64 };
    let (n, height, width) = (range.len(), part.height, part.width);
    let sample = |index| Sample { index, label: source.label(index), part, mirrored: false };
    let samples = range.map(sample).collect();
    Ok(Batch { pixels, n, height, width, samples, skipped: Vec::new(), next })
}
