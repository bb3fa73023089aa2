//! Batches in a fixed order, prepared by worker threads.

use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, bounded};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::draw::{Draw, Sequence};
use crate::memory::{rgb_bytes, rgb_zeros};
use crate::panics::{caught, guarded};
use crate::resume::{LoaderState, Tally};
use crate::source::Rectangle;
use crate::{Crop, DataError, Source};

/// A position in the endless sequence of samples.
///
/// It means something only together with the seed and the data: [`LoaderState`] holds all three.
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
        let position = u128::from(self.position) + u128::from(samples);
        let (epochs, position) = (position / u128::from(len), position % u128::from(len));
        Self { epoch: self.epoch.wrapping_add(epochs as u64), position: position as u64 }
    }
}

/// What to do with a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// The batch is an error.
    #[default]
    Fail,
    /// Another sample, drawn at random, takes its place, and [`Batch::skipped`] says so. More than
    /// this many different pictures are an error: one that is met again in each epoch counts once,
    /// also after [`Loader::resume`].
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
///
/// A panic while a sample is read, in a decoder or in the source, is an error of that sample
/// ([`DataError::Panicked`]), which [`Broken::Skip`] skips as others. Running out of memory inside a
/// source of your own ends the program, as everywhere in Rust.
pub struct Loader {
    /// Worker `i` prepares every batch whose number is `i` modulo their count, so taking from them
    /// in turn restores the order.
    queues: Vec<Receiver<Result<Batch, DataError>>>,
    workers: Vec<JoinHandle<()>>,
    turn: usize,
    source: Arc<dyn Source>,
    seed: u64,
    limit: Broken,
    cursor: Cursor,
    broken: Tally,
    /// [`Source::content`], once it was asked for.
    content: OnceLock<String>,
    dead: bool,
}

/// Most worker threads, and most batches prepared ahead.
const MAX_WORKERS: usize = 1 << 10;
const MAX_PREFETCH: usize = 1 << 16;

impl Loader {
    /// Starts the workers at `cursor`.
    ///
    /// # Errors
    /// If the source is empty, the crop too large, the batch, the number of workers or of processes
    /// 0 or too large to be counted, the rank not below the number of processes, or a thread cannot
    /// be started.
    pub fn new(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        cursor: Cursor,
    ) -> Result<Self, DataError> {
        check(&*source, &config, cursor)?;
        let mut loader = Self {
            queues: Vec::new(),
            workers: Vec::new(),
            turn: 0,
            source,
            seed: config.seed,
            limit: config.broken,
            cursor,
            broken: Tally::default(),
            content: OnceLock::new(),
            dead: false,
        };
        let ahead = config.prefetch.div_ceil(config.workers).max(1);
        for worker in 0..config.workers {
            let (sender, receiver) = bounded(ahead);
            let source = loader.source.clone();
            let work = move || {
                let sequence = Sequence::new(source.len(), &config);
                let step = (config.batch * config.world) as u64;
                let mut at = cursor.advanced(worker as u64 * step, sequence.len());
                let batch = |at| {
                    caught(|| read_batch(&*source, &config, &sequence, at))
                        .unwrap_or_else(|reason| Err(DataError::Worker { reason }))
                };
                // Ends when the loader is dropped and nobody receives any more.
                while sender.send(batch(at)).is_ok() {
                    at = at.advanced(config.workers as u64 * step, sequence.len());
                }
            };
            let thread = Builder::new().name(format!("loader {worker}")).spawn(work);
            let reason = |error| DataError::Worker { reason: format!("starting it: {error}") };
            loader.workers.push(thread.map_err(reason)?);
            loader.queues.push(receiver);
        }
        Ok(loader)
    }

    /// Continues where [`Loader::state`] was taken.
    ///
    /// # Errors
    /// As [`Loader::new`]; and if the seed or the data are not those of the state.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use deepsim_data::{Cursor, Loader, LoaderConfig, LoaderState, Scenes, scenes};
    /// let data = Arc::new(Scenes::new(0, scenes::TRAIN, 20));
    /// let config = LoaderConfig { batch: 8, ..LoaderConfig::default() };
    /// let mut loader = Loader::new(data.clone(), config, Cursor::default())?;
    /// loader.next().transpose()?;
    /// let saved = serde_json::to_string(&loader.state())?;
    ///
    /// let state: LoaderState = serde_json::from_str(&saved)?;
    /// let mut again = Loader::resume(data.clone(), config, &state)?;
    /// assert_eq!(again.next().transpose()?, loader.next().transpose()?);
    /// let other = LoaderConfig { seed: 1, ..config };
    /// assert!(Loader::resume(data, other, &state).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        state: &LoaderState,
    ) -> Result<Self, DataError> {
        state.check(&*source, &config)?;
        let mut loader = Self::new(source, config, state.cursor)?;
        loader.broken = Tally::of(state);
        loader.content = state.data.clone().into();
        Ok(loader)
    }

    /// Everything that is needed to continue after the last batch that was taken without an error.
    ///
    /// The first call looks at the data ([`Source::content`]), which takes a while for a folder of a
    /// million files.
    pub fn state(&self) -> LoaderState {
        LoaderState {
            cursor: self.cursor,
            seed: self.seed,
            data: self.content.get_or_init(|| self.source.content()).clone(),
            broken: self.broken.pictures(),
        }
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
    if workers > MAX_WORKERS || config.prefetch > MAX_PREFETCH {
        let wanted = format!("at most {MAX_WORKERS} workers and {MAX_PREFETCH} batches ahead");
        return refuse(&wanted, format!("{workers} and {}", config.prefetch));
    }
    let whole = config.crop.rectangle(source.height(), source.width())?;
    let bytes = rgb_bytes(batch, whole.height, whole.width);
    let step = batch.checked_mul(config.world).and_then(|step| step.checked_mul(workers));
    if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) || step.is_none() {
        let (height, width, world) = (whole.height, whole.width, config.world);
        let got = format!("{world} processes with {batch} images of {height}x{width}");
        return refuse("batches whose bytes can be counted", got);
    }
    Ok(())
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    /// The next batch. There always is one; `None` comes only after an error that said that a worker
    /// thread has ended.
    fn next(&mut self) -> Option<Self::Item> {
        if self.dead {
            return None;
        }
        let Ok(batch) = self.queues[self.turn].recv() else {
            self.dead = true;
            let reason = "its thread has ended".into();
            return Some(Err(DataError::Worker { reason }));
        };
        self.turn = (self.turn + 1) % self.queues.len();
        let Ok(batch) = batch else { return Some(batch) };
        // Counted here, in the order of delivery, so that workers change nothing.
        for skipped in &batch.skipped {
            self.broken.add(self.source.origin(skipped.index));
        }
        match (self.limit, batch.skipped.last()) {
            (Broken::Skip(limit), Some(last)) if self.broken.len() > limit => {
                let (count, reason) = (self.broken.len(), last.reason.clone());
                Some(Err(DataError::TooManyBroken { limit, count, reason }))
            }
            _ => {
                self.cursor = batch.next;
                Some(Ok(batch))
            }
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            // Panics are caught inside; there is nobody left to tell of any other.
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
        pixels: rgb_zeros(config.batch, height, width)?,
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
    let label = read_guarded(source, index, part, out)?;
    let mirrored = config.mirror && draw.mirrored();
    if mirrored {
        out.chunks_exact_mut(whole.width).for_each(<[u8]>::reverse);
    }
    Ok(Sample { index, label, part, mirrored })
}

/// Reads a part of an image, and its label; a panic is an error that names the image.
fn read_guarded(
    source: &dyn Source,
    index: usize,
    part: Rectangle,
    out: &mut [u8],
) -> Result<Option<u32>, DataError> {
    let read = || source.read_part(index, part, out).map(|()| source.label(index));
    guarded(index, || None, read)
}

/// Images `range` of a source in order, for evaluation; a random crop is not accepted.
///
/// # Errors
/// If the range reaches beyond the source, the crop does not fit, or an image cannot be read or panics.
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
    let mut pixels = rgb_zeros(range.len(), part.height, part.width)?;
    let samples: Vec<Sample> = pixels
        .par_chunks_mut(3 * part.height * part.width)
        .zip(range.clone())
        .map(|(out, index)| {
            let label = read_guarded(source, index, part, out)?;
            Ok(Sample { index, label, part, mirrored: false })
        })
        .collect::<Result<_, DataError>>()?;
    let next = Cursor { epoch: 0, position: range.end as u64 };
    let (n, height, width) = (range.len(), part.height, part.width);
    Ok(Batch { pixels, n, height, width, samples, skipped: Vec::new(), next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scenes, scenes};

    #[test]
    fn a_worker_that_has_ended_is_an_error_and_not_the_end() {
        let source = Arc::new(Scenes::new(0, scenes::TRAIN, 5));
        let config = LoaderConfig { batch: 2, ..LoaderConfig::default() };
        let mut loader = Loader::new(source, config, Cursor::default()).expect("a loader");
        // No panic ends a worker; what else could is made up by a queue that nobody fills.
        loader.queues = vec![bounded(1).1];
        let error = loader.next().expect("not the end").expect_err("no batch");
        assert!(error.to_string().contains("its thread has ended"), "{error}");
        assert!(loader.next().is_none(), "said once");
    }
}
