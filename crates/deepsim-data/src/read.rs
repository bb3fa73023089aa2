//! Images of a source into batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::batch::{Batch, Broken, Cursor, LoaderConfig, Sample, Skipped};
use crate::draw::{Draw, Sequence};
use crate::memory::rgb_zeros;
use crate::panics::guarded;
use crate::source::Rectangle;
use crate::{Crop, DataError, Source};

/// Replacements tried for one sample before its batch is an error.
const REPLACEMENTS: u64 = 16;

/// State shared by the workers of a loader.
pub(crate) struct Work {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) config: LoaderConfig,
    pub(crate) sequence: Sequence,
    /// Epoch after which there is nothing to read.
    pub(crate) end: Option<u64>,
    /// True once nobody waits for batches any more.
    pub(crate) stop: AtomicBool,
}

impl Work {
    /// Samples in a step, of all ranks together.
    pub(crate) fn step(&self) -> u64 {
        (self.config.batch * self.config.world) as u64
    }

    /// Samples of this rank in the step that begins at `cursor`.
    pub(crate) fn samples(&self, cursor: Cursor) -> usize {
        let LoaderConfig { batch, rank, .. } = self.config;
        match self.end {
            Some(end) if cursor.epoch != end => 0,
            Some(_) => {
                let rest = self.sequence.len() - cursor.position;
                rest.saturating_sub((rank * batch) as u64).min(batch as u64) as usize
            }
            None => batch,
        }
    }

    /// Position after the step that begins at `cursor`.
    fn next(&self, cursor: Cursor) -> Cursor {
        let len = self.sequence.len();
        let rest = self.end.map_or(u64::MAX, |_| len - cursor.position);
        cursor.advanced(self.step().min(rest), len)
    }
}

/// Reads the batch at `cursor`; `None` if nobody waits for it any more. Samples that cannot be read are
/// replaced by others, or left out of a pass that ends.
pub(crate) fn read_batch(work: &Work, cursor: Cursor) -> Result<Option<Batch>, DataError> {
    let Work { source, config, sequence, .. } = work;
    let whole = config.crop.rectangle(source.height(), source.width())?;
    let (height, width) = (whole.height, whole.width);
    let samples = work.samples(cursor);
    let mut batch = Batch {
        pixels: rgb_zeros(samples, height, width)?,
        height,
        width,
        next: work.next(cursor),
        ..Batch::default()
    };
    let first = (config.rank * config.batch) as u64;
    let image = 3 * height * width;
    for i in 0..samples {
        let at = cursor.advanced(first + i as u64, sequence.len());
        let mut attempt = 0;
        let out = &mut batch.pixels[batch.n * image..][..image];
        let sample = loop {
            if work.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let draw = sequence.draw(at, attempt);
            match read_sample(&**source, config, whole, &draw, out) {
                Ok(sample) => break Some(sample),
                Err(error) if config.broken == Broken::Fail || attempt == REPLACEMENTS => {
                    return Err(error);
                }
                Err(error) => {
                    let (index, reason) = (draw.index(), error.to_string());
                    batch.skipped.push(Skipped { index, reason });
                    if work.end.is_some() {
                        break None;
                    }
                    attempt += 1;
                }
            }
        };
        if let Some(sample) = sample {
            batch.samples.push(sample);
            batch.n += 1;
        }
    }
    batch.pixels.truncate(batch.n * image);
    Ok(Some(batch))
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
    let mut random = draw.own();
    let read = || source.read_drawn(index, part, &mut random, out).map(|()| source.label(index));
    let label = guarded(index, || None, read)?;
    let mirrored = config.mirror && draw.mirrored();
    if mirrored {
        out.chunks_exact_mut(whole.width).for_each(<[u8]>::reverse);
    }
    Ok(Sample { index, label, part, mirrored })
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
            let read = || source.read_part(index, part, out).map(|()| source.label(index));
            let label = guarded(index, || None, read)?;
            Ok(Sample { index, label, part, mirrored: false })
        })
        .collect::<Result<_, DataError>>()?;
    let next = Cursor { epoch: 0, position: range.end as u64 };
    let (n, height, width) = (range.len(), part.height, part.width);
    Ok(Batch { pixels, n, height, width, samples, skipped: Vec::new(), next })
}
