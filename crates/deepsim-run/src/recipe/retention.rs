//! Checkpoints that are kept.

use serde::{Deserialize, Serialize};

/// Rules for the checkpoints that are kept: whatever one rule keeps is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest ones, at least 1. Two survive a medium that loses one of them.
    pub last: usize,
    /// Interval of steps whose checkpoints are kept; 0 for none.
    pub every: u64,
    /// The best ones by a number of the log.
    pub best: Option<Best>,
}

/// The best checkpoints by a number of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Name of the number, as in TensorBoard: `value/image`, `total`, `measure/accuracy`.
    pub measure: String,
    /// Number of checkpoints.
    pub number: usize,
    /// True if more is better.
    #[serde(default)]
    pub highest: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: 2, every: 0, best: None }
    }
}

/// A checkpoint that may be removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Step of the checkpoint.
    pub step: u64,
    /// The number that [`Retention::best`] asks for, as the log had it last.
    pub measure: Option<f64>,
}

impl Retention {
    /// Returns the steps of the checkpoints that may be removed; the newest one is never among them.
    ///
    /// ```
    /// use deepsim_run::recipe::{Candidate, Retention};
    /// let all = [100, 200, 300, 400].map(|step| Candidate { step, measure: None });
    /// let keep = Retention { last: 1, every: 200, best: None };
    /// assert_eq!(keep.discard(&all), [100, 300]);
    /// ```
    pub fn discard(&self, all: &[Candidate]) -> Vec<u64> {
        let mut steps: Vec<u64> = all.iter().map(|c| c.step).collect();
        steps.sort_unstable();
        let newest = &steps[steps.len().saturating_sub(self.last.max(1))..];
        let best = self.best_steps(all);
        let kept = |step: u64| {
            newest.contains(&step)
                || (self.every > 0 && step.is_multiple_of(self.every))
                || best.contains(&step)
        };
        steps.iter().copied().filter(|step| !kept(*step)).collect()
    }

    fn best_steps(&self, all: &[Candidate]) -> Vec<u64> {
        let Some(best) = &self.best else { return Vec::new() };
        let sign = if best.highest { -1.0 } else { 1.0 };
        let finite = |c: &Candidate| Some((sign * c.measure.filter(|m| m.is_finite())?, c.step));
        let mut ranked: Vec<(f64, u64)> = all.iter().filter_map(finite).collect();
        // The earlier one of equals, so that a plateau does not throw away what reached it.
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.iter().take(best.number).map(|(_, step)| *step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(u64, f64)]) -> Vec<Candidate> {
        values.iter().map(|&(step, m)| Candidate { step, measure: Some(m) }).collect()
    }

    #[test]
    fn what_any_rule_keeps_is_kept() {
        let all = measured(&[(10, 3.0), (20, 1.0), (30, f64::NAN), (40, 2.0), (50, 9.0)]);
        let best = |highest| Some(Best { measure: "total".into(), number: 1, highest });
        let discard = |last, every, best| Retention { last, every, best }.discard(&all);
        assert_eq!(discard(2, 0, None), [10, 20, 30]);
        assert_eq!(discard(1, 20, None), [10, 30]);
        assert_eq!(discard(1, 0, best(false)), [10, 30, 40]);
        assert_eq!(discard(1, 0, best(true)), [10, 20, 30, 40]);
        assert_eq!(discard(9, 0, None), [0; 0]);
        assert_eq!(discard(0, 0, None), [10, 20, 30, 40], "the newest always stays");
        assert_eq!(Retention::default().discard(&[]), [0; 0]);
    }

    #[test]
    fn of_equally_good_ones_the_first_stays() {
        let all = measured(&[(30, 1.0), (10, 1.0), (20, 1.0), (40, 2.0)]);
        let best = Some(Best { measure: "total".into(), number: 1, highest: false });
        assert_eq!(Retention { last: 1, every: 0, best }.discard(&all), [20, 30]);
    }
}
