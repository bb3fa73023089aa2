//! Normalised Euclidean error (paper v1, section 4.1 and Table 3).
//!
//! `error = mean over images of ||a - b||_2 / N`: the norm, not its square. `N` is the mean
//! Euclidean distance over all pairs of *different* samples of the test set, so that 100 % is as
//! bad as answering with a random test sample.
//!
//! Up to [`ALL_PAIRS_LIMIT`] samples every pair counts. Distances come from the Gram matrix,
//! `||a - b||² = ||a||² + ||b||² - 2ab`, block by block; the samples are centred first, which keeps
//! the subtraction from losing digits. For more samples, [`RANDOM_PAIRS`] distinct pairs are drawn.
//! The block partition is fixed, so the result is the same for any number of threads.

use std::collections::HashSet;
use std::fmt;

use deepsim_nets::random::stream;
use gemm::Parallelism;
use rand_core::Rng;
use rayon::prelude::*;

use crate::EvalError;
use crate::metrics::statistics::{euclidean_distance, mean_and_spread};

/// Number of samples up to which all pairs are used: 10,000 samples have 50 million pairs, and
/// STL-10's test set has 8,000 samples.
pub const ALL_PAIRS_LIMIT: usize = 10_000;

/// Number of pairs drawn for more samples.
pub const RANDOM_PAIRS: usize = 1_000_000;

/// Rows and columns of a block of the Gram matrix.
const BLOCK: usize = 192;

/// The normaliser `N` and what it was computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairDistance {
    /// Mean Euclidean distance of pairs.
    pub mean: f64,
    /// Number of samples.
    pub samples: usize,
    /// Number of distinct pairs.
    pub pairs: usize,
    /// True if these are all pairs.
    pub all: bool,
}

impl fmt::Display for PairDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = if self.all { "all" } else { "randomly drawn" };
        let Self { mean, samples, pairs, .. } = self;
        write!(f, "N = {mean:.4} over {which} {pairs} distinct pairs of {samples} samples")
    }
}

/// Mean Euclidean distance over distinct pairs of different samples.
///
/// `samples` holds the vectors one after the other, each of `dimensions` numbers; they are centred
/// in place. `seed` only matters beyond [`ALL_PAIRS_LIMIT`] samples.
///
/// # Errors
/// If there are fewer than two samples, or the numbers do not divide into samples.
///
/// ```
/// // The corners of a unit square: four sides and two diagonals.
/// let mut corners = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
/// let pairs = deepsim_eval::metrics::euclidean::mean_pair_distance(&mut corners, 2, 0)?;
/// assert!((pairs.mean - (4.0 + 2.0 * 2f64.sqrt()) / 6.0).abs() < 1e-6);
/// assert_eq!(pairs.pairs, 6);
/// # Ok::<(), deepsim_eval::EvalError>(())
/// ```
pub fn mean_pair_distance(
    samples: &mut [f32],
    dimensions: usize,
    seed: u64,
) -> Result<PairDistance, EvalError> {
    let n = check(samples, dimensions)?;
    if n <= ALL_PAIRS_LIMIT {
        center(samples, dimensions);
        let pairs = n * (n - 1) / 2;
        let mean = sum_of_all_pairs(samples, dimensions) / pairs as f64;
        return Ok(PairDistance { mean, samples: n, pairs, all: true });
    }
    let pairs = distinct_pairs(n, RANDOM_PAIRS, seed);
    let row = |index: usize| &samples[index * dimensions..(index + 1) * dimensions];
    let sum = ordered_sum(&pairs, |&(i, j)| euclidean_distance(row(i), row(j)));
    let pairs = pairs.len();
    Ok(PairDistance { mean: sum / pairs as f64, samples: n, pairs, all: false })
}

/// Normalised error in percent: mean and population spread over images of `distances / N`.
pub fn normalised_error(distances: &[f64], pairs: &PairDistance) -> (f64, f64) {
    let (mean, spread) = mean_and_spread(distances);
    (100.0 * mean / pairs.mean, 100.0 * spread / pairs.mean)
}

fn check(samples: &[f32], dimensions: usize) -> Result<usize, EvalError> {
    let n = samples.len().checked_div(dimensions).unwrap_or(0);
    if n < 2 || n * dimensions != samples.len() {
        return Err(EvalError::input(
            "mean pair distance",
            "at least two samples, all of the same size",
            format!("{} numbers in samples of {dimensions}", samples.len()),
        ));
    }
    Ok(n)
}

fn center(samples: &mut [f32], dimensions: usize) {
    let n = (samples.len() / dimensions) as f64;
    let mut mean = vec![0f64; dimensions];
    for sample in samples.chunks_exact(dimensions) {
        mean.iter_mut().zip(sample).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    mean.iter_mut().for_each(|sum| *sum /= n);
    samples.par_chunks_exact_mut(dimensions).for_each(|sample| {
        for (value, mean) in sample.iter_mut().zip(&mean) {
            *value = (f64::from(*value) - mean) as f32;
        }
    });
}

fn sum_of_all_pairs(samples: &[f32], dimensions: usize) -> f64 {
    let n = samples.len() / dimensions;
    let squares: Vec<f64> = samples
        .par_chunks_exact(dimensions)
        .map(|sample| sample.iter().map(|&value| f64::from(value).powi(2)).sum())
        .collect();
    let starts = || (0..n).step_by(BLOCK);
    let blocks: Vec<(usize, usize)> =
        starts().flat_map(|i| starts().filter(move |&j| j >= i).map(move |j| (i, j))).collect();
    ordered_sum(&blocks, |&(i, j)| {
        let rows = BLOCK.min(n - i);
        let columns = BLOCK.min(n - j);
        let products = products(
            &samples[i * dimensions..(i + rows) * dimensions],
            &samples[j * dimensions..(j + columns) * dimensions],
            dimensions,
        );
        let mut sum = 0.0;
        for (row, products) in products.chunks_exact(columns).enumerate() {
            // On the diagonal only the pairs above it are new.
            let first = if i == j { row + 1 } else { 0 };
            for (column, &product) in products.iter().enumerate().skip(first) {
                let square = squares[i + row] + squares[j + column] - 2.0 * f64::from(product);
                sum += square.max(0.0).sqrt();
            }
        }
        sum
    })
}

/// Scalar products of every row of `a` with every row of `b`, row-major.
fn products(a: &[f32], b: &[f32], dimensions: usize) -> Vec<f32> {
    let (m, n) = (a.len() / dimensions, b.len() / dimensions);
    let mut out = vec![0f32; m * n];
    let stride = dimensions as isize;
    // SAFETY: `out` holds m * n numbers, `a` m and `b` n rows of `dimensions` numbers each; the
    // strides (column, row) address exactly those.
    unsafe {
        gemm::gemm(
            m,
            n,
            dimensions,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            stride,
            b.as_ptr(),
            stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
    out
}

/// Sum over items, computed in parallel and added in order.
fn ordered_sum<T: Sync>(items: &[T], value: impl Fn(&T) -> f64 + Sync + Send + Send) -> f64 {
    let values: Vec<f64> = items.par_iter().map(value).collect();
    values.iter().sum()
}

/// `count` distinct unordered pairs of different indices below `n`, sorted.
fn distinct_pairs(n: usize, count: usize, seed: u64) -> Vec<(usize, usize)> {
    let count = count.min(n * (n - 1) / 2);
    let mut rng = stream(seed, "normaliser pairs", 0);
    // n is far below 2^32, so the bias of the remainder is below 1e-9.
    let mut index = |n: usize| (rng.next_u64() % n as u64) as usize;
    let mut pairs = HashSet::with_capacity(count);
    while pairs.len() < count {
        let (i, j) = (index(n), index(n));
        if i != j {
            pairs.insert((i.min(j), i.max(j)));
        }
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::normal;

    use super::*;

    fn samples(n: usize, dimensions: usize) -> Vec<f32> {
        let mut values = normal(&mut stream(1, "test", 0), n * dimensions, 50.0);
        values.iter_mut().enumerate().for_each(|(i, value)| *value += (i % dimensions) as f32);
        values
    }

    fn direct(samples: &[f32], dimensions: usize) -> f64 {
        let rows: Vec<&[f32]> = samples.chunks_exact(dimensions).collect();
        let mut sum = 0.0;
        for (i, a) in rows.iter().enumerate() {
            sum += rows[i + 1..].iter().map(|b| euclidean_distance(a, b)).sum::<f64>();
        }
        sum / (rows.len() * (rows.len() - 1) / 2) as f64
    }

    #[test]
    fn gram_blocks_agree_with_direct_distances() -> Result<(), EvalError> {
        // One block, several with a ragged end, one sample more than a block.
        for (n, dimensions) in [(2, 5), (2 * BLOCK + 7, 31), (BLOCK + 1, 3)] {
            let mut samples = samples(n, dimensions);
            let wanted = direct(&samples, dimensions);
            let got = mean_pair_distance(&mut samples, dimensions, 0)?;
            assert!((got.mean / wanted - 1.0).abs() < 1e-6, "{n}: {got} against {wanted}");
            assert_eq!((got.pairs, got.all), (n * (n - 1) / 2, true));
        }
        Ok(())
    }

    #[test]
    fn equal_samples_are_at_distance_zero_and_do_not_count_themselves() -> Result<(), EvalError> {
        let equal = mean_pair_distance(&mut [7.0; 40], 4, 0)?;
        assert_eq!(equal.mean, 0.0);
        // Two points at distance 5: their mean over distinct pairs is 5, over all pairs 2.5.
        assert!((mean_pair_distance(&mut [0.0, 0.0, 3.0, 4.0], 2, 0)?.mean - 5.0).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_result_does_not_depend_on_threads() -> Result<(), Box<dyn std::error::Error>> {
        let on = |threads| -> Result<f64, Box<dyn std::error::Error>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let mut samples = samples(500, 40);
            Ok(pool.install(|| mean_pair_distance(&mut samples, 40, 0))?.mean)
        };
        assert_eq!(on(1)?.to_bits(), on(2)?.to_bits());
        Ok(())
    }

    #[test]
    fn beyond_the_limit_pairs_are_drawn_and_estimate_the_same_mean() -> Result<(), EvalError> {
        let n = ALL_PAIRS_LIMIT + 1;
        let mut points = samples(n, 2);
        let wanted = direct(&points, 2);
        let got = mean_pair_distance(&mut points, 2, 3)?;
        assert_eq!((got.pairs, got.all), (RANDOM_PAIRS, false));
        assert!((got.mean / wanted - 1.0).abs() < 3e-3, "{got} against {wanted}");
        assert_eq!(got, mean_pair_distance(&mut points, 2, 3)?);
        assert_ne!(got, mean_pair_distance(&mut points, 2, 4)?);
        Ok(())
    }

    #[test]
    fn drawn_pairs_are_distinct_and_never_of_one_sample() {
        let pairs = distinct_pairs(20, 190, 0);
        assert_eq!(pairs.len(), 190);
        assert!(pairs.iter().all(|(i, j)| i < j && *j < 20));
    }

    #[test]
    fn answering_with_a_random_sample_is_an_error_of_one_hundred_percent() -> Result<(), EvalError>
    {
        let mut points = samples(300, 6);
        let rows: Vec<Vec<f32>> = points.chunks_exact(6).map(<[f32]>::to_vec).collect();
        let mut distances = Vec::new();
        for shift in 1..rows.len() {
            distances.extend(
                (0..rows.len())
                    .map(|i| euclidean_distance(&rows[i], &rows[(i + shift) % rows.len()])),
            );
        }
        let (error, _) = normalised_error(&distances, &mean_pair_distance(&mut points, 6, 0)?);
        assert!((error - 100.0).abs() < 1e-3, "{error}");
        Ok(())
    }

    #[test]
    fn too_few_samples_and_ragged_ones_are_refused() {
        for (mut values, dimensions) in
            [(vec![], 3), (vec![1.0; 3], 3), (vec![1.0; 7], 3), (vec![1.0], 0)]
        {
            let error = mean_pair_distance(&mut values, dimensions, 0).expect_err("too few");
            assert!(
                error.to_string().starts_with("mean pair distance: expected at least two"),
                "{error}"
            );
        }
    }
}
