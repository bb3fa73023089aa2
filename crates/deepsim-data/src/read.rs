//! Images of a source into batches.

use rayon::prelude::*;

use crate::batch::{Batch, Broken, Cursor, LoaderConfig, Sample, Skipped};
use crate::draw::{Draw, Sequence};
use crate::memory::rgb_zeros;
use crate::panics::guarded;
use crate::source::Rectangle;
use crate::{Crop, DataError, Source};

/// Replacements tried for one sample before its batch is an error.
const REPLACEMENTS: u64 = 16;

/// Reads the batch at `cursor`, with others in place of samples that cannot be read.
pub(crate) fn read_batch(
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
