//! Settings of a descent, where it starts and where it may go.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;

use crate::EvalError;
use crate::features::Bounds;

/// Rule by which gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimiser {
    /// Adam, with decays of 0.9 and 0.999.
    Adam,
    /// Momentum of 0.9 on gradients of unit root mean square.
    Momentum,
}

impl Optimiser {
    /// Both, by their names.
    const ALL: [(Self, &'static str); 2] = [(Self::Adam, "adam"), (Self::Momentum, "momentum")];
}

impl fmt::Display for Optimiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(one, _)| one == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Optimiser {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(one, _)| *one);
        found.ok_or_else(|| EvalError::Unknown {
            what: "optimiser",
            known: Self::ALL.map(|(_, name)| name).join(", "),
            got: text.into(),
        })
    }
}

/// Settings of a descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Steps of each restart.
    pub steps: usize,
    /// Rule of the steps.
    pub optimiser: Optimiser,
    /// Learning rate in deviations of the input; falls linearly to a tenth.
    pub rate: f64,
    /// Weight of the mean square of the input in deviations from its mean.
    pub l2: f64,
    /// Descents of each picture, from other inputs; at least 1.
    pub restarts: usize,
    /// Seed of the inputs that they start from.
    pub seed: u64,
    /// Pictures that are optimised together; changes the speed only.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steps: 200,
            optimiser: Optimiser::Adam,
            rate: 0.1,
            l2: 0.0,
            restarts: 1,
            seed: 0,
            batch: 4,
        }
    }
}

impl Settings {
    /// Checks the numbers.
    ///
    /// # Errors
    /// If there is no restart, or the rate or the weight of the penalty is not in its range.
    pub fn check(&self) -> Result<(), EvalError> {
        let refuse = |what, wanted: &str, got: String| Err(EvalError::input(what, wanted, got));
        if self.restarts == 0 {
            return refuse("--restarts", "1 or more", "0".into());
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return refuse("--rate", "a number above 0", self.rate.to_string());
        }
        if !(self.l2.is_finite() && self.l2 >= 0.0) {
            return refuse("--l2", "a number of at least 0", self.l2.to_string());
        }
        Ok(())
    }
}

/// Inputs that descents start from, and where they may go.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Inputs `(n, ...)`, or `(1, ...)` for all pictures; without them, noise of the deviation of inputs about their
    /// mean. Restarts but the first add half of that noise.
    pub input: Option<Tensor>,
    /// Bounds, with the mean and deviation of inputs; without bounds the mean is 0, and the deviation the root mean square
    /// of `input`, or 1.
    pub bounds: Option<Bounds>,
}
