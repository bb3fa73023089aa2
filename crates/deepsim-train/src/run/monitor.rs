//! Warnings about a training whose balance is lost.

use std::collections::BTreeMap;

use deepsim_loss::{At, TermReport};

use crate::trainer::StepReport;

/// Steps in a row after which something is worth a warning.
const STEPS: u64 = 100;
/// The same for a network that is not updated, which is normal for a while.
const OFF: u64 = 500;
/// Nats of an image's code below which it holds nothing.
const COLLAPSED: f64 = 0.1;
/// Largest ratio of a gradient to all others together, or of those to it.
const PROPORTION: f64 = 1e3;

/// Counts for how many steps in a row each sign has been seen.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    streaks: BTreeMap<(&'static str, Sign), u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Dead,
    Small,
    Large,
    Off,
    Collapsed,
}

impl Monitor {
    /// Takes a step into account; returns warnings about signs that have now lasted long enough, each once.
    ///
    /// ```
    /// use deepsim_train::run::monitor::Monitor;
    /// # use deepsim_loss::{At, TermReport};
    /// # use deepsim_train::trainer::StepReport;
    /// # let term = |name, grad_norm| TermReport { name, value: 1.0, weight: 1.0, at: At::Images, grad_norm };
    /// # let report = StepReport {
    /// #     step: 1,
    /// #     learning_rate: 1e-4,
    /// #     terms: vec![term("feature", 0.0), term("image", 3.0)],
    /// #     adversary: None,
    /// #     gradients: vec![],
    /// #     measures: vec![],
    /// # };
    /// let mut monitor = Monitor::default();
    /// // A report whose feature term has had no gradient for a hundred steps:
    /// let told: Vec<String> = (0..200).flat_map(|_| monitor.observe(&report)).collect();
    /// assert_eq!(told.len(), 1);
    /// assert!(told[0].starts_with("the feature term is dead"));
    /// ```
    pub fn observe(&mut self, report: &StepReport) -> Vec<String> {
        let mut told = Vec::new();
        // The divergence pulls at codes, the others at images.
        let (codes, images): (Vec<&TermReport>, Vec<_>) =
            report.terms.iter().partition(|term| term.at == At::Codes);
        if let Some(term) = codes.first() {
            let collapsed = term.value < COLLAPSED;
            if self.lasts(term.name, Sign::Collapsed, collapsed, STEPS) {
                told.push(format!(
                    "the codes have collapsed: for {STEPS} steps they held less than {COLLAPSED} nats of \
                     an image, so that every code is decoded to the same; try a smaller \
                     vae.divergence.weight or a vae.divergence.warm_up"
                ));
            }
        }
        let all: f64 = images.iter().map(|term| term.grad_norm).sum();
        for term in images.iter().filter(|term| term.weight > 0.0) {
            let (name, norm) = (term.name, term.grad_norm);
            let (dead, others) = (norm == 0.0, all - norm);
            if self.lasts(name, Sign::Dead, dead, STEPS) {
                told.push(format!("the {name} term is dead: it had no gradient for {STEPS} steps"));
            }
            let small = !dead && norm * PROPORTION < others;
            if self.lasts(name, Sign::Small, small, STEPS) {
                told.push(format!(
                    "the {name} term hardly counts: for {STEPS} steps its gradient was less than \
                     1/{PROPORTION} of the others', now {norm:.2e} of {all:.2e}"
                ));
            }
            let large = others > 0.0 && norm > PROPORTION * others;
            if self.lasts(name, Sign::Large, large, STEPS) {
                told.push(format!(
                    "the {name} term drowns the others: for {STEPS} steps its gradient was more than \
                     {PROPORTION} times theirs, now {norm:.2e} of {all:.2e}"
                ));
            }
        }
        if let Some(adversary) = report.adversary {
            let off = [
                ("discriminator", adversary.trained_discriminator),
                ("generator", adversary.trained_generator),
            ];
            for (net, trained) in off {
                if self.lasts(net, Sign::Off, !trained, OFF) {
                    told.push(format!(
                        "the {net} is off: it was not updated for {OFF} steps; the ratio of the losses \
                         is {:.2e}",
                        adversary.ratio
                    ));
                }
            }
        }
        told
    }

    /// Returns true if a sign has just lasted for `steps` steps in a row.
    fn lasts(&mut self, name: &'static str, sign: Sign, seen: bool, steps: u64) -> bool {
        let streak = self.streaks.entry((name, sign)).or_default();
        *streak = if seen { *streak + 1 } else { 0 };
        *streak == steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::AdversaryReport;

    fn report(norms: [f64; 2], trained: [bool; 2]) -> StepReport {
        let at = At::Images;
        let term = |name, grad_norm| TermReport { name, value: 1.0, weight: 1.0, at, grad_norm };
        StepReport {
            step: 1,
            learning_rate: 1e-4,
            terms: vec![term("adversarial", norms[0]), term("image", norms[1])],
            adversary: Some(AdversaryReport {
                real: 0.1,
                generated: 0.1,
                accuracy: 1.0,
                accuracy_real: 1.0,
                accuracy_generated: 1.0,
                ratio: 0.02,
                trained_discriminator: trained[0],
                trained_generator: trained[1],
                discriminator_updates: 1,
                generator_updates: 1,
            }),
            gradients: vec![],
            measures: vec![],
        }
    }

    #[test]
    fn codes_that_hold_nothing_are_told_and_are_not_weighed_against_images() {
        let mut monitor = Monitor::default();
        let mut collapsed = report([1.0, 1.0], [true, true]);
        let divergence = TermReport {
            name: "divergence",
            value: 0.01,
            weight: 20.0,
            at: At::Codes,
            grad_norm: 1e-9,
        };
        collapsed.terms.push(divergence);
        let told: Vec<String> = (0..2 * STEPS).flat_map(|_| monitor.observe(&collapsed)).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("the codes have collapsed"), "{told:?}");
    }

    #[test]
    fn each_sign_is_told_once_and_again_only_after_it_was_gone() {
        let on = [true, true];
        let cases = [
            (report([0.0, 1.0], on), STEPS, vec!["the adversarial term is dead"]),
            (
                report([1e-4, 1.0], on),
                STEPS,
                vec!["the adversarial term hardly", "the image term drowns"],
            ),
            (report([1.0, 1.0], [false, true]), OFF, vec!["the discriminator is off"]),
            (report([1.0, 1.0], [true, false]), OFF, vec!["the generator is off"]),
        ];
        for (bad, steps, words) in cases {
            let mut monitor = Monitor::default();
            let good = report([1.0, 1.0], on);
            for _ in 0..2 {
                for _ in 1..steps {
                    assert_eq!(monitor.observe(&bad), [""; 0], "too early: {words:?}");
                }
                let told = monitor.observe(&bad);
                assert_eq!(told.len(), words.len(), "{told:?}");
                for (told, words) in told.iter().zip(&words) {
                    assert!(told.starts_with(words), "{told}");
                }
                assert_eq!(monitor.observe(&bad), [""; 0], "told twice");
                assert_eq!(monitor.observe(&good), [""; 0]);
            }
        }
    }
}
