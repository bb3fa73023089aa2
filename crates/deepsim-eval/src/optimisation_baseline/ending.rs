//! The end of a descent, and the rule by which it backs off.
//!
//! The schedule of learning rates is made for pictures of norm `s`: the curvature of
//! `s² ‖Φ(x) - Φ0‖²/‖Φ0‖²` grows with `s²/‖Φ0‖²`, so that for a flat or faint picture, or a layer with
//! small features, the same rate overshoots, and every step is larger than the one before. Such a
//! picture starts again with all rates divided by 4, as often as needed.

use std::fmt;

/// Factor between the learning rates of two attempts.
pub(super) const BACK_OFF: u32 = 4;

/// Divisor of the learning rates after which there is no further attempt.
pub(super) const MOST_DIVISOR: u32 = BACK_OFF.pow(10);

/// An objective so many times that of the start, or of a zero image, is taken as diverged.
const LARGEST_RISE: f64 = 1e3;

/// End of the descent of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every step was made.
    Finished {
        /// Divisor of the schedule's learning rates: 1 unless the descent diverged at first.
        divisor: u32,
    },
    /// The objective or the image was not finite, or the objective a thousand times that of the start,
    /// under the smallest learning rates, too.
    Diverged {
        /// Steps that were made under those.
        step: usize,
        /// Divisor of the schedule's learning rates.
        divisor: u32,
    },
    /// The features are no nearer at the end than at the start and than those of a zero image, under
    /// the smallest learning rates, too.
    Stalled,
    /// The descent began at a zero image, where the gradient is zero, too, as in a network without
    /// biases: no step leads anywhere, whatever the learning rates.
    ZeroGradient,
    /// Features to come near to are all zero, so that the normalised error is undefined.
    ZeroTarget,
    /// Features to come near to are not finite.
    InfiniteTarget,
}

impl Ending {
    /// True if there is a result.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Finished { .. })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { divisor: 1 } => write!(f, "finished"),
            Self::Finished { divisor } => {
                write!(f, "finished with learning rates divided by {divisor}")
            }
            Self::Diverged { step, divisor } => {
                write!(f, "diverged at step {step} with learning rates divided by {divisor}")
            }
            Self::Stalled => {
                write!(f, "stalled: features no nearer than at the start, or than a zero image's")
            }
            Self::ZeroGradient => write!(
                f,
                "no gradient at the zero image it began with, as in a network without biases: begin with \
                 noise, as other priors do"
            ),
            Self::ZeroTarget => {
                write!(f, "target features are all zero: normalised error undefined")
            }
            Self::InfiniteTarget => write!(f, "target features are not finite"),
        }
    }
}

/// True if a descent with these objectives, the last one new, diverges.
pub(super) fn diverges(objective: &[f64]) -> bool {
    match objective {
        [first, .., last] => !last.is_finite() || *last > LARGEST_RISE * first.max(1.0),
        [only] => !only.is_finite(),
        [] => false,
    }
}

/// True if a descent with these objectives ends no nearer, by a thousandth, than it began and than a zero image is: the
/// first steps went so far that rectified features have no gradient left, or it keeps overshooting.
pub(super) fn stalls(objective: &[f64]) -> bool {
    matches!(objective, [first, .., last] if *last >= 0.999 * first.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_without_limit_is_a_divergence_and_an_overshoot_is_not() {
        for good in [&[][..], &[1e9], &[0.9, 30.0], &[1e3, 9e5], &[0.01, 900.0]] {
            assert!(!diverges(good), "{good:?}");
        }
        for bad in [&[f64::NAN][..], &[f64::INFINITY], &[1.0, f64::NAN], &[2.0, 1.0, 3e3]] {
            assert!(diverges(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_end_no_nearer_than_the_start_and_a_zero_image_is_no_result() {
        assert!(stalls(&[1.0, 1.0]) && stalls(&[4.0, 2.0, 4.5]));
        assert!(!stalls(&[1.0]) && !stalls(&[4.0, 1.2]) && !stalls(&[0.2, 0.3]));
    }

    #[test]
    fn endings_are_named() {
        let diverged = Ending::Diverged { step: 7, divisor: 16 };
        assert_eq!(diverged.to_string(), "diverged at step 7 with learning rates divided by 16");
        assert!(!diverged.is_finished() && Ending::Finished { divisor: 4 }.is_finished());
    }
}
