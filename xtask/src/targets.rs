//! Tables and figures, and the runs they need.

use clap::ValueEnum;

/// What can be reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The whole experiment of section 4.1: table3, table4 and fig3
    Autoencoder,
    /// Normalised Euclidean error of reconstructions
    Table3,
    /// Accuracy of linear SVMs on the code
    Table4,
    /// Reconstructions side by side
    Fig3,
}

impl Target {
    /// Name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Table3 => "table3",
            Self::Table4 => "table4",
            Self::Fig3 => "fig3",
        }
    }

    /// The tables and figures of a list of targets, each once, in the paper's order.
    pub(crate) fn expand(targets: &[Self]) -> Vec<Self> {
        let all = targets.contains(&Self::Autoencoder);
        [Self::Table3, Self::Table4, Self::Fig3]
            .into_iter()
            .filter(|target| all || targets.contains(target))
            .collect()
    }
}

/// A generator to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// Row of tables and reports.
    pub(crate) label: &'static str,
    /// Name of the recipe, and of the run's folder.
    pub(crate) recipe: &'static str,
    /// 10⁹ floating-point operations per image of a training step, all networks together.
    pub(crate) gflop: f64,
    /// Whether its recipe has a feature and an adversarial term.
    pub(crate) perceptual: bool,
}

/// The four generators of section 4.1. Each table and figure shows all of them.
pub(crate) const AUTOENCODERS: [Run; 4] = [
    Run { label: "SE", recipe: "autoencoder-se", gflop: 0.452, perceptual: false },
    Run { label: "l1", recipe: "autoencoder-l1", gflop: 0.452, perceptual: false },
    Run {
        label: "AlexNet CONV3",
        recipe: "autoencoder-alexnet-conv3",
        gflop: 1.98,
        perceptual: true,
    },
    Run {
        label: "Exemplar-CNN CONV3",
        recipe: "autoencoder-exemplar-cnn-conv3",
        gflop: 4.4,
        perceptual: true,
    },
];

impl Run {
    /// Whether an override `key=value` is meant for this run's recipe: those of terms that it does
    /// not have are not.
    pub(crate) fn takes(&self, set: &str) -> bool {
        let table = set.split(['.', '=']).next().unwrap_or_default().trim();
        self.perceptual || !["feature", "adversarial"].contains(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_once_and_in_order() {
        use Target::{Autoencoder, Fig3, Table3, Table4};
        assert_eq!(Target::expand(&[Autoencoder]), [Table3, Table4, Fig3]);
        assert_eq!(Target::expand(&[Fig3, Autoencoder]), [Table3, Table4, Fig3]);
        assert_eq!(Target::expand(&[Fig3, Table3, Fig3]), [Table3, Fig3]);
    }

    #[test]
    fn every_recipe_exists_and_has_the_terms_that_are_assumed() {
        for run in AUTOENCODERS {
            let path = crate::workspace::root()
                .join("crates/deepsim-train/recipes")
                .join(run.recipe)
                .with_extension("toml");
            let text = std::fs::read_to_string(&path).expect("the recipe exists");
            assert!(text.contains(&format!("name = \"{}\"", run.recipe)), "{}", run.recipe);
            for table in ["[feature]", "[adversarial]"] {
                assert_eq!(text.contains(table), run.perceptual, "{}: {table}", run.recipe);
            }
        }
    }

    #[test]
    fn overrides_reach_the_recipes_that_have_their_terms() {
        let [se, _, alexnet, _] = AUTOENCODERS;
        assert!(alexnet.takes("feature.rho=1") && !se.takes("feature.rho=1"));
        assert!(!se.takes("adversarial.weight=10") && !se.takes("adversarial={}"));
        assert!(se.takes("adam.learning_rate=1e-3") && se.takes("features=1"));
    }
}
