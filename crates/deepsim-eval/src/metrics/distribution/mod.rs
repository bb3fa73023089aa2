//! Distances of two sets of feature vectors, as samples of two distributions.
//!
//! Both distances depend on the network whose features they are computed from: numbers of one network
//! say nothing beside numbers of another. Both are estimated without the bias that makes plain estimates
//! grow as samples get fewer, and come with a standard error.

mod frechet;
mod kernel;
mod projections;

use nalgebra::DMatrix;

pub use frechet::{frechet_distance, frechet_extrapolated};
pub use kernel::kernel_distance;
pub use projections::{Projections, project};

use crate::EvalError;

/// An estimate and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Standard error of the estimate, by the jackknife over [`GROUPS`] groups of samples.
    pub error: f64,
}

impl Estimate {
    /// The interval that covers the true value in 95 of 100 cases: Student's, as the error is itself
    /// estimated from so few groups.
    pub fn interval(&self) -> [f64; 2] {
        // For one degree of freedom less than there are groups.
        const STUDENT: f64 = 2.262;
        [self.value - STUDENT * self.error, self.value + STUDENT * self.error]
    }
}

/// Groups of samples that the jackknife leaves out one after the other.
pub const GROUPS: usize = 10;

/// Samples in a set for which there is a distance: a few in each half of each group.
pub const LEAST: usize = 4 * GROUPS;

/// Feature vectors, a row each.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors(DMatrix<f64>);

impl Vectors {
    /// Takes `n` vectors one after the other.
    ///
    /// # Errors
    /// If there are fewer than two, they are empty, do not divide evenly, or hold a value that is not
    /// finite.
    pub fn new(n: usize, values: &[f32]) -> Result<Self, EvalError> {
        let wanted = || format!("at least 2 vectors of equal length, {n} of them");
        if n < 2 || values.is_empty() || !values.len().is_multiple_of(n) {
            return Err(EvalError::input("vectors", wanted(), format!("{} numbers", values.len())));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(EvalError::input("vectors", "finite numbers", value.to_string()));
        }
        let numbers = values.iter().map(|&value| f64::from(value));
        Ok(Self(DMatrix::from_row_iterator(n, values.len() / n, numbers)))
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.0.nrows()
    }

    /// True if there are none, which [`Vectors::new`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in each.
    pub fn dims(&self) -> usize {
        self.0.ncols()
    }

    /// Returns the vectors whose position passes the filter.
    fn filter(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|&row| wanted(row)).collect();
        Self(self.0.select_rows(&rows))
    }
}

/// Refuses sets that cannot be compared, or are too small for halves and groups.
fn check(operation: &'static str, a: &Vectors, b: &Vectors) -> Result<(), EvalError> {
    if a.dims() == b.dims() && a.len().min(b.len()) >= LEAST {
        return Ok(());
    }
    let wanted = format!("two sets of at least {LEAST} vectors of equal length");
    let got = format!("{} of {} and {} of {}", a.len(), a.dims(), b.len(), b.dims());
    Err(EvalError::input(operation, wanted, got))
}

/// The estimate of all samples, with the spread of those without one group each.
fn jackknife(all: f64, without: &[f64]) -> Estimate {
    let n = without.len() as f64;
    let mean = without.iter().sum::<f64>() / n;
    let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    Estimate { value: all, error: ((n - 1.0) / n * squares).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_nets::random::{normal, stream};

    /// `n` draws from N(mean, std²) in `dims` dimensions.
    pub(super) fn gaussian(n: usize, dims: usize, mean: f32, std: f32, seed: u64) -> Vectors {
        let values = normal(&mut stream(seed, "vectors", 0), n * dims, 1.0);
        let values: Vec<f32> = values.iter().map(|value| mean + std * value).collect();
        Vectors::new(n, &values).expect("vectors")
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for (n, values) in [(1, &[1.0][..]), (2, &[]), (2, &[1.0, 2.0, 3.0]), (2, &[1.0, f32::NAN])]
        {
            assert!(Vectors::new(n, values).is_err(), "{n} of {values:?}");
        }
        let (few, many) = (gaussian(39, 3, 0.0, 1.0, 0), gaussian(50, 3, 0.0, 1.0, 0));
        let message = kernel_distance(&few, &many).expect_err("too few").to_string();
        assert!(message.contains("39 of 3 and 50 of 3"), "{message}");
        assert!(frechet_extrapolated(&many, &gaussian(50, 4, 0.0, 1.0, 0)).is_err());
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [3.0, 5.0, 9.0, 1.0];
        let mean = 4.5;
        let without: Vec<f64> = values.iter().map(|value| (18.0 - value) / 3.0).collect();
        let variance: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 3.0;
        let estimate = jackknife(mean, &without);
        assert!((estimate.error - (variance / 4.0).sqrt()).abs() < 1e-12);
    }
}
