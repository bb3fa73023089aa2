//! Identity of a run: which row of a table, and which column, its measurements belong to.

use std::path::Path;

use deepsim_loss::Distance;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::files::IDENTITY;
use crate::plan::AnyPlan;
use crate::read::read_json;
use crate::recipe::{ComparatorRecipe, Inversion, Recipe};

/// Identity of a run, kept in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Name of the run, unique among those that are compared.
    pub id: String,
    /// Training method.
    pub method: Method,
    /// Inverted layer; none for an autoencoder or a comparator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

/// Training method of a generator, or its substitute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Squared error alone, of an autoencoder.
    SquaredError,
    /// Absolute error alone.
    AbsoluteError,
    /// Image, feature and adversarial terms; in an inversion with the encoder as comparator.
    #[serde(rename = "deepsim")]
    DeePSiM,
    /// The same loss for an inversion with a comparator that is not the encoder.
    OtherComparator,
    /// The whole loss, with noise beside the features.
    Noise,
    /// The whole loss without the image term.
    NoImage,
    /// The whole loss without the feature term.
    NoFeature,
    /// The whole loss without the adversarial term.
    NoAdversarial,
    /// Squared error alone, of an inversion.
    ImageOnly,
    /// The adversarial term alone.
    AdversarialOnly,
    /// Squared error alone, with the network of Dosovitskiy & Brox (2015).
    Plain,
    /// Several images of the same features, with the energy score as image term.
    EnergyScore,
    /// Optimisation baseline of Mahendran & Vedaldi, without a generator.
    Optimised,
    /// Generator released by the authors.
    Released,
    /// Generator released by the authors that was trained with the squared error alone.
    ReleasedImageOnly,
    /// Autoencoder that comes with the project, trained before.
    Shipped,
    /// Anything else, e.g. the training of a comparator.
    Other,
}

impl Method {
    /// Returns the method of a recipe: which of the terms it has, with a weight above 0, and what it inverts.
    pub fn of(recipe: &Recipe) -> Self {
        let image = recipe.image.weight > 0.0;
        let feature = recipe.feature.as_ref().filter(|term| term.weight != Some(0.0));
        let adversarial = recipe.adversarial.is_some_and(|term| term.weight > 0.0);
        let inversion = recipe.inversion.as_ref();
        if recipe.image.distance == Distance::EnergyScore {
            return Self::EnergyScore;
        }
        if inversion.is_some_and(Inversion::takes_noise) {
            return Self::Noise;
        }
        match (image, feature, adversarial) {
            (true, Some(feature), true) => match inversion {
                Some(inversion) if inversion.encoder != feature.comparator => Self::OtherComparator,
                _ => Self::DeePSiM,
            },
            (false, Some(_), true) => Self::NoImage,
            (true, None, true) => Self::NoFeature,
            (true, Some(_), false) => Self::NoAdversarial,
            (false, None, true) => Self::AdversarialOnly,
            (true, None, false) => match (inversion, recipe.image.distance) {
                (Some(inversion), _) if inversion.plain => Self::Plain,
                (_, Distance::AbsoluteError) => Self::AbsoluteError,
                (Some(_), _) => Self::ImageOnly,
                (None, _) => Self::SquaredError,
            },
            (false, _, false) => Self::Other,
        }
    }
}

impl Identity {
    /// Returns the identity of a run that trains a generator.
    ///
    /// ```
    /// use deepsim_run::recipe::Recipe;
    /// use deepsim_run::{Identity, Method, recipes};
    ///
    /// # fn main() -> Result<(), deepsim_run::RunError> {
    /// let recipe = Recipe::parse(recipes::text("inversion-fc6").expect("built in"), &[])?;
    /// let identity = Identity::of(&recipe);
    /// assert_eq!((identity.id.as_str(), identity.method), ("inversion-fc6", Method::DeePSiM));
    /// assert_eq!(identity.layer.as_deref(), Some("FC6"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(recipe: &Recipe) -> Self {
        let layer = recipe.inversion.as_ref().map(|inversion| inversion.tap.clone());
        Self { id: recipe.name.clone(), method: Method::of(recipe), layer }
    }

    /// Returns the identity of a run that trains a comparator.
    pub fn of_comparator(recipe: &ComparatorRecipe) -> Self {
        Self { id: recipe.name.clone(), method: Method::Other, layer: None }
    }

    /// Returns the identity that follows from a plan, for a run whose folder holds none.
    pub fn of_plan(plan: &AnyPlan) -> Self {
        match plan {
            AnyPlan::Generator(plan) => Self::of(&plan.recipe),
            AnyPlan::Comparator(plan) => Self::of_comparator(&plan.recipe),
        }
    }

    /// Reads the identity in a run folder; None if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn read(run: &Path) -> Result<Option<Self>, RunError> {
        read_json(&run.join(IDENTITY), "id, method and layer of a run")
    }

    /// Returns the text of the file in a run folder.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes;

    fn method(name: &str, sets: &[&str]) -> Method {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let recipe = Recipe::parse(recipes::text(name).expect("built in"), &sets);
        Method::of(&recipe.expect("a recipe"))
    }

    #[test]
    fn the_methods_of_the_papers_rows_are_told_apart() {
        use Method::*;
        for (name, expected) in [
            ("autoencoder-se", SquaredError),
            ("autoencoder-l1", AbsoluteError),
            ("autoencoder-alexnet-conv3", DeePSiM),
            ("autoencoder-exemplar-cnn-conv3", DeePSiM),
            ("vae-se", SquaredError),
            ("vae-videonet-conv5", DeePSiM),
            ("inversion-fc6", DeePSiM),
            ("inversion-conv5", DeePSiM),
            ("inversion-fc6-image", ImageOnly),
            ("inversion-fc6-l1", AbsoluteError),
            ("inversion-fc6-plain", Plain),
        ] {
            assert_eq!(method(name, &[]), expected, "{name}");
        }
        for (sets, expected) in [
            (&["image.weight=0"][..], NoImage),
            (&["feature="], NoFeature),
            (&["feature.weight=0"], NoFeature),
            (&["adversarial="], NoAdversarial),
            (&["adversarial.weight=0"], NoAdversarial),
            (&["feature=", "adversarial="], ImageOnly),
            (&["feature=", "image.weight=0"], AdversarialOnly),
            (&["adversarial=", "image.weight=0"], Other),
            (&["feature.comparator=videonet"], OtherComparator),
            (&["inversion.noise=64"], Noise),
            (&["inversion.noise=64", "draws=2", "image.distance=energy-score"], EnergyScore),
            (&["feature=", "adversarial=", "inversion.plain=true"], Plain),
        ] {
            assert_eq!(method("inversion-fc6", sets), expected, "{sets:?}");
        }
    }

    #[test]
    fn an_identity_is_read_as_it_was_written_and_methods_have_stable_names() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Identity::read(folder.path()).expect("none is no error"), None);
        let (id, layer) = ("inversion-fc6-image".to_owned(), Some("FC6".to_owned()));
        let identity = Identity { id, method: Method::ImageOnly, layer };
        let text = identity.to_json();
        std::fs::write(folder.path().join(IDENTITY), &text).expect("written");
        assert!(text.contains("\"method\": \"image-only\""), "{text}");
        assert_eq!(Identity::read(folder.path()).expect("an identity"), Some(identity));
        assert_eq!(serde_json::json!(Method::DeePSiM), "deepsim");
        std::fs::write(folder.path().join(IDENTITY), "{\"id\": \"x\"}").expect("written");
        let error = Identity::read(folder.path()).expect_err("no method").to_string();
        assert!(error.contains("expected id, method and layer of a run, found missing"), "{error}");
    }
}
