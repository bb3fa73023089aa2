//! The checked plan: the recipe with every default filled in, the data and the comparator found,
//! and the feature weight settled. It is written beside the results before training starts.

use std::path::Path;

use candle_core::Device;
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
use deepsim_nets::{Comparator, Images, PixelFormat};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::recipe::{FeatureTerm, Recipe};
use crate::trainer::{Feature, calibrated_weight};

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The data set.
    pub data: DataPlan,
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
}

impl Plan {
    /// Settles a recipe: opens the comparator and calibrates its weight on the data.
    ///
    /// A run that goes on keeps the weight of its `earlier` plan, so that it stays what it was even
    /// under a version of this program that calibrates a little differently.
    ///
    /// # Errors
    /// If weights cannot be loaded or the data cannot be read.
    pub fn settle(
        recipe: &Recipe,
        dataset: &Dataset,
        weights: Option<&Path>,
        earlier: Option<&Self>,
        device: &Device,
    ) -> Result<(Self, Option<Feature>), TrainError> {
        let mut recipe = recipe.clone();
        let image_weight = recipe.image.weight;
        let (batch, crop, seed) = (recipe.batch, recipe.crop, recipe.seed);
        let mut feature = None;
        if let Some(term) = &mut recipe.feature {
            let taps = term.comparator.taps();
            if !taps.contains(&term.tap.as_str()) {
                return Err(TrainError::recipe(format!(
                    "feature.tap: {} has {}, got `{}`",
                    term.comparator.name(),
                    taps.join(", "),
                    term.tap
                )));
            }
            let comparator = open(term, weights, device)?;
            let calibrated = earlier.and_then(|plan| plan.recipe.feature.as_ref());
            let calibrated = calibrated.filter(|e| e.rho == term.rho).and_then(|e| e.weight);
            let weight = match (term.weight.or(calibrated), term.rho) {
                (Some(weight), _) => weight,
                (None, rho) => {
                    let images = calibration_batch(dataset, batch.max(16), crop, seed, device)?;
                    let rho = rho.unwrap_or_default();
                    calibrated_weight(&*comparator, &term.tap, rho, image_weight, &images)?
                }
            };
            term.weight = Some(weight);
            feature = Some(Feature { comparator, tap: term.tap.clone(), weight });
        }
        let plan = Self {
            data: DataPlan {
                name: dataset.name.clone(),
                synthetic: dataset.synthetic,
                images: dataset.unlabeled.len(),
            },
            comparator: feature.as_ref().map(|f: &Feature| f.comparator.origin().to_string()),
            recipe,
        };
        Ok((plan, feature))
    }

    /// The feature term of a plan that was settled before.
    ///
    /// # Errors
    /// If the comparator cannot be opened, or is not the one of the plan.
    pub fn reopen(
        &self,
        weights: Option<&Path>,
        device: &Device,
    ) -> Result<Option<Feature>, TrainError> {
        let Some(term) = &self.recipe.feature else { return Ok(None) };
        let comparator = open(term, weights, device)?;
        let origin = comparator.origin().to_string();
        if self.comparator.as_ref() != Some(&origin) {
            return Err(TrainError::recipe(format!(
                "comparator: wanted {}, got {origin}; is --weights the same as then?",
                self.comparator.as_deref().unwrap_or("none")
            )));
        }
        let weight = term.weight.unwrap_or_default();
        Ok(Some(Feature { comparator, tap: term.tap.clone(), weight }))
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

    /// True if a run of `other` may be continued under this plan: only its length and what it
    /// writes may differ.
    pub fn continues(&self, other: &Self) -> bool {
        let numbers = |plan: &Self| {
            let mut plan = plan.clone();
            plan.recipe.steps = 0;
            plan.recipe.output = Default::default();
            plan
        };
        numbers(self) == numbers(other)
    }
}

fn open(
    term: &FeatureTerm,
    weights: Option<&Path>,
    device: &Device,
) -> Result<Box<dyn Comparator>, TrainError> {
    let file = match (&term.weights, weights) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(folder)) => term.comparator.find_weights(folder),
        (None, None) => None,
    };
    Ok(term.comparator.open_to(&term.tap, file.as_deref(), term.seed, device)?)
}

/// How training batches are drawn.
pub(crate) fn loader(recipe: &Recipe, workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch: recipe.batch,
        crop: Crop::Random(recipe.crop),
        seed: recipe.seed,
        workers,
        ..LoaderConfig::default()
    }
}

fn calibration_batch(
    dataset: &Dataset,
    n: usize,
    crop: usize,
    seed: u64,
    device: &Device,
) -> Result<Images, TrainError> {
    let config = LoaderConfig {
        batch: n,
        crop: Crop::Center(crop),
        seed,
        prefetch: 1,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(dataset.unlabeled.clone(), config, Cursor::default())?;
    let batch = loader.next().ok_or_else(|| TrainError::recipe("the data set is empty"))??;
    images(&batch, device)
}

/// A batch as the images that networks take.
pub(crate) fn images(batch: &deepsim_data::Batch, device: &Device) -> Result<Images, TrainError> {
    let (n, height, width) = (batch.n, batch.height, batch.width);
    let format = PixelFormat::CAFFE_BGR;
    Ok(Images::from_u8(&batch.pixels, n, height, width, format, device)?)
}
