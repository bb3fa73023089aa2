//! Test of two sets of vectors for the same distribution along random lines.

use deepsim_nets::random::{normal, stream};
use nalgebra::DVector;

use super::{Vectors, check};
use crate::EvalError;

/// Statistics of the projections of two sets on random directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projections {
    /// Directions.
    pub directions: usize,
    /// Mean of the Kolmogorov-Smirnov statistic: the largest difference of the cumulative distributions.
    pub mean: f64,
    /// Largest value of the statistic.
    pub largest: f64,
    /// Mean of the statistic for samples of one distribution: what chance alone makes of so many.
    pub chance: f64,
    /// Share of directions along which the sets differ at the 5 % level; about 0.05 if they do not.
    pub different: f64,
}

/// Compares the projections of two sets on `directions` random directions, by the two-sample test of
/// Kolmogorov and Smirnov along each.
///
/// # Errors
/// If the vectors differ in length, or there are fewer than 40 in a set.
pub fn project(
    a: &Vectors,
    b: &Vectors,
    directions: usize,
    seed: u64,
) -> Result<Projections, EvalError> {
    check("random projections", a, b)?;
    let (mut statistics, mut different) = (Vec::with_capacity(directions), 0);
    for step in 0..directions {
        let direction = normal(&mut stream(seed, "projection", step as u64), a.dims(), 1.0);
        let direction = DVector::from_iterator(a.dims(), direction.into_iter().map(f64::from));
        let along = |set: &Vectors| -> Vec<f64> { (&set.0 * &direction).iter().copied().collect() };
        let (statistic, p) = kolmogorov_smirnov(&along(a), &along(b));
        statistics.push(statistic);
        different += usize::from(p < 0.05);
    }
    let n = directions.max(1) as f64;
    let effective = (a.len() * b.len()) as f64 / (a.len() + b.len()) as f64;
    Ok(Projections {
        directions,
        // Mean of Kolmogorov's distribution.
        chance: (std::f64::consts::FRAC_PI_2).sqrt() * std::f64::consts::LN_2 / effective.sqrt(),
        mean: statistics.iter().sum::<f64>() / n,
        largest: statistics.iter().copied().fold(0.0, f64::max),
        different: different as f64 / n,
    })
}

/// The two-sample statistic of Kolmogorov and Smirnov, and the probability of one at least as large if
/// both samples come from one continuous distribution (asymptotic, with Stephens' correction).
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> (f64, f64) {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut statistic) = (0, 0, 0f64);
    while i < a.len() && j < b.len() {
        // Equal values step together.
        let value = a[i].min(b[j]);
        i += a[i..].iter().take_while(|x| **x <= value).count();
        j += b[j..].iter().take_while(|x| **x <= value).count();
        statistic = statistic.max((i as f64 / n - j as f64 / m).abs());
    }
    let root = (n * m / (n + m)).sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * statistic;
    (statistic, tail(lambda))
}

/// The tail of Kolmogorov's distribution.
fn tail(lambda: f64) -> f64 {
    if lambda < 0.2 {
        // 1 to twelve digits, where the sum below converges slowly.
        return 1.0;
    }
    let term = |k: i32| {
        let k = f64::from(k);
        (if k % 2.0 == 1.0 { 2.0 } else { -2.0 }) * (-2.0 * k * k * lambda * lambda).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::gaussian;
    use super::*;

    #[test]
    fn the_test_agrees_with_scipy() {
        // a, b = np.sin(np.arange(1, 201)**1.5), np.sin(np.arange(1, 151)**1.7) * 0.9 + 0.1
        // scipy.stats.ks_2samp(a, b).statistic; scipy.special.kolmogorov((r + .12 + .11 / r) * D)
        // with r = sqrt(200 * 150 / 350)
        let a: Vec<f64> = (1..=200).map(|i| f64::from(i).powf(1.5).sin()).collect();
        let b: Vec<f64> = (1..=150).map(|i| 0.9 * f64::from(i).powf(1.7).sin() + 0.1).collect();
        let (statistic, p) = kolmogorov_smirnov(&a, &b);
        assert!((statistic - SCIPY[0]).abs() < 1e-12, "{statistic}");
        assert!((p - SCIPY[1]).abs() < 1e-9, "{p}");
        // Ties: all of one value.
        assert_eq!(kolmogorov_smirnov(&[1.0; 50], &[1.0; 60]), (0.0, 1.0));
        assert_eq!(kolmogorov_smirnov(&[1.0; 50], &[2.0; 60]).0, 1.0);
    }

    const SCIPY: [f64; 2] = [0.185, 0.004_784_666_535_424_175];

    #[test]
    fn equal_distributions_differ_by_chance_and_others_along_every_line() -> Result<(), EvalError> {
        let a = gaussian(500, 5, 0.0, 1.0, 1);
        let same = project(&a, &gaussian(500, 5, 0.0, 1.0, 2), 100, 3)?;
        assert!(same.different < 0.25 && same.mean < 0.08, "{same:?}");
        assert!((same.mean / same.chance - 1.0).abs() < 0.2, "{same:?}");
        let wider = project(&a, &gaussian(500, 5, 0.0, 3.0, 2), 100, 3)?;
        assert!(wider.different == 1.0 && wider.largest > 0.2, "{wider:?}");
        Ok(())
    }
}
