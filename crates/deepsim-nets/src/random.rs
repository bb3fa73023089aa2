//! Random streams keyed by (seed, purpose, step).
//!
//! Architecture invariant: every use of randomness names its stream, so that what one part of a
//! run draws never depends on how much another part drew, and a resumed run draws the same numbers.
//!
//! Generators are those of rand_core 0.10, which is re-exported as [`rand_core`].

use std::ops::Range;

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
pub use rand_core;
use rand_core::Rng;

/// The stream of random numbers for `purpose` at `step` of a run with `seed`.
///
/// ```
/// use deepsim_nets::random::stream;
/// use rand_core::Rng;
/// assert_eq!(stream(7, "dropout", 3).next_u64(), stream(7, "dropout", 3).next_u64());
/// assert_ne!(stream(7, "dropout", 3).next_u64(), stream(7, "dropout", 4).next_u64());
/// ```
pub fn stream(seed: u64, purpose: &str, step: u64) -> ChaCha12Rng {
    // FNV-1a spreads short names over 64 bits; two offsets make a collision of both improbable.
    let fnv = |offset: u64| {
        purpose
            .bytes()
            .fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(0xcbf2_9ce4_8422_2325).to_le_bytes());
    key[16..24].copy_from_slice(&fnv(0x8422_2325_cbf2_9ce4).to_le_bytes());
    key[24..].copy_from_slice(&(purpose.len() as u64).to_le_bytes());
    let mut rng = ChaCha12Rng::from_seed(key);
    rng.set_stream(step);
    rng
}

/// A stream for each of some samples of the batch of `step`, by their numbers in it: what is drawn for a
/// sample does not depend on how the batch is cut into parts, or shared by processes.
///
/// ```
/// use deepsim_nets::random::streams;
/// use rand_core::Rng;
/// let first = |samples| streams(7, "dropout", 3, samples).iter_mut().map(|s| s.next_u64()).collect::<Vec<_>>();
/// assert_eq!(first(0..4)[2..], first(2..4));
/// ```
pub fn streams(seed: u64, purpose: &str, step: u64, samples: Range<usize>) -> Vec<ChaCha12Rng> {
    let all = stream(seed, purpose, step);
    let at = |sample: usize| {
        let mut rng = all.clone();
        // Each has 2^32 words for itself.
        rng.set_word_pos((sample as u128) << 32);
        rng
    };
    samples.map(at).collect()
}

/// `n` draws from the normal distribution N(0, std²), by the Box-Muller transform.
pub fn normal(rng: &mut impl Rng, n: usize, std: f64) -> Vec<f32> {
    // The top 53 bits, shifted half a step away from 0 so that the logarithm is finite.
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        values.push((std * radius * angle.cos()) as f32);
        values.push((std * radius * angle.sin()) as f32);
    }
    values.truncate(n);
    values
}
