//! The autoencoder's training step: the trainer itself with the recipe for AlexNet.

use std::path::Path;

use candle_core::Device;
use deepsim_nets::{ComparatorKind, Images};
use deepsim_train::fixed::{Feature, Fixed};
use deepsim_train::recipe::Recipe;
use deepsim_train::trainer::Trainer;

use crate::serve::Result;
use crate::{Training, comparator};

const RECIPE: &str = include_str!("../../recipes/autoencoder-alexnet-conv3.toml");
/// Instead of a calibrated weight, so that the other side can use the same.
const FEATURE_WEIGHT: f64 = 5e-4;

pub(crate) struct Autoencoding {
    trainer: Trainer,
    images: Images,
}

impl Training for Autoencoding {
    fn new(folder: &Path, batch: usize, check: bool) -> Result<Self> {
        // Both networks are trained in every step, so that all steps cost the same.
        let mut sets = vec!["adversarial.balance=off".to_owned(), format!("batch={batch}")];
        if check {
            sets.push("adversarial.discriminator.dropout=0".to_owned());
        }
        let recipe = Recipe::parse(RECIPE, &sets)?;
        let feature = Feature {
            comparator: comparator::open(ComparatorKind::AlexNet, folder, check)?.into(),
            tap: "CONV3".to_owned(),
            weight: FEATURE_WEIGHT,
        };
        let trainer =
            Trainer::new(&recipe, Fixed { encoder: None, feature: Some(feature) }, &Device::Cpu)?;
        Ok(Self { trainer, images: comparator::images(batch, recipe.crop, folder, check)? })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let generator = self.trainer.generator();
        generator.params().save(&folder.join("generator.safetensors"), &generator.spec())?;
        let adversary = self.trainer.adversary().ok_or("the recipe has no discriminator")?;
        let path = folder.join("discriminator.safetensors");
        Ok(adversary.net.params().save(&path, "{}")?)
    }

    fn counts(&self) -> [usize; 2] {
        let discriminator = self.trainer.adversary().map_or(0, |a| a.net.params().count());
        [self.trainer.generator().params().count(), discriminator]
    }

    fn step(&mut self) -> Result<[f64; 5]> {
        let report = self.trainer.step(&self.images)?;
        let adversary = report.adversary.ok_or("the recipe has no discriminator")?;
        let term = |name: &str| report.terms.iter().find(|t| t.name == name).map(|t| t.value);
        let [Some(adversarial), Some(feature), Some(image)] =
            ["adversarial", "feature", "image"].map(term)
        else {
            return Err("a term is missing".into());
        };
        Ok([adversary.real, adversary.generated, adversarial, feature, image])
    }
}
