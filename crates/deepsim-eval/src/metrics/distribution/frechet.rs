//! Fréchet distance between two Gaussians: the measure of Heusel et al. (2017), in any feature space.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use rayon::prelude::*;

use super::{Estimate, GROUPS, Vectors, check, jackknife};
use crate::EvalError;

/// Squared Fréchet distance between the Gaussians with the means and covariances of two sets:
/// `|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½)`. It is larger the fewer samples there are.
///
/// # Errors
/// If the vectors differ in length, or there are fewer than 40 in a set.
pub fn frechet_distance(a: &Vectors, b: &Vectors) -> Result<f64, EvalError> {
    check("Frechet distance", a, b)?;
    Ok(plain(a, b))
}

/// [`frechet_distance`] without the bias that goes with 1/n: twice the distance of all samples less that
/// of halves (after Chong & Forsyth 2020, who fit a line to more sizes).
///
/// # Errors
/// As [`frechet_distance`].
pub fn frechet_extrapolated(a: &Vectors, b: &Vectors) -> Result<Estimate, EvalError> {
    check("Frechet distance", a, b)?;
    let without: Vec<f64> = (0..GROUPS)
        .into_par_iter()
        .map(|group| {
            let left = |set: &Vectors| set.filter(|row| row % GROUPS != group);
            extrapolated(&left(a), &left(b))
        })
        .collect();
    Ok(jackknife(extrapolated(a, b), &without))
}

fn extrapolated(a: &Vectors, b: &Vectors) -> f64 {
    let half = |set: &Vectors, odd: usize| set.filter(|row| row % 2 == odd);
    let halves = (0..2).map(|odd| plain(&half(a, odd), &half(b, odd))).sum::<f64>() / 2.0;
    2.0 * plain(a, b) - halves
}

fn plain(a: &Vectors, b: &Vectors) -> f64 {
    let ((mean_a, a), (mean_b, b)) = (moments(a), moments(b));
    let traces = a.trace() + b.trace();
    // (C_a C_b)^½ has the trace of (C_a^½ C_b C_a^½)^½, which is symmetric.
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(a);
    let roots = DMatrix::from_diagonal(&eigenvalues.map(|value| value.max(0.0).sqrt()));
    let root = &eigenvectors * roots * eigenvectors.transpose();
    let between = (&root * b * &root).symmetric_eigenvalues();
    let between: f64 = between.iter().map(|value| value.max(0.0).sqrt()).sum();
    (mean_a - mean_b).norm_squared() + traces - 2.0 * between
}

/// Mean and covariance.
fn moments(set: &Vectors) -> (DVector<f64>, DMatrix<f64>) {
    let mean = set.0.row_mean();
    let mut centred = set.0.clone();
    for mut row in centred.row_iter_mut() {
        row -= &mean;
    }
    let covariance = centred.transpose() * &centred / (set.len() as f64 - 1.0);
    (mean.transpose(), covariance)
}

#[cfg(test)]
mod tests {
    use super::super::tests::gaussian;
    use super::*;

    #[test]
    fn many_samples_have_the_distance_of_their_gaussians() -> Result<(), EvalError> {
        // The distance of N(0, 1) and N(1, 2²) in 3 dimensions: 3 (1 + (2 - 1)²).
        let (a, b) = (gaussian(40_000, 3, 0.0, 1.0, 0), gaussian(40_000, 3, 1.0, 2.0, 1));
        let distance = frechet_distance(&a, &b)?;
        assert!((distance / 6.0 - 1.0).abs() < 0.03, "{distance}");
        assert!(frechet_distance(&a, &a)?.abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn it_agrees_with_scipy() -> Result<(), EvalError> {
        // x = lambda k: np.sin(np.arange(1, 121)**1.3 * k).reshape(40, 3) * [1, 2, 3] + k
        // a, b = x(1.0), x(0.7); ca, cb = np.cov(a.T), np.cov(b.T)
        // ((a.mean(0) - b.mean(0))**2).sum() + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
        let set = |k: f64| {
            let value = |i: usize| {
                let x = ((i as f64 + 1.0).powf(1.3) * k).sin();
                (x * (1 + i % 3) as f64 + k) as f32
            };
            Vectors::new(40, &(0..120).map(value).collect::<Vec<_>>())
        };
        let distance = frechet_distance(&set(1.0)?, &set(0.7)?)?;
        assert!((distance - SCIPY).abs() < 1e-5, "{distance}");
        Ok(())
    }

    const SCIPY: f64 = 1.242_136_017_602_86;

    #[test]
    fn extrapolation_takes_the_bias_away() -> Result<(), EvalError> {
        // The true distance is 0.5² * 6 + 0.
        let (mut biased, mut mended, mut covered) = (0.0, 0.0, 0);
        const DRAWS: u64 = 200;
        for seed in 0..DRAWS {
            let a = gaussian(80, 6, 0.0, 1.0, 2 * seed);
            let b = gaussian(80, 6, 0.5, 1.0, 2 * seed + 1);
            biased += frechet_distance(&a, &b)? / DRAWS as f64;
            let estimate = frechet_extrapolated(&a, &b)?;
            mended += estimate.value / DRAWS as f64;
            let [low, high] = estimate.interval();
            covered += u64::from(low <= 1.5 && 1.5 <= high);
        }
        assert!(biased > 1.65, "{biased}");
        assert!((mended - 1.5).abs() < 0.06, "{mended}");
        assert!(covered * 100 > 90 * DRAWS, "{covered} of {DRAWS}");
        Ok(())
    }
}
