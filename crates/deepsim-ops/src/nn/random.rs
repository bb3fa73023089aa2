//! Random streams by seed and name.

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use rand_core::Rng;

/// The stream of random numbers that a seed has for a name.
pub(super) fn stream(seed: u64, name: &str) -> ChaCha12Rng {
    // FNV-1a spreads short names over 64 bits; two offsets make a collision of both improbable.
    let fnv = |offset: u64| {
        name.bytes()
            .fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(0xcbf2_9ce4_8422_2325).to_le_bytes());
    key[16..24].copy_from_slice(&fnv(0x8422_2325_cbf2_9ce4).to_le_bytes());
    key[24..].copy_from_slice(&(name.len() as u64).to_le_bytes());
    ChaCha12Rng::from_seed(key)
}

/// A number uniform in `(0, 1)`: the top 53 bits, shifted half a step away from 0.
pub(super) fn unit(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// `n` draws from the normal distribution, by the Box-Muller transform.
pub(super) fn normal(rng: &mut impl Rng, n: usize, mean: f64, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let (radius, angle) = ((-2.0 * unit(rng).ln()).sqrt(), std::f64::consts::TAU * unit(rng));
        values.push((mean + std * radius * angle.cos()) as f32);
        values.push((mean + std * radius * angle.sin()) as f32);
    }
    values.truncate(n);
    values
}

/// `n` draws from the uniform distribution between two bounds.
pub(super) fn uniform(rng: &mut impl Rng, n: usize, low: f64, high: f64) -> Vec<f32> {
    (0..n).map(|_| (low + (high - low) * unit(rng)) as f32).collect()
}
