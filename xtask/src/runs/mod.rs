//! Generators to train.

pub(crate) mod inversion;
pub(crate) mod vae;

use crate::targets::Experiment;
use crate::workspace;

/// A generator to train.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Row of tables and reports.
    pub(crate) label: String,
    /// Name of the run and of its folder.
    pub(crate) name: String,
    /// Name of its recipe.
    pub(crate) recipe: String,
    /// Overrides of the recipe.
    pub(crate) sets: Vec<String>,
    /// What training it costs.
    pub(crate) cost: Cost,
    /// Terms of the loss that its recipe does not have.
    pub(crate) lacks: &'static [&'static str],
    /// What it belongs to.
    pub(crate) experiment: Experiment,
}

/// What a training costs, all its networks together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// 10⁹ floating-point operations per image of a step, as `deepsim plan` counts them.
    pub(crate) gflop: f64,
    /// 10⁶ weights that are trained.
    pub(crate) weights: f64,
    /// MiB of memory per image of a step: what was measured (docs/training.md), without what weights need.
    pub(crate) image: f64,
}

impl Cost {
    /// Of a generator with so many weights, and the discriminator that sees images alone, unless the
    /// recipe lacks it.
    fn new(gflop: f64, generator: f64, image: f64, lacks: &[&str]) -> Self {
        let discriminator = if lacks.contains(&"adversarial") { 0.0 } else { 1.15 };
        Self { gflop, weights: generator + discriminator, image }
    }
}

/// Terms that recipes of image losses do not have.
const IMAGE_LOSS: &[&str] = &["feature", "adversarial"];

/// The four generators of section 4.1. Each table and figure shows all of them.
pub(crate) fn autoencoders() -> [Run; 4] {
    const WEIGHTS: f64 = 0.65;
    let run = |label: &str, recipe, (gflop, image), lacks: &'static [_]| {
        let cost = Cost::new(gflop, WEIGHTS, image, lacks);
        Run::new(label.into(), recipe, cost, lacks, Experiment::Autoencoder)
    };
    [
        run("SE", "autoencoder-se", (0.633, 2.0), IMAGE_LOSS),
        run("l1", "autoencoder-l1", (0.633, 2.0), IMAGE_LOSS),
        run("AlexNet CONV3", "autoencoder-alexnet-conv3", (2.17, 4.2), &[]),
        run("Exemplar-CNN CONV3", "autoencoder-exemplar-cnn-conv3", (4.63, 8.7), &[]),
    ]
}

impl Run {
    /// Of a recipe as it is.
    fn new(
        label: String,
        recipe: &str,
        cost: Cost,
        lacks: &'static [&'static str],
        experiment: Experiment,
    ) -> Self {
        let (name, sets) = (recipe.to_owned(), Vec::new());
        Self { label, recipe: name.clone(), name, sets, cost, lacks, experiment }
    }

    /// One of the authors' generators, which is measured and not trained.
    ///
    /// Reports tell its loss by the end of the label.
    pub(crate) fn reference(layer: inversion::Layer, folder: &str, loss: &str) -> Self {
        Self {
            label: format!("{} the authors' generator{loss}", layer.name()),
            name: format!("reference-{folder}"),
            recipe: String::new(),
            sets: Vec::new(),
            cost: Cost { gflop: 0.0, weights: 0.0, image: 0.0 },
            lacks: &[],
            experiment: Experiment::Inversion,
        }
    }

    /// The network that it compares with, as its recipe and overrides name it.
    pub(crate) fn comparator(&self) -> Option<String> {
        self.named("feature", "comparator")
    }

    /// The networks that it compares with, inverts or begins with.
    pub(crate) fn networks(&self) -> Vec<String> {
        let encoders = ["inversion", "vae"].map(|table| self.named(table, "encoder"));
        let mut networks: Vec<_> =
            encoders.into_iter().flatten().chain(self.comparator()).collect();
        networks.sort();
        networks.dedup();
        networks
    }

    fn named(&self, table: &str, key: &str) -> Option<String> {
        let path = workspace::root().join("crates/deepsim-run/recipes").join(&self.recipe);
        let text = std::fs::read_to_string(path.with_extension("toml")).unwrap_or_default();
        let recipe: toml::Table = text.parse().unwrap_or_default();
        let own = format!("{table}.{key}=");
        let set = self.sets.iter().rev().find_map(|set| set.strip_prefix(&own));
        let written = recipe.get(table).and_then(|table| table.get(key)?.as_str());
        let removed = self.sets.contains(&format!("{table}="));
        set.or(written).filter(|_| !removed).map(str::to_owned)
    }

    /// Whether an override `key=value` is meant for this run's recipe: those of terms and generators that
    /// it does not have are not.
    pub(crate) fn takes(&self, set: &str) -> bool {
        let table = set.split(['.', '=']).next().unwrap_or_default().trim();
        let own = match table {
            "inversion" => self.experiment == Experiment::Inversion,
            "vae" => matches!(self.experiment, Experiment::Vae | Experiment::SmallVae),
            _ => true,
        };
        own && !self.lacks.contains(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inversion::{Encoder, Layer, Variant, run};

    fn all() -> Vec<Run> {
        let encoder = Encoder { name: "alexnet".into(), calibrated: true };
        let one = |layer| Variant::ALL.map(|variant| run(layer, variant, &encoder));
        let inversions = Layer::ALL.into_iter().flat_map(one);
        let vaes = vae::large(&Layer::ALL, &encoder).into_iter().chain(vae::small());
        autoencoders().into_iter().chain(inversions).chain(vaes).collect()
    }

    #[test]
    fn every_recipe_exists_and_has_the_tables_that_are_assumed() {
        for run in all() {
            let path = crate::workspace::root()
                .join("crates/deepsim-run/recipes")
                .join(&run.recipe)
                .with_extension("toml");
            let text = std::fs::read_to_string(&path).expect("the recipe exists");
            assert!(text.contains(&format!("name = \"{}\"", run.recipe)), "{}", run.recipe);
            for table in ["feature", "adversarial", "inversion", "vae"] {
                let removed = run.sets.contains(&format!("{table}="));
                let has = text.contains(&format!("[{table}]")) && !removed;
                assert_eq!(has, run.takes(&format!("{table}.x=1")), "{}: {table}", run.name);
            }
        }
    }

    #[test]
    fn the_papers_rows_have_the_labels_of_runs() {
        let path = "crates/deepsim-eval/src/report/paper.toml";
        let text = std::fs::read_to_string(crate::workspace::root().join(path)).expect(path);
        let rows = text.lines().filter_map(|line| line.trim().strip_prefix("{ run = \""));
        let labels: Vec<&str> = rows.filter_map(|row| Some(row.split_once('"')?.0)).collect();
        assert!(labels.len() > 30, "{labels:?}");
        let known: Vec<String> = all().into_iter().map(|run| run.label).collect();
        for label in labels {
            // Not a run: `deepsim optimise` names it.
            let optimised = label.ends_with("Mahendran & Vedaldi");
            assert!(optimised || known.iter().any(|known| known == label), "{label}");
        }
    }

    #[test]
    fn networks_are_those_of_recipes_and_overrides() {
        let networks = |name: &str| {
            let run = all().into_iter().find(|run| run.name == name).expect(name);
            run.networks()
        };
        assert_eq!(networks("autoencoder-se"), [""; 0]);
        assert_eq!(networks("autoencoder-exemplar-cnn-conv3"), ["exemplar-cnn"]);
        assert_eq!(networks("inversion-fc6"), ["alexnet"], "an override");
        assert_eq!(networks("inversion-fc6-image"), ["alexnet"], "no feature term");
        assert_eq!(networks("inversion-fc6-videonet"), ["alexnet", "videonet"]);
        assert_eq!(networks("vae-videonet-conv5"), ["alexnet", "videonet"]);
        assert_eq!(networks("vae-small-alexnet-conv3"), ["alexnet", "autoencoder"]);
    }

    #[test]
    fn names_and_labels_are_distinct() {
        let of = |part: fn(Run) -> String| {
            all().into_iter().map(part).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((of(|run| run.name), of(|run| run.label)), (all().len(), all().len()));
        assert!(all().iter().all(|run| !run.label.contains('=')), "a label ends at `=`");
    }

    #[test]
    fn overrides_reach_the_recipes_that_have_their_terms() {
        let [se, _, alexnet, _] = autoencoders();
        assert!(alexnet.takes("feature.rho=1") && !se.takes("feature.rho=1"));
        assert!(!se.takes("adversarial.weight=10") && !se.takes("adversarial={}"));
        assert!(se.takes("adam.learning_rate=1e-3") && se.takes("features=1"));
        assert!(!alexnet.takes("inversion.seed=1") && !alexnet.takes("vae.latent=8"));
    }
}
