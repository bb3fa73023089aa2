//! Names of the numbers that a generator's run logs, by one of which its best checkpoints may be kept.

use super::text::refuse;
use super::{Divergence, Recipe, Validation};
use crate::RunError;

impl Recipe {
    /// Names of the numbers in the log, as TensorBoard shows them.
    fn logged(&self) -> Vec<String> {
        let mut terms = vec!["image"];
        terms.extend(self.feature.as_ref().map(|_| "feature"));
        terms.extend(self.adversarial.map(|_| "adversarial"));
        let extra = self.terms.list();
        terms.extend(extra.iter().map(|term| term.name()));
        terms.extend(self.vae.as_ref().map(|_| Divergence::NAME));
        let of_terms = |kind: &'static str| terms.iter().map(move |term| format!("{kind}/{term}"));
        let mut names: Vec<String> =
            ["value", "weighted", "gradient"].into_iter().flat_map(of_terms).collect();
        names.extend(["total", "learning_rate", "weight_gradient/generator"].map(String::from));
        names.extend(self.validation.map(|_| format!("measure/{}", Validation::NAME)));
        if self.adversarial.is_some() {
            let of_it =
                ["real", "generated", "accuracy", "ratio", "accuracy_real", "accuracy_generated"];
            names.extend(of_it.map(|name| format!("discriminator/{name}")));
            names.extend(["discriminator", "generator"].map(|net| format!("share_updated/{net}")));
            names.push("weight_gradient/discriminator".into());
        }
        names
    }

    /// Refuses to keep the best checkpoints by a number that is not logged.
    pub(super) fn check_best(&self) -> Result<(), RunError> {
        let Some(best) = &self.output.keep.best else { return Ok(()) };
        let names = self.logged();
        if names.contains(&best.measure) {
            return Ok(());
        }
        let near = |name: &&String| strsim::jaro_winkler(name, &best.measure);
        let nearest = names.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        let meant = nearest.map_or(String::new(), |name| format!("\ndid you mean `{name}`?"));
        refuse(format!(
            "output.keep.best.measure: expected a number of this recipe's log (measure/{} needs [validation]), found `{}`{meant}",
            Validation::NAME,
            best.measure
        ))
    }
}
