//! The runs: generators to train, one row each; of inversions one row for all layers.

use deepsim_run::RunError;
use deepsim_run::identity::Method;
use deepsim_run::recipe::Recipe;
use deepsim_run::recipes;

use super::Experiment;
use super::inverted::{Encoder, Layer};
use super::rows::{FIRST, ROWS, Row, VARIANTS, Variant};

/// A generator to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name of the run and of its folder.
    pub id: String,
    /// Row of tables and pictures.
    pub label: String,
    /// Name of its built-in recipe; empty for a generator that is not trained here.
    pub recipe: String,
    /// Overrides of the recipe, `key=value`.
    pub overrides: Vec<String>,
    /// Experiment that it belongs to.
    pub experiment: Experiment,
    /// Training method.
    pub method: Method,
    /// Layer that it inverts.
    pub layer: Option<Layer>,
}

/// Side of the images that AlexNet is made for, to which those of small inversions are enlarged.
const ENLARGED: usize = 227;

/// Every run that the catalogue has for these layers of an encoder, in the order of plans and reports.
pub fn runs(layers: &[Layer], encoder: &Encoder) -> Vec<Run> {
    // Nobody has an FC6 to compare with whose network has convolutions alone.
    let possible = |row: &&Row| row.id != "vae-alexnet-fc6" || layers.contains(&Layer::Fc6);
    let rows = ROWS.iter().filter(possible).map(|row| {
        let mut overrides: Vec<String> =
            row.overrides.iter().map(|set| (*set).to_owned()).collect();
        if row.id != row.recipe {
            overrides.push(format!("name={}", row.id));
        }
        match row.experiment {
            // Images are enlarged to the size that it is made for.
            Experiment::SmallInversion => {
                let network = format!("{}@{ENLARGED}", encoder.convolutions());
                overrides.push(format!("inversion.encoder={network}"));
                if !row.overrides.contains(&"feature=") {
                    overrides.push(format!("feature.comparator={network}"));
                }
            }
            _ if row.with_encoder => overrides.extend(encoder.as_comparator()),
            _ => {}
        }
        if row.experiment == Experiment::Vae {
            overrides.push(format!("vae.encoder={}", encoder.convolutions()));
        }
        let (id, label) = (row.id.to_owned(), row.label.to_owned());
        let Row { experiment, method, .. } = *row;
        Run { id, label, recipe: row.recipe.to_owned(), overrides, experiment, method, layer: None }
    });
    let inversions =
        layers.iter().flat_map(|layer| VARIANTS.iter().map(|v| v.run(*layer, encoder)));
    rows.chain(inversions).collect()
}

impl Variant {
    fn run(&self, layer: Layer, encoder: &Encoder) -> Run {
        let recipe = format!("inversion-{}", layer.name().to_lowercase());
        let id = format!("{recipe}{}", self.suffix);
        let mut overrides =
            vec![format!("name={id}"), format!("inversion.encoder={}", encoder.name)];
        if self.method != Method::OtherComparator && !self.overrides.contains(&"feature=") {
            overrides.extend(encoder.as_comparator());
        }
        overrides.extend(self.overrides.iter().map(|set| (*set).to_owned()));
        Run {
            label: format!("{} {}", layer.name(), self.label),
            id,
            recipe,
            overrides,
            experiment: Experiment::Inversion,
            method: self.method,
            layer: Some(layer),
        }
    }
}

/// Label of the inversion of a layer by optimisation, with Mahendran & Vedaldi's prior.
pub fn optimised_label(layer: &str) -> String {
    format!("{layer} Mahendran & Vedaldi")
}

/// Label of a run by its id, of inversions by optimisation too; `None` if the catalogue has no such run.
pub fn label(id: &str) -> Option<String> {
    if let Some(layer) = id.strip_prefix("mahendran-vedaldi-") {
        return Some(optimised_label(layer));
    }
    // Labels are the same for every encoder.
    let encoder = Encoder { name: String::new(), calibrated: false };
    runs(&Layer::ALL, &encoder).into_iter().find(|run| run.id == id).map(|run| run.label)
}

/// Id of the run that does what a generator of the authors does.
pub(crate) fn released(method: Method, layer: &str) -> Option<String> {
    let ours = match method {
        Method::Released => Method::DeePSiM,
        Method::ReleasedImageOnly => Method::ImageOnly,
        _ => return None,
    };
    let variant = VARIANTS.iter().find(|variant| variant.method == ours)?;
    Some(format!("inversion-{}{}", layer.to_lowercase(), variant.suffix))
}

/// Text of a built-in recipe.
///
/// # Errors
/// If there is none of this name.
pub(crate) fn built_in(name: &str) -> Result<&'static str, RunError> {
    recipes::text(name)
        .ok_or_else(|| RunError::recipe(format!("expected a built-in recipe, found {name}")))
}

impl Run {
    /// Parses its recipe, with its overrides.
    ///
    /// # Errors
    /// If there is no such recipe, or an override does not fit it.
    pub fn recipe(&self) -> Result<Recipe, RunError> {
        Recipe::parse(built_in(&self.recipe)?, &self.overrides).map_err(|error| match error {
            RunError::Recipe { reason, .. } => {
                RunError::Recipe { path: Some(self.id.clone().into()), reason }
            }
            other => other,
        })
    }

    /// Names of the networks that it compares with, inverts or begins with.
    pub fn networks(&self) -> Vec<String> {
        let Ok(recipe) = self.recipe() else { return Vec::new() };
        let compared = recipe.feature.as_ref().map(|term| term.comparator.name());
        let inverted = recipe.inversion.as_ref().map(|inversion| inversion.encoder.name());
        let begun = recipe.vae.map(|vae| vae.encoder.name());
        let mut all: Vec<_> =
            [compared, inverted, begun].into_iter().flatten().map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Name of the network that it compares with.
    pub fn comparator(&self) -> Option<String> {
        Some(self.recipe().ok()?.feature?.comparator.name().to_owned())
    }

    /// Id of the run whose weights it begins with, with a preset that begins so: that of the same network with the image
    /// term alone, or for pre-images with the paper's loss.
    pub fn begins_with(&self) -> Option<&'static str> {
        match (self.experiment, self.id.as_str()) {
            (Experiment::Autoencoder, FIRST) => None,
            (Experiment::Autoencoder, _) => Some(FIRST),
            (_, "inversion-small-conv3") => Some("inversion-small-conv3-image"),
            (_, "inversion-small-conv5") => Some("inversion-small-conv5-image"),
            (_, "preimages" | "preimages-noise" | "preimages-mode-seeking") => {
                Some("inversion-small-conv5")
            }
            _ => None,
        }
    }

    /// True if an override `key=value` is meant for its recipe: those of terms and generators that the recipe does
    /// not have are not.
    pub fn takes(&self, set: &str) -> bool {
        let table = set.split(['.', '=']).next().unwrap_or_default().trim();
        let Ok(recipe) = self.recipe() else { return false };
        match table {
            "feature" => recipe.feature.is_some(),
            "adversarial" => recipe.adversarial.is_some(),
            "inversion" => recipe.inversion.is_some(),
            "vae" => recipe.vae.is_some(),
            "generator" => recipe.inversion.is_none() && recipe.vae.is_none(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_run::identity::Identity;

    fn all() -> Vec<Run> {
        runs(&Layer::ALL, &Encoder { name: "alexnet".into(), calibrated: true })
    }

    fn named(id: &str) -> Run {
        all().into_iter().find(|run| run.id == id).expect(id)
    }

    #[test]
    fn every_run_has_a_recipe_that_says_who_it_is() {
        assert_eq!(all().len(), ROWS.len() + 4 * VARIANTS.len());
        for run in all() {
            let recipe = run.recipe().expect("a recipe");
            let identity = Identity::of(&recipe);
            let layer = match run.experiment {
                // They are rows of their own, whatever layers are asked for.
                Experiment::SmallInversion => identity.layer.clone(),
                _ => run.layer.map(|layer| layer.name().to_owned()),
            };
            assert_eq!((identity.id, identity.method, identity.layer), (run.id, run.method, layer));
        }
    }

    #[test]
    fn networks_are_those_of_recipes_and_overrides() {
        let networks = |id: &str| named(id).networks();
        assert_eq!(networks("autoencoder-se"), [""; 0]);
        assert_eq!(networks("autoencoder-exemplar-cnn-conv3"), ["exemplar-cnn"]);
        assert_eq!(networks("inversion-fc6"), ["alexnet"], "an override");
        assert_eq!(networks("inversion-fc6-image"), ["alexnet"], "no feature term");
        assert_eq!(networks("inversion-fc6-videonet"), ["alexnet", "videonet"]);
        assert_eq!(networks("vae-videonet-conv5"), ["alexnet", "videonet"]);
        assert_eq!(networks("vae-small-alexnet-conv3"), ["alexnet", "autoencoder"]);
    }

    #[test]
    fn ids_and_labels_are_distinct_and_found() {
        let of = |part: fn(Run) -> String| {
            all().into_iter().map(part).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((of(|run| run.id), of(|run| run.label)), (all().len(), all().len()));
        assert!(all().iter().all(|run| !run.label.contains('=')), "a label ends at `=`");
        assert_eq!(label("inversion-fc6-image").as_deref(), Some("FC6 image loss only"));
        assert_eq!(label("mahendran-vedaldi-FC6").as_deref(), Some("FC6 Mahendran & Vedaldi"));
        assert_eq!(label("inversion"), None);
        assert_eq!("FC7".parse::<Layer>().ok(), Some(Layer::Fc7));
        let error = "FC9".parse::<Layer>().expect_err("no layer").to_string();
        assert!(error.contains("CONV5, FC6, FC7, FC8, found FC9"), "{error}");
    }

    #[test]
    fn overrides_reach_the_recipes_that_have_their_terms() {
        let (se, alexnet) = (named("autoencoder-se"), named("autoencoder-alexnet-conv3"));
        assert!(alexnet.takes("feature.rho=1") && !se.takes("feature.rho=1"));
        assert!(!se.takes("adversarial.weight=10") && !se.takes("adversarial={}"));
        assert!(se.takes("adam.learning_rate=1e-3") && se.takes("features=1"));
        assert!(se.takes("generator.code_channels=4"));
        assert!(!named("vae-se").takes("generator.code_channels=4"));
        assert!(!alexnet.takes("inversion.seed=1") && !alexnet.takes("vae.latent=8"));
        assert!(named("inversion-fc6-plain").takes("inversion.seed=1"));
        assert!(!named("inversion-fc6-plain").takes("feature.rho=1"));
    }
}
