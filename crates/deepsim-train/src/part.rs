//! A batch in equal parts: those of the processes, and within one of them those that fit into memory. What
//! is summed over the parts is, but for rounding, what the whole batch gives.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_loss::TermReport;
use deepsim_nets::random::streams;
use deepsim_nets::{Generator, Images};
use deepsim_ops::Reading;

use crate::TrainError;
use crate::fixed::{Fixed, Seen};
use crate::world::World;

/// Some images of a batch, with what is drawn for them: all that a step is given.
#[derive(Clone)]
pub(crate) struct Given {
    /// The images.
    pub(crate) real: Images,
    /// Their numbers in the whole batch, of all processes.
    pub(crate) numbers: Range<usize>,
    /// Noise for the generator, if it takes any.
    pub(crate) noise: Option<Tensor>,
}

impl Given {
    /// The images of this process, which begin at `first` of the whole batch, in parts of `size`.
    pub(crate) fn cut(
        real: &Images,
        size: usize,
        first: usize,
        generator: &Generator,
        (seed, step): (u64, u64),
    ) -> Result<Vec<Self>, TrainError> {
        let n = real.len();
        let given = |real: Images, numbers: Range<usize>| {
            let mut rngs = streams(seed, NOISE, step, numbers.clone());
            let noise = rngs.iter_mut().map(|rng| generator.noise(1, rng));
            let noise = noise.collect::<Result<Option<Vec<_>>, _>>()?;
            let device = real.tensor().device();
            let noise = noise.map(|noise| Tensor::cat(&noise, 0)?.to_device(device)).transpose()?;
            Ok::<_, TrainError>(Self { real, numbers, noise })
        };
        if n <= size {
            return Ok(vec![given(real.clone(), first..first + n)?]);
        }
        if !n.is_multiple_of(size) {
            return Err(TrainError::recipe(format!(
                "micro_batch: expected a divisor of the batch of {n}, found {size}"
            )));
        }
        let cut = |at: usize| {
            let images = real.with_tensor(real.tensor().narrow(0, at, size)?.contiguous()?)?;
            given(images, first + at..first + at + size)
        };
        (0..n).step_by(size).map(cut).collect()
    }

    /// Lets the fixed networks see the images, once for all that needs it.
    pub(crate) fn seen(self, fixed: &Fixed) -> Result<Part, TrainError> {
        let seen = fixed.see(&self.real)?;
        let Self { real, numbers, noise } = self;
        Ok(Part { real, numbers, seen, noise })
    }
}

/// Some images of a batch, with all that is drawn and seen for them.
pub(crate) struct Part {
    /// The images.
    pub(crate) real: Images,
    /// Their numbers in the whole batch, of all processes.
    pub(crate) numbers: Range<usize>,
    /// What the fixed networks see in them.
    pub(crate) seen: Seen,
    /// Noise for the generator, if it takes any.
    pub(crate) noise: Option<Tensor>,
}

/// Purpose of the streams of noise.
pub(crate) const NOISE: &str = "noise";

/// Adds the terms of a part that is `share` of the whole batch.
pub(crate) fn add_terms(sum: &mut Vec<TermReport>, part: Vec<TermReport>, share: f64) {
    let shared = |term: TermReport| TermReport {
        value: share * term.value,
        grad_norm: share * term.grad_norm,
        ..term
    };
    let mut part = part.into_iter().map(shared);
    if sum.is_empty() {
        sum.extend(part);
        return;
    }
    for (sum, part) in sum.iter_mut().zip(&mut part) {
        sum.value += part.value;
        // Of gradients at different images.
        sum.grad_norm = sum.grad_norm.hypot(part.grad_norm);
    }
}

/// Numbers of the whole batch, from those of this process, of whose images there is one part. They stay where
/// they are: not for processes that sum on the host.
///
/// # Errors
/// If NCCL fails.
pub(crate) fn of_all(world: &dyn World, numbers: Vec<Reading>) -> Result<Vec<Reading>, TrainError> {
    if world.size() == 1 {
        return Ok(numbers);
    }
    Reading::of_the_whole(&numbers, 1.0 / world.size() as f64, |own| {
        let mut sums = [own];
        world.sum_tensors(&mut sums)?;
        let [sums] = sums;
        Ok(sums)
    })
}

/// Sums the terms over all processes.
///
/// # Errors
/// If another process is lost.
pub(crate) fn sum_terms(world: &dyn World, terms: &mut [TermReport]) -> Result<(), TrainError> {
    if world.size() > 1 {
        let numbers = |term: &TermReport| [term.value, term.grad_norm.powi(2)];
        let mut sums: Vec<f64> = terms.iter().flat_map(numbers).collect();
        world.sum(&mut sums)?;
        for (term, sums) in terms.iter_mut().zip(sums.chunks(2)) {
            (term.value, term.grad_norm) = (sums[0], sums[1].sqrt());
        }
    }
    Ok(())
}
