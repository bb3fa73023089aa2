//! The checked plan: the recipe with every default filled in, the data and the comparator found,
//! and the feature weight settled. It is written beside the results before training starts.

use std::path::Path;

use candle_core::Device;
use deepsim_data::Dataset;
use deepsim_nets::WeightsOrigin;
use deepsim_run::recipe::Recipe;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::data::{calibration_batch, check_images};
use crate::fixed::Fixed;
use crate::run::Event;

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The data set.
    pub data: DataPlan,
    /// Where the weights of the network that is inverted come from, or those that the encoder of a
    /// variational autoencoder begins with.
    pub encoder: Option<String>,
    /// Where the comparator's weights come from.
    pub comparator: Option<String>,
    /// The recipe; `feature.weight` is the calibrated weight where `feature.rho` was given.
    pub recipe: Recipe,
}

/// The data set of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPlan {
    /// Its name.
    pub name: String,
    /// Whether it is generated and not photographed.
    pub synthetic: bool,
    /// Training images.
    pub images: usize,
    /// Fingerprint of what is trained on ([`deepsim_data::Source::content`]): the same wherever the
    /// files are. `None` in checkpoints of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl DataPlan {
    /// Refuses to continue a run on `earlier` with other data. Data that were moved are the same.
    /// Where no fingerprint was kept, names and numbers decide, and a warning says so.
    ///
    /// # Errors
    /// With what was expected and what to do.
    pub(crate) fn check_continues(
        &self,
        earlier: &Self,
        out: &Path,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainError> {
        let differs = |expected: String, found: String| {
            Err(TrainError::Folder {
                path: out.into(),
                reason: format!(
                    "it holds a run on other data: expected {expected}, found {found}; name the data \
                     that it was begun with, or choose another folder"
                ),
            })
        };
        match (&earlier.content, &self.content) {
            (Some(expected), Some(found)) if expected != found => {
                differs(expected.clone(), found.clone())
            }
            (Some(_), Some(_)) => Ok(()),
            _ if (&earlier.name, earlier.images) != (&self.name, self.images) => {
                let say = |data: &Self| format!("{} images of {}", data.images, data.name);
                differs(say(earlier), say(self))
            }
            _ => {
                tell(Event::Warning(
                    "the checkpoint does not say which images it was trained on: only their name and \
                     number were compared",
                ));
                Ok(())
            }
        }
    }
}

impl Plan {
    /// Settles a recipe: opens the comparator and calibrates its weight on the data.
    ///
    /// A run that goes on keeps the weight of its `earlier` plan, so that it stays what it was even
    /// under a version of this program that calibrates a little differently.
    ///
    /// # Errors
    /// If a value of the recipe makes no sense, the images do not fit it, weights cannot be loaded or the data
    /// cannot be read.
    pub fn settle(
        recipe: &Recipe,
        dataset: &Dataset,
        weights: Option<&Path>,
        earlier: Option<&Self>,
        device: &Device,
    ) -> Result<(Self, Fixed), TrainError> {
        recipe.check_networks()?;
        check_images(recipe, dataset)?;
        let mut recipe = recipe.clone();
        let mut fixed = Fixed::open(&recipe, weights, device)?;
        let (batch, crop, seed) = (recipe.batch, recipe.crop, recipe.seed);
        if let (Some(term), Some(feature)) = (&mut recipe.feature, &mut fixed.feature) {
            let calibrated = earlier.and_then(|plan| plan.recipe.feature.as_ref());
            let calibrated = calibrated.filter(|e| e.rho == term.rho).and_then(|e| e.weight);
            feature.weight = match (term.weight.or(calibrated), term.rho) {
                (Some(weight), _) => weight,
                (None, rho) => {
                    let images = calibration_batch(dataset, batch.max(16), crop, seed, device)?;
                    feature.calibrated(rho.unwrap_or_default(), recipe.image.weight, &images)?
                }
            };
            term.weight = Some(feature.weight);
        }
        let plan = Self {
            data: DataPlan {
                name: dataset.name.clone(),
                synthetic: dataset.synthetic,
                images: dataset.unlabeled.len(),
                content: Some(dataset.unlabeled.content()),
            },
            encoder: encoder_origin(&recipe, &fixed),
            comparator: comparator_origin(&fixed),
            recipe,
        };
        Ok((plan, fixed))
    }

    /// The fixed networks of a plan that was settled before.
    ///
    /// # Errors
    /// If one cannot be opened, or is not that of the plan.
    pub fn reopen(&self, weights: Option<&Path>, device: &Device) -> Result<Fixed, TrainError> {
        let fixed = Fixed::open(&self.recipe, weights, device)?;
        for (what, wanted, got) in [
            ("encoder", &self.encoder, encoder_origin(&self.recipe, &fixed)),
            ("comparator", &self.comparator, comparator_origin(&fixed)),
        ] {
            if *wanted != got {
                let name = |origin: Option<String>| origin.unwrap_or_else(|| "none".into());
                return Err(TrainError::recipe(format!(
                    "{what}: wanted {}, got {}; is --weights the same as then?",
                    name(wanted.clone()),
                    name(got)
                )));
            }
        }
        Ok(fixed)
    }

    /// The plan as TOML.
    ///
    /// # Errors
    /// If a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|e| TrainError::recipe(format!("writing the plan: {e}")))
    }

    /// What is trained on what, in a few lines.
    pub fn heading(&self) -> Vec<String> {
        let recipe = &self.recipe;
        let mut lines = vec![format!(
            "{}: {} steps of {} images from {} ({} images)",
            recipe.name, recipe.steps, recipe.batch, self.data.name, self.data.images
        )];
        if let (Some(inversion), Some(origin)) = (&recipe.inversion, &self.encoder) {
            let (encoder, tap) = (inversion.encoder.name(), &inversion.tap);
            lines.push(format!("inverts {encoder} {tap}, {origin}"));
        }
        if let (Some(vae), Some(origin)) = (&recipe.vae, &self.encoder) {
            let (encoder, latent) = (vae.encoder.name(), vae.latent);
            let weight = vae.divergence.weight;
            lines.push(format!(
                "variational autoencoder, codes of {latent} numbers, weight of the divergence {weight}; \
                 the encoder is {encoder}, {origin}"
            ));
        }
        if let (Some(feature), Some(origin)) = (&recipe.feature, &self.comparator) {
            lines.push(format!(
                "comparator {} {}, {origin}, weight {:.4e}",
                feature.comparator.name(),
                feature.tap,
                feature.weight.unwrap_or_default()
            ));
        }
        lines
    }

    /// True if a run of `other` may be continued under this plan, on the same data: only its length
    /// and what it writes may differ.
    pub fn continues(&self, other: &Self) -> bool {
        let numbers = |plan: &Self| {
            let mut plan = plan.clone();
            plan.recipe.steps = 0;
            plan.recipe.output = Default::default();
            plan.data = self.data.clone();
            plan
        };
        numbers(self) == numbers(other)
    }
}

fn encoder_origin(recipe: &Recipe, fixed: &Fixed) -> Option<String> {
    if recipe.vae.is_some() {
        let origin = match &fixed.beginning {
            Some(file) => WeightsOrigin::File(file.clone()),
            None => WeightsOrigin::Random(recipe.seed),
        };
        return Some(format!("trained from {origin}"));
    }
    fixed.encoder.as_ref().map(|encoder| encoder.net.origin().to_string())
}

fn comparator_origin(fixed: &Fixed) -> Option<String> {
    fixed.feature.as_ref().map(|feature| feature.comparator.origin().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_the_same_by_their_content_or_else_by_name_and_number() {
        let data = |name: &str, images, content: Option<&str>| DataPlan {
            name: name.into(),
            synthetic: false,
            images,
            content: content.map(Into::into),
        };
        let check = |earlier: &DataPlan, now: &DataPlan| {
            let mut warnings = Vec::new();
            let mut tell = |event: Event<'_>| warnings.push(format!("{event:?}"));
            let checked = now.check_continues(earlier, Path::new("run"), &mut tell);
            (checked.map_err(|error| error.to_string()), warnings)
        };
        let now = data("here", 9, Some("nine cats"));
        assert_eq!(check(&data("there", 9, Some("nine cats")), &now), (Ok(()), Vec::new()));
        let error = check(&data("here", 9, Some("nine dogs")), &now).0.expect_err("others");
        assert!(error.contains("other data: expected nine dogs, found nine cats"), "{error}");
        // A checkpoint of a version that did not keep the content.
        let text = r#"{"name":"here","synthetic":false,"images":9}"#;
        let old: DataPlan = serde_json::from_str(text).expect("an old plan");
        assert_eq!(serde_json::to_string(&old).expect("text"), text);
        let (checked, warnings) = check(&old, &now);
        assert_eq!(checked, Ok(()));
        assert!(warnings[0].contains("does not say which images"), "{warnings:?}");
        for other in [data("there", 9, None), data("here", 8, None)] {
            let error = check(&other, &now).0.expect_err("others");
            assert!(error.contains("found 9 images of here; name the data"), "{error}");
        }
    }
}
