//! The order of samples: a keyed permutation of `0..n` that needs no memory.

use rand_core::Rng;

use crate::random::{Purpose, stream};

/// A permutation of `0..len` for one (seed, epoch).
///
/// A Feistel network over the next even power of two, walked until it lands inside `0..len`:
/// every element is found in constant time, so a loader can start anywhere.
///
/// ```
/// use deepsim_data::order::Permutation;
/// let order = Permutation::new(5, 0, 1);
/// let mut all: Vec<usize> = (0..5).map(|i| order.get(i)).collect();
/// all.sort();
/// assert_eq!(all, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: usize,
    half_bits: u32,
    keys: [u64; 6],
}

impl Permutation {
    /// The permutation of `0..len` for `epoch` of a run with `seed`.
    pub fn new(len: usize, seed: u64, epoch: u64) -> Self {
        Self::keyed(len, stream(seed, Purpose::Order, epoch, 0))
    }

    /// The permutation of `0..len` whose first elements are held out by `seed`.
    pub(crate) fn of_split(len: usize, seed: u64) -> Self {
        Self::keyed(len, stream(seed, Purpose::Split, 0, 0))
    }

    fn keyed(len: usize, mut rng: impl Rng) -> Self {
        let bits = usize::BITS - len.saturating_sub(1).leading_zeros();
        Self {
            len,
            half_bits: bits.div_ceil(2).max(1),
            keys: std::array::from_fn(|_| rng.next_u64()),
        }
    }

    /// The sample at `position`.
    ///
    /// # Panics
    /// If `position` is not below the length.
    pub fn get(&self, position: usize) -> usize {
        assert!(position < self.len, "position {position} of a permutation of {}", self.len);
        let mut value = position as u64;
        loop {
            value = self.round_trip(value);
            if value < self.len as u64 {
                return value as usize;
            }
        }
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            // The mixing step of SplitMix64.
            let mut mixed = (right ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (left, right) = (right, left ^ ((mixed ^ (mixed >> 32)) & mask));
        }
        left << self.half_bits | right
    }
}
