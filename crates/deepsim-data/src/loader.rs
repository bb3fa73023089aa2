//! Batches in a fixed order, prepared by worker threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, bounded};

use crate::batch::{Batch, Broken, Cursor, LoaderConfig};
use crate::draw::Sequence;
use crate::memory::rgb_bytes;
use crate::panics::caught;
use crate::read::{Work, read_batch};
use crate::resume::{LoaderState, Tally};
use crate::{DataError, Source};

/// An iterator over batches: endless, or one pass over the data ([`Loader::epoch`]).
///
/// The sequence is a function of the source, the configuration and the cursor alone; the number of
/// workers changes nothing. There are at most `prefetch + 2 * workers` batches in memory, and one
/// decoded picture for each worker.
///
/// A panic while a sample is read, in a decoder or in the source, is an error of that sample
/// ([`DataError::Panicked`]), which [`Broken::Skip`] skips as others. Running out of memory inside a
/// source of your own ends the program, as everywhere in Rust.
///
/// Reports by [`tracing`]: a warning for each picture that is skipped, a span `data wait` while no batch is
/// ready, and at the end of an epoch the seconds of all waits in it.
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
    /// Time without a batch since the epoch began.
    waited: Duration,
    /// Source and configuration shared by all workers.
    work: Arc<Work>,
    dead: bool,
}

/// Upper limits of the number of worker threads and of batches prepared ahead.
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
        let sequence = Sequence::new(source.len(), &config);
        let end = config.ends.then_some(cursor.epoch);
        let stop = AtomicBool::new(false);
        let work = Arc::new(Work { source: source.clone(), config, sequence, end, stop });
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
            waited: Duration::ZERO,
            work,
            dead: false,
        };
        let ahead = config.prefetch.div_ceil(config.workers).max(1);
        for worker in 0..config.workers {
            let (sender, receiver) = bounded(ahead);
            let work = loader.work.clone();
            let prepare = move || {
                let (step, len) = (work.step(), work.sequence.len());
                let mut at = cursor.advanced(worker as u64 * step, len);
                while work.samples(at) > 0 {
                    let batch = {
                        let _span = tracing::trace_span!("read batch").entered();
                        caught(|| read_batch(&work, at))
                            .unwrap_or_else(|reason| Err(DataError::Worker { reason }))
                            .transpose()
                    };
                    // None, or nobody who receives it: the loader is dropped.
                    let Some(batch) = batch else { break };
                    if sender.send(batch).is_err() {
                        break;
                    }
                    at = at.advanced(config.workers as u64 * step, len);
                }
            };
            let thread = Builder::new().name(format!("loader {worker}")).spawn(prepare);
            let reason = |error| DataError::Worker { reason: format!("starting it: {error}") };
            loader.workers.push(thread.map_err(reason)?);
            loader.queues.push(receiver);
        }
        Ok(loader)
    }

    /// Starts one pass over the data: each sample of `epoch` once, in its order, with a last batch that may be
    /// smaller. With [`Broken::Skip`], pictures that cannot be read are left out and not replaced.
    ///
    /// [`Loader::new`] and [`Loader::resume`] do the same from any cursor if [`LoaderConfig::ends`] is set. Of
    /// several ranks, each takes its share of every step; in the last step some may have a smaller batch
    /// than others, or none.
    ///
    /// # Errors
    /// As [`Loader::new`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use deepsim_data::{Crop, Loader, LoaderConfig, Scenes, scenes};
    /// let test = Arc::new(Scenes::new(0, scenes::TEST, 20));
    /// let config =
    ///     LoaderConfig { batch: 8, crop: Crop::Center(64), shuffle: false, ..LoaderConfig::default() };
    /// let sizes: Result<Vec<usize>, _> =
    ///     Loader::epoch(test, config, 0)?.map(|batch| batch.map(|batch| batch.n)).collect();
    /// assert_eq!(sizes?, [8, 8, 4]);
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn epoch(
        source: Arc<dyn Source>,
        config: LoaderConfig,
        epoch: u64,
    ) -> Result<Self, DataError> {
        Self::new(source, LoaderConfig { ends: true, ..config }, Cursor { epoch, position: 0 })
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

    /// Takes the next batch from the worker whose turn it is.
    fn wait(&mut self) -> Result<Result<Batch, DataError>, RecvError> {
        let _span = tracing::debug_span!("data wait").entered();
        let start = Instant::now();
        let batch = self.queues[self.turn].recv();
        self.waited += start.elapsed();
        batch
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

    /// The next batch. There always is one, unless [`LoaderConfig::ends`] is set; otherwise `None` comes
    /// only after an error that said that a worker thread has ended.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.take_next()? {
                // Every picture of this batch was skipped.
                Ok(batch) if batch.n == 0 => {}
                other => return Some(other),
            }
        }
    }
}

impl Loader {
    fn take_next(&mut self) -> Option<Result<Batch, DataError>> {
        if self.dead {
            return None;
        }
        if self.work.samples(self.cursor) == 0 {
            // The last step has no images for this rank.
            if self.work.end == Some(self.cursor.epoch) {
                self.cursor = Cursor { epoch: self.cursor.epoch.wrapping_add(1), position: 0 };
            }
            return None;
        }
        let Ok(batch) = self.wait() else {
            self.dead = true;
            let reason = "its thread has ended".into();
            return Some(Err(DataError::Worker { reason }));
        };
        self.turn = (self.turn + 1) % self.queues.len();
        let Ok(batch) = batch else { return Some(batch) };
        // Counted here, in the order of delivery, so that workers change nothing.
        for skipped in &batch.skipped {
            let picture = self.source.origin(skipped.index);
            if self.broken.add(picture) {
                tracing::warn!("picture {picture} is skipped: {}", skipped.reason);
            }
        }
        match (self.limit, batch.skipped.last()) {
            (Broken::Skip(limit), Some(last)) if self.broken.len() > limit => {
                let (count, reason) = (self.broken.len(), last.reason.clone());
                Some(Err(DataError::TooManyBroken { limit, count, reason }))
            }
            _ => {
                if batch.next.epoch != self.cursor.epoch {
                    let waited_s = std::mem::take(&mut self.waited).as_secs_f64();
                    tracing::debug!(epoch = self.cursor.epoch, waited_s, "an epoch has ended");
                }
                self.cursor = batch.next;
                Some(Ok(batch))
            }
        }
    }
}

impl Drop for Loader {
    /// Waits for the images that are being read, not for their batches.
    fn drop(&mut self) {
        self.work.stop.store(true, Ordering::Relaxed);
        self.queues.clear();
        for worker in self.workers.drain(..) {
            // Workers catch panics themselves; nothing can report another one here.
            let _ = worker.join();
        }
    }
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
