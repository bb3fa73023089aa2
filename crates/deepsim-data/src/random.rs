//! Random streams keyed by (seed, purpose, epoch, sample).

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use rand_core::Rng;

/// Purpose of a stream; streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Order,
    Crop,
    Mirror,
    Replace,
    Exemplar,
    Deformation,
    Pair,
    Augment,
    Split,
    Scene(u8),
    Photo(u8),
}

/// The stream of random numbers for one sample of one epoch.
pub(crate) fn stream(seed: u64, purpose: Purpose, epoch: u64, sample: u64) -> ChaCha12Rng {
    let code = match purpose {
        Purpose::Order => 1,
        Purpose::Crop => 2,
        Purpose::Mirror => 3,
        Purpose::Replace => 4,
        Purpose::Exemplar => 5,
        Purpose::Deformation => 6,
        Purpose::Pair => 7,
        Purpose::Augment => 8,
        Purpose::Split => 9,
        Purpose::Scene(split) => 16 + u64::from(split),
        Purpose::Photo(set) => 272 + u64::from(set),
    };
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, code, epoch, 0]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    let mut rng = ChaCha12Rng::from_seed(key);
    rng.set_stream(sample);
    rng
}

/// Random numbers of one sample. They depend on the loader's seed and on the place of the sample in the
/// sequence alone, so they are the same for any number of workers and after a resume.
///
/// [`Source::read_drawn`](crate::Source::read_drawn) and your own transforms
/// ([`Augmented::then`](crate::Augmented::then)) receive it.
///
/// ```
/// use deepsim_data::random::SampleStream;
/// let numbers = |position| {
///     let mut stream = SampleStream::new(7, 0, position);
///     (stream.below(10), stream.between(0.5, 2.0), stream.chance(0.5))
/// };
/// assert_eq!(numbers(3), numbers(3));
/// assert_ne!(numbers(3), numbers(4));
/// ```
#[derive(Clone, Debug)]
pub struct SampleStream(ChaCha12Rng);

impl SampleStream {
    /// Creates the stream of the sample at `position` of `epoch` under `seed`, at its beginning.
    pub fn new(seed: u64, epoch: u64, position: u64) -> Self {
        Self(stream(seed, Purpose::Augment, epoch, position))
    }

    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from `0..1`, with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws uniformly from `from..to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.uniform()
    }

    /// Draws uniformly from `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        below(&mut self.0, n)
    }

    /// Returns true with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}

/// Uniform in `0..1`.
pub(crate) fn uniform(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

/// Uniform in `from..to`.
pub(crate) fn between(rng: &mut impl Rng, from: f32, to: f32) -> f32 {
    from + (to - from) * uniform(rng)
}

/// Two independent draws from N(0, 1), by the Box-Muller transform.
pub(crate) fn normal(rng: &mut impl Rng) -> [f32; 2] {
    // Half a step away from 0, so that the logarithm is finite.
    let mut uniform = || (f64::from(rng.next_u32()) + 0.5) / (1u64 << 32) as f64;
    let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
    [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
}

/// Uniform in `0..n`.
pub(crate) fn below(rng: &mut impl Rng, n: usize) -> usize {
    // Multiply-shift; the bias is below 2^-32 * n.
    ((u128::from(rng.next_u32()) * n as u128) >> 32) as usize
}
