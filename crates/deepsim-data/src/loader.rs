//! Batches in a fixed order, prepared by worker threads.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::order::Permutation;
use crate::random::{Purpose, below, stream};
use crate::source::copy_crop;
use crate::{Crop, DataError, Source};

/// A position in the endless sequence of samples: two integers to save and go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Passes over the data that are complete.
    pub epoch: u64,
    /// Samples taken in this pass.
    pub position: u64,
}

impl Cursor {
    fn advanced(self, samples: u64, len: u64) -> Self {
        let position = self.position + samples;
        Self { epoch: self.epoch + position / len, position: position % len }
    }
}

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples in a batch; every batch is full and may reach into the next epoch.
    pub batch: usize,
    /// What is cut out of each image.
    pub crop: Crop,
    /// Seed of order and crops.
    pub seed: u64,
    /// Threads that read and crop; they change the speed only.
    pub workers: usize,
    /// Batches prepared ahead.
    pub prefetch: usize,
    /// Whether each epoch has its own random order.
    pub shuffle: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { batch: 64, crop: Crop::Full, seed: 0, workers: 1, prefetch: 4, shuffle: true }
    }
}

/// Pixels of some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `n x 3 x height x width` bytes: planes red, green, blue, each row-major.
    pub pixels: Vec<u8>,
    /// Images.
    pub n: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Which images of the source they are.
    pub indices: Vec<usize>,
    /// Where to go on after this batch.
    pub next: Cursor,
}

/// An endless iterator over batches.
///
/// The sequence is a function of the source, the configuration and the cursor alone.
pub struct Loader {
    /// Worker `i` prepares every batch whose number is `i` modulo their count, so taking from them
    /// in turn restores the order.
    queues: Vec<Receiver<Result<Batch, DataError>>>,
    workers: Vec<JoinHandle<()>>,
    turn: usize,
}

impl Loader {
    /// Starts the workers at `cursor`.
    ///
    /// # Errors
    /// If the source is empty, the crop too large, or the batch or the number of workers 0.
    pub fn new(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        cursor: Cursor,
    ) -> Result<Self, DataError> {
        let refuse = |wanted: &str, got: String| DataError::Argument {
            operation: "starting a loader",
            wanted: wanted.into(),
            got,
        };
        if source.is_empty() || config.batch == 0 || config.workers == 0 {
            return Err(refuse(
                "a source with images, a batch and a worker",
                format!(
                    "{} images, batch {}, {} workers",
                    source.len(),
                    config.batch,
                    config.workers
                ),
            ));
        }
        if cursor.position >= source.len() as u64 {
            let wanted = format!("a cursor position below {}", source.len());
            return Err(refuse(&wanted, cursor.position.to_string()));
        }
        config.crop.size(source.height(), source.width())?;
        let ahead = config.prefetch.div_ceil(config.workers).max(1);
        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for worker in 0..config.workers {
            let (sender, receiver) = bounded(ahead);
            let source = source.clone();
            workers.push(std::thread::spawn(move || {
                let len = source.len() as u64;
                let skip = |batches: usize| (batches * config.batch) as u64;
                let mut at = cursor.advanced(skip(worker), len);
                // Ends when the loader is dropped and nobody receives any more.
                while sender.send(read_batch(&*source, &config, at)).is_ok() {
                    at = at.advanced(skip(config.workers), len);
                }
            }));
            queues.push(receiver);
        }
        Ok(Self { queues, workers, turn: 0 })
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.queues[self.turn].recv().ok()?;
        self.turn = (self.turn + 1) % self.queues.len();
        Some(batch)
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

fn read_batch(
    source: &dyn Source,
    config: &LoaderConfig,
    cursor: Cursor,
) -> Result<Batch, DataError> {
    let len = source.len() as u64;
    let mut order = None;
    let samples = (0..config.batch as u64).map(|i| {
        let at = cursor.advanced(i, len);
        let permutation = match order {
            Some((epoch, permutation)) if epoch == at.epoch => permutation,
            _ => Permutation::new(source.len(), config.seed, at.epoch),
        };
        order = Some((at.epoch, permutation));
        let position = at.position as usize;
        (at, if config.shuffle { permutation.get(position) } else { position })
    });
    let samples: Vec<(Cursor, usize)> = samples.collect();
    let size = (source.height(), source.width());
    let (height, width) = config.crop.size(size.0, size.1)?;
    let mut image = vec![0; 3 * size.0 * size.1];
    let mut pixels = vec![0; config.batch * 3 * height * width];
    for ((at, index), out) in samples.iter().zip(pixels.chunks_exact_mut(3 * height * width)) {
        source.read(*index, &mut image)?;
        let corner = match config.crop {
            Crop::Random(_) => {
                let mut rng = stream(config.seed, Purpose::Crop, at.epoch, at.position);
                (below(&mut rng, size.0 - height + 1), below(&mut rng, size.1 - width + 1))
            }
            Crop::Center(_) | Crop::Full => ((size.0 - height) / 2, (size.1 - width) / 2),
        };
        copy_crop(&image, size, corner, (height, width), out);
    }
    Ok(Batch {
        pixels,
        n: config.batch,
        height,
        width,
        indices: samples.iter().map(|(_, index)| *index).collect(),
        next: cursor.advanced(config.batch as u64, len),
    })
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
/// assert_eq!((batch.n, batch.height, batch.indices[0]), (4, 64, 10));
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
    let size = (source.height(), source.width());
    let (height, width) = crop.size(size.0, size.1)?;
    let corner = ((size.0 - height) / 2, (size.1 - width) / 2);
    let mut pixels = vec![0; range.len() * 3 * height * width];
    pixels.par_chunks_mut(3 * height * width).zip(range.clone()).try_for_each(|(out, index)| {
        let mut image = vec![0; 3 * size.0 * size.1];
        source.read(index, &mut image)?;
        copy_crop(&image, size, corner, (height, width), out);
        Ok::<(), DataError>(())
    })?;
    let next = Cursor { epoch: 0, position: range.end as u64 };
    Ok(Batch { pixels, n: range.len(), height, width, indices: range.collect(), next })
}
