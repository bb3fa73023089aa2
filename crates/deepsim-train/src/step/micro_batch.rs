//! Micro-batches: equal parts of a batch, for ranks of a process group and for what fits into memory. Sums over
//! them give, except for rounding, the numbers of the whole batch.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_loss::{TermNumbers, TermReport};
use deepsim_nets::random::streams;
use deepsim_nets::{Generator, Images};
use deepsim_ops::DeferredScalar;
use rand_chacha::ChaCha12Rng;

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::step::frozen::FrozenFeatures;

/// Purpose of the random streams of noise.
pub(crate) const NOISE: &str = "noise";

/// Real images with the noise that is drawn for them.
#[derive(Clone)]
pub(crate) struct MicroBatch {
    /// Real images.
    pub(crate) real: Images,
    /// Indices of the images in the batch of all ranks.
    pub(crate) samples: Range<usize>,
    /// Images that are generated from each real one.
    pub(crate) draws: usize,
    /// Noise for the generator, if it takes any: the first draw of all images, then the second one, and so on.
    pub(crate) noise: Option<Tensor>,
}

/// A micro-batch with the features of its images.
pub(crate) struct Encoded {
    /// Images and noise.
    pub(crate) batch: MicroBatch,
    /// Features of the real images.
    pub(crate) features: FrozenFeatures,
    /// Real image and features of each generated image.
    pub(crate) drawn: Drawn,
}

/// Real images and their features, as often as images are drawn of each.
pub(crate) struct Drawn {
    /// Real images.
    pub(crate) real: Images,
    /// Their features.
    pub(crate) features: FrozenFeatures,
}

impl Encoded {
    /// Joins a micro-batch and the features of its images.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn new(batch: MicroBatch, features: FrozenFeatures) -> Result<Self, TrainError> {
        let draws = batch.draws;
        let all = |features: &Option<Tensor>| {
            features.as_ref().map(|features| repeated(features, draws)).transpose()
        };
        let drawn = Drawn {
            real: batch.real.with_tensor(repeated(batch.real.tensor(), draws)?)?,
            features: FrozenFeatures {
                inverted: all(&features.inverted)?,
                target: all(&features.target)?,
            },
        };
        Ok(Self { batch, features, drawn })
    }
}

/// A tensor so many times along its first axis.
pub(crate) fn repeated(tensor: &Tensor, times: usize) -> Result<Tensor, TrainError> {
    Ok(match times {
        1 => tensor.clone(),
        times => Tensor::cat(&vec![tensor; times], 0)?,
    })
}

/// A random stream for each draw of some samples of the whole batch: the first draw of all samples, then the second one,
/// and so on.
pub(crate) fn streams_of_draws(
    seed: u64,
    purpose: &str,
    step: u64,
    samples: Range<usize>,
    draws: usize,
) -> Vec<ChaCha12Rng> {
    let of_draw = |draw: usize| {
        let first = draw << 24;
        streams(seed, purpose, step, first + samples.start..first + samples.end)
    };
    (0..draws).flat_map(of_draw).collect()
}

impl MicroBatch {
    /// Splits the images of this rank, which start at `first` of the batch of all ranks, into micro-batches of
    /// `size`, with the noise of `draws` images of each.
    ///
    /// # Errors
    /// If `size` does not divide the number of images.
    pub(crate) fn split(
        real: &Images,
        size: usize,
        first: usize,
        generator: &Generator,
        draws: usize,
        (seed, step): (u64, u64),
    ) -> Result<Vec<Self>, TrainError> {
        let n = real.len();
        let with_noise = |real: Images, samples: Range<usize>| {
            let mut rngs = streams_of_draws(seed, NOISE, step, samples.clone(), draws);
            let noise = rngs.iter_mut().map(|rng| generator.noise(1, rng));
            let noise = noise.collect::<Result<Option<Vec<_>>, _>>()?;
            let device = real.tensor().device();
            let noise = noise.map(|noise| Tensor::cat(&noise, 0)?.to_device(device)).transpose()?;
            Ok::<_, TrainError>(Self { real, samples, draws, noise })
        };
        if n <= size {
            return Ok(vec![with_noise(real.clone(), first..first + n)?]);
        }
        if !n.is_multiple_of(size) {
            return Err(TrainError::recipe(format!(
                "micro_batch: expected a divisor of the batch of {n}, found {size}"
            )));
        }
        let cut = |at: usize| {
            let images = real.with_tensor(real.tensor().narrow(0, at, size)?.contiguous()?)?;
            with_noise(images, first + at..first + at + size)
        };
        (0..n).step_by(size).map(cut).collect()
    }
}

/// Returns the terms of the batch of all ranks from those of this rank's micro-batches, each `share` of it.
///
/// # Errors
/// If another rank is lost, or the device fails.
pub(crate) fn reduce_terms(
    group: &dyn ProcessGroup,
    mut micro_batches: Vec<Vec<TermNumbers<DeferredScalar>>>,
    share: f64,
) -> Result<Vec<TermNumbers<DeferredScalar>>, TrainError> {
    if micro_batches.len() == 1 && !group.sums_on_host() {
        let mut terms = micro_batches.pop().unwrap_or_default();
        let numbers = terms.iter().flat_map(|term| [term.value.clone(), term.grad_norm.clone()]);
        let mut reduced = all_reduce(group, numbers.collect())?.into_iter();
        let places = terms.iter_mut().flat_map(|term| [&mut term.value, &mut term.grad_norm]);
        places.zip(&mut reduced).for_each(|(number, reduced)| *number = reduced);
        return Ok(terms);
    }
    let mut sums: Vec<TermReport> = Vec::new();
    for terms in micro_batches {
        let mut terms = TermNumbers::read(&terms)?;
        for term in &mut terms {
            (term.value, term.grad_norm) = (share * term.value, share * term.grad_norm);
        }
        if sums.is_empty() {
            sums = terms;
            continue;
        }
        for (sum, term) in sums.iter_mut().zip(terms) {
            sum.value += term.value;
            // The gradients are at different images.
            sum.grad_norm = sum.grad_norm.hypot(term.grad_norm);
        }
    }
    if group.size() > 1 {
        let numbers = |term: &TermReport| [term.value, term.grad_norm.powi(2)];
        let mut all: Vec<f64> = sums.iter().flat_map(numbers).collect();
        group.sum(&mut all)?;
        for (term, all) in sums.iter_mut().zip(all.chunks_exact(2)) {
            (term.value, term.grad_norm) = (all[0], all[1].sqrt());
        }
    }
    let known = |number| Ok::<_, TrainError>(DeferredScalar::known(number));
    sums.into_iter().map(|term| term.try_map(known)).collect()
}

/// Averages numbers over the ranks, each of which has one micro-batch, without reading them from the device.
/// Not for process groups that sum on the host.
///
/// # Errors
/// If NCCL fails.
pub(crate) fn all_reduce(
    group: &dyn ProcessGroup,
    numbers: Vec<DeferredScalar>,
) -> Result<Vec<DeferredScalar>, TrainError> {
    if group.size() == 1 {
        return Ok(numbers);
    }
    DeferredScalar::of_the_whole(&numbers, 1.0 / group.size() as f64, |own| {
        let mut sums = [own];
        group.sum_tensors(&mut sums)?;
        let [sums] = sums;
        Ok(sums)
    })
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::rand_core::Rng;

    use super::*;

    #[test]
    fn every_draw_of_a_sample_has_a_stream_of_its_own_in_any_part_of_the_batch() {
        let numbers = |samples, draws| -> Vec<u64> {
            let mut streams = streams_of_draws(3, "noise", 5, samples, draws);
            streams.iter_mut().map(|stream| stream.next_u64()).collect()
        };
        let all = numbers(0..4, 3);
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 12);
        // The first draws are those of a run with one draw, and a part has the streams of its samples.
        assert_eq!(all[..4], numbers(0..4, 1));
        let part = numbers(2..4, 3);
        assert_eq!(part, [&all[2..4], &all[6..8], &all[10..12]].concat());
    }
}
