//! Balance between discriminator and generator, which decides whose weights are updated.
//!
//! The paper prints one rule; the authors' code has three. After every iteration they look at
//! `r = (CE_real + CE_generated) / CE_adversarial`, the ratio of that iteration's unweighted
//! cross-entropies: the discriminator's loss over the generator's.

use serde::{Deserialize, Serialize};

/// Rule that keeps the balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceRule {
    /// The three rules of the authors' code: the discriminator stops below 0.1 and comes back above
    /// 0.5; the generator stops above 10 and comes back when the discriminator stops.
    #[default]
    Code,
    /// The single rule of the paper: the discriminator is not updated while the ratio is below 0.1.
    Paper,
    /// Both are always updated.
    Off,
}

/// Ratio below which the discriminator is too good and is not updated.
pub const DISCRIMINATOR_OFF: f64 = 0.1;
/// Ratio above which it is updated again.
pub const DISCRIMINATOR_ON: f64 = 0.5;
/// Ratio above which the generator is too good and is not updated.
pub const GENERATOR_OFF: f64 = 10.0;

/// Networks that the coming iteration updates. Part of a checkpoint.
///
/// ```
/// use deepsim_loss::{Balance, BalanceRule};
/// let mut balance = Balance::default();
/// balance.update(BalanceRule::Code, 0.05); // the discriminator wins: it pauses
/// assert!(!balance.train_discriminator);
/// balance.update(BalanceRule::Code, 0.3); // still below 0.5
/// assert!(!balance.train_discriminator);
/// balance.update(BalanceRule::Code, 0.7);
/// assert!(balance.train_discriminator && balance.train_generator);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// True if the discriminator is updated.
    pub train_discriminator: bool,
    /// True if the generator is updated.
    pub train_generator: bool,
}

impl Default for Balance {
    fn default() -> Self {
        Self { train_discriminator: true, train_generator: true }
    }
}

impl Balance {
    /// Updates the balance by the ratio of the iteration that has just ended.
    pub fn update(&mut self, rule: BalanceRule, ratio: f64) {
        match rule {
            BalanceRule::Off => {}
            BalanceRule::Paper => self.train_discriminator = ratio >= DISCRIMINATOR_OFF,
            // The rules apply in this order; each uses the decision of the one before.
            BalanceRule::Code => {
                if ratio < DISCRIMINATOR_OFF && self.train_discriminator {
                    *self = Self { train_discriminator: false, train_generator: true };
                }
                if ratio > DISCRIMINATOR_ON && !self.train_discriminator {
                    *self = Self { train_discriminator: true, train_generator: true };
                }
                if ratio > GENERATOR_OFF && self.train_generator {
                    *self = Self { train_discriminator: true, train_generator: false };
                }
            }
        }
    }
}

/// Returns `(CE_real + CE_generated) / CE_adversarial` of one iteration.
pub fn ratio(real: f64, generated: f64, adversarial: f64) -> f64 {
    (real + generated) / adversarial
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rule: BalanceRule, ratios: &[f64]) -> Vec<(bool, bool)> {
        let mut balance = Balance::default();
        let mut states = Vec::new();
        for &ratio in ratios {
            balance.update(rule, ratio);
            states.push((balance.train_discriminator, balance.train_generator));
        }
        states
    }

    #[test]
    fn the_code_has_hysteresis_and_stops_the_generator_too() {
        let (both, only_d, only_g) = ((true, true), (true, false), (false, true));
        assert_eq!(
            run(BalanceRule::Code, &[2.0, 0.1, 0.09, 0.4, 0.5, 0.51, 11.0, 2.0, 0.2, 0.05, 20.0]),
            // 0.1 and 0.5 themselves change nothing. A stopped generator comes back only when the
            // discriminator stops. 20 re-enables both by rule 2, then stops the generator by rule 3.
            [both, both, only_g, only_g, only_g, both, only_d, only_d, only_d, only_g, only_d]
        );
    }

    #[test]
    fn the_paper_only_pauses_the_discriminator() {
        let states = run(BalanceRule::Paper, &[2.0, 0.09, 0.1, 50.0]);
        assert_eq!(states, [(true, true), (false, true), (true, true), (true, true)]);
    }

    #[test]
    fn off_changes_nothing() {
        assert_eq!(run(BalanceRule::Off, &[0.0, 100.0, f64::NAN]), [(true, true); 3]);
    }
}
