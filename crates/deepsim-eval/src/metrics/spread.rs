//! Spread of several draws of each of some targets, against the distances of the targets from one another and from
//! their draws.
//!
//! Draws that are distributed as what they are drawn for are as far from one another as from the target: the *spread*
//! over the *skill* is 1. Below it they differ too little for the errors they make, above it too much. The *energy score*
//! `E |s - x| - 1/2 E |s - s'|` is least for such draws (Gneiting & Raftery 2007), and tells two calibrated samplers
//! apart by how much they know.

use rayon::prelude::*;

use super::euclidean::{PairDistance, mean_pair_distance};
use super::statistics::{euclidean_distance, mean_and_spread};
use crate::EvalError;

/// Mean distances in one space.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Distance of two draws of a target, for each target; 0 if there is one draw.
    pub within: Vec<f64>,
    /// Distance of a draw from its target, for each target.
    pub error: Vec<f64>,
    /// Distance of two targets.
    pub between: PairDistance,
}

impl Spread {
    /// Takes targets of `dimensions` numbers, one after the other, and the draws of the first target, then those of the
    /// second one, and so on, the same number of each.
    ///
    /// # Errors
    /// If there are fewer than two targets, or the numbers are not those of as many draws of each.
    ///
    /// ```
    /// use deepsim_eval::metrics::spread::Spread;
    /// // Two targets on a line, 10 apart, and two draws of each.
    /// let spread = Spread::of(&[0.0, 10.0], &[-1.0, 3.0, 10.0, 14.0], 1)?;
    /// assert_eq!((&spread.within[..], &spread.error[..]), (&[4.0, 4.0][..], &[2.0, 2.0][..]));
    /// assert_eq!((spread.share(), spread.over_skill()), (40.0, 2.0));
    /// assert_eq!(spread.scores(), [0.0, 0.0]);
    /// # Ok::<(), deepsim_eval::EvalError>(())
    /// ```
    pub fn of(targets: &[f32], draws: &[f32], dimensions: usize) -> Result<Self, EvalError> {
        let between = mean_pair_distance(&mut targets.to_vec(), dimensions, 0)?;
        let each = draws.len() / targets.len().max(1);
        if each == 0 || each * targets.len() != draws.len() {
            let wanted = "as many draws of each target";
            let got = format!("{} numbers of draws, {} of targets", draws.len(), targets.len());
            return Err(EvalError::input("spread", wanted, got));
        }
        let of_one = |(target, draws): (&[f32], &[f32])| {
            let draws: Vec<&[f32]> = draws.chunks_exact(dimensions).collect();
            let errors: Vec<f64> = draws.iter().map(|s| euclidean_distance(s, target)).collect();
            let pairs = draws
                .iter()
                .enumerate()
                .flat_map(|(i, a)| draws[..i].iter().map(move |b| euclidean_distance(a, b)));
            let pairs: Vec<f64> = pairs.collect();
            let within = if pairs.is_empty() { 0.0 } else { mean_and_spread(&pairs).0 };
            (within, mean_and_spread(&errors).0)
        };
        let both =
            targets.par_chunks_exact(dimensions).zip(draws.par_chunks_exact(each * dimensions));
        let (within, error) = both.map(of_one).unzip();
        Ok(Self { within, error, between })
    }

    /// Distance of draws of a target in percent of that of targets, a mean over targets.
    pub fn share(&self) -> f64 {
        100.0 * mean_and_spread(&self.within).0 / self.between.mean
    }

    /// Distance of draws of a target over their distance from it, means over targets; 1 for draws that are distributed
    /// as their targets.
    pub fn over_skill(&self) -> f64 {
        mean_and_spread(&self.within).0 / mean_and_spread(&self.error).0
    }

    /// Energy score of each target in percent of the distance of targets: the smaller the better.
    pub fn scores(&self) -> Vec<f64> {
        let scores = self.error.iter().zip(&self.within);
        scores.map(|(error, within)| 100.0 * (error - 0.5 * within) / self.between.mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::{normal, stream};

    use super::*;

    #[test]
    fn draws_of_the_right_distribution_are_calibrated_and_score_best() -> Result<(), EvalError> {
        // Targets are a known place plus N(0, 1) in each dimension; draws are that place plus N(0, s²).
        let (n, each, dims) = (60, 6, 20);
        let known = normal(&mut stream(0, "known", 0), n * dims, 5.0);
        let noise = |purpose, std, times: usize| {
            let noise = normal(&mut stream(1, purpose, 0), n * times * dims, std);
            let place = |at: usize| known[at / (times * dims) * dims + at % dims];
            noise.iter().enumerate().map(|(at, v)| place(at) + v).collect::<Vec<f32>>()
        };
        let targets = noise("target", 1.0, 1);
        let spread = |std| Spread::of(&targets, &noise("draws", std, each), dims);
        let score = |spread: &Spread| mean_and_spread(&spread.scores()).0;
        let [narrow, right, wide] = [0.5, 1.0, 2.0].map(spread);
        let (narrow, right, wide) = (narrow?, right?, wide?);
        assert!((right.over_skill() - 1.0).abs() < 0.03, "{}", right.over_skill());
        assert!(narrow.over_skill() < 0.8 && wide.over_skill() > 1.2);
        assert!(score(&narrow) > score(&right) && score(&wide) > score(&right));
        Ok(())
    }

    #[test]
    fn one_draw_has_no_spread_and_odd_numbers_are_refused() -> Result<(), EvalError> {
        let one = Spread::of(&[0.0, 2.0], &[1.0, 2.0], 1)?;
        assert_eq!((one.share(), one.over_skill(), one.scores()), (0.0, 0.0, vec![50.0, 0.0]));
        assert!(Spread::of(&[0.0, 2.0], &[1.0, 2.0, 3.0], 1).is_err());
        assert!(Spread::of(&[0.0], &[1.0], 1).is_err());
        assert!(Spread::of(&[0.0, 2.0, 3.0], &[0.0, 2.0, 3.0], 2).is_err());
        assert!(Spread::of(&[0.0, 2.0], &[0.0, 2.0], 0).is_err());
        assert!(Spread::of(&[0.0, 2.0], &[], 1).is_err());
        Ok(())
    }
}
