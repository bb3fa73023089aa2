//! Squared maximum mean discrepancy with a cubic kernel: the kernel distance of Bińkowski et al. (2018).

use nalgebra::DMatrix;

use super::{Estimate, GROUPS, Vectors, check, jackknife};
use crate::EvalError;

/// Squared maximum mean discrepancy with the kernel `(x·y / d + 1)³`, estimated without bias: it is 0 in
/// the mean for samples of one distribution, and so can be negative.
///
/// # Errors
/// If the vectors differ in length, or there are fewer than 40 in a set.
pub fn kernel_distance(a: &Vectors, b: &Vectors) -> Result<Estimate, EvalError> {
    check("kernel distance", a, b)?;
    let sums = [sums(a, a, true), sums(b, b, true), sums(a, b, false)];
    let all = estimate(&sums, [a.len(), b.len()], None);
    let without: Vec<f64> =
        (0..GROUPS).map(|group| estimate(&sums, [a.len(), b.len()], Some(group))).collect();
    Ok(jackknife(all, &without))
}

type Sums = [[f64; GROUPS]; GROUPS];

/// The kernel's sums over pairs of groups; a vector is in the group of its position modulo [`GROUPS`]
/// and, of one set, not paired with itself.
fn sums(a: &Vectors, b: &Vectors, same: bool) -> Sums {
    /// Rows whose products are held in memory at a time.
    const ROWS: usize = 512;
    let mut sums = [[0.0; GROUPS]; GROUPS];
    let (transposed, dims) = (b.0.transpose(), a.dims() as f64);
    for start in (0..a.len()).step_by(ROWS) {
        let rows = ROWS.min(a.len() - start);
        let products: DMatrix<f64> = a.0.rows(start, rows) * &transposed;
        for column in 0..b.len() {
            for row in 0..rows {
                if !same || start + row != column {
                    let kernel = (products[(row, column)] / dims + 1.0).powi(3);
                    sums[(start + row) % GROUPS][column % GROUPS] += kernel;
                }
            }
        }
    }
    sums
}

/// The estimate from all groups, or from all but one.
fn estimate([aa, bb, ab]: &[Sums; 3], [n, m]: [usize; 2], without: Option<usize>) -> f64 {
    let total = |sums: &Sums| -> f64 {
        let kept = |group: &usize| Some(*group) != without;
        let row = |i: usize| (0..GROUPS).filter(kept).map(|j| sums[i][j]).sum::<f64>();
        (0..GROUPS).filter(kept).map(row).sum()
    };
    let left = |n: usize| {
        let out = without.map_or(0, |group| (n - group).div_ceil(GROUPS));
        (n - out) as f64
    };
    let (n, m) = (left(n), left(m));
    total(aa) / (n * (n - 1.0)) + total(bb) / (m * (m - 1.0)) - 2.0 * total(ab) / (n * m)
}

#[cfg(test)]
mod tests {
    use super::super::tests::gaussian;
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_that_the_definition_says() -> Result<(), EvalError> {
        let (a, b) = (gaussian(53, 3, 0.0, 1.0, 1), gaussian(47, 3, 0.5, 2.0, 2));
        let kernel = |x: &[f64], y: &[f64]| {
            (x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / 3.0 + 1.0).powi(3)
        };
        let rows = |v: &Vectors| -> Vec<Vec<f64>> {
            v.0.row_iter().map(|row| row.iter().copied().collect()).collect()
        };
        let direct = |a: &[Vec<f64>], b: &[Vec<f64>]| {
            let pairs = |x: &[Vec<f64>], y: &[Vec<f64>], same: bool| {
                let mut values = Vec::new();
                for (i, x) in x.iter().enumerate() {
                    for (j, y) in y.iter().enumerate() {
                        if !same || i != j {
                            values.push(kernel(x, y));
                        }
                    }
                }
                values.iter().sum::<f64>() / values.len() as f64
            };
            pairs(a, a, true) + pairs(b, b, true) - 2.0 * pairs(a, b, false)
        };
        let (x, y) = (rows(&a), rows(&b));
        let estimate = kernel_distance(&a, &b)?;
        assert!((estimate.value - direct(&x, &y)).abs() < 1e-9);
        let without: Vec<f64> = (0..GROUPS)
            .map(|group| {
                let left = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
                    let kept = rows.iter().enumerate().filter(|(i, _)| i % GROUPS != group);
                    kept.map(|(_, row)| row.clone()).collect()
                };
                direct(&left(&x), &left(&y))
            })
            .collect();
        assert!((estimate.error - jackknife(0.0, &without).error).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn it_is_zero_in_the_mean_for_one_distribution_and_its_interval_covers_that()
    -> Result<(), EvalError> {
        let (mut sum, mut covered) = (0.0, 0);
        for seed in 0..200 {
            let (a, b) =
                (gaussian(60, 4, 0.0, 1.0, 2 * seed), gaussian(60, 4, 0.0, 1.0, 2 * seed + 1));
            let estimate = kernel_distance(&a, &b)?;
            sum += estimate.value;
            let [low, high] = estimate.interval();
            covered += usize::from(low <= 0.0 && 0.0 <= high);
        }
        assert!((sum / 200.0).abs() < 0.02, "{}", sum / 200.0);
        assert!(covered > 180, "{covered} of 200");
        Ok(())
    }
}
