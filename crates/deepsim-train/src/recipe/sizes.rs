//! Sizes that the networks of a recipe and the images of a data set have to fit, before anything is computed or
//! written.

use deepsim_data::{DataError, Dataset, Source};
use deepsim_nets::ComparatorKind;

use super::Recipe;
use crate::TrainError;

impl Recipe {
    /// Refuses taps that a network does not have, and crops that one of the networks cannot be computed for.
    pub(crate) fn check_networks(&self) -> Result<(), TrainError> {
        let crop = |error| TrainError::recipe(format!("crop: {error}"));
        let encoder = self.inversion.as_ref().map(|i| ("inversion.tap", i.encoder, &i.tap));
        let comparator = self.feature.as_ref().map(|f| ("feature.tap", f.comparator, &f.tap));
        for (key, kind, tap) in encoder.into_iter().chain(comparator) {
            check_tap(key, kind, tap)?;
            kind.shape(tap, self.crop, self.crop).map_err(crop)?;
        }
        if let Some(term) = &self.adversarial {
            let sides = term.discriminator.sides();
            if !sides.contains(self.crop) {
                let found = self.crop;
                return Err(TrainError::recipe(format!(
                    "crop: discriminator: expected {sides}, found {found}"
                )));
            }
        }
        Ok(())
    }

    /// Refuses a data set without training or test images, or with smaller ones than the crop.
    pub(crate) fn check_images(&self, dataset: &Dataset) -> Result<(), TrainError> {
        check_source(&*dataset.unlabeled, "training", self.crop)?;
        check_source(&*dataset.test.images, "test", self.crop)
    }
}

/// Refuses a source of images without any, or with smaller ones than the crop.
pub(crate) fn check_source(images: &dyn Source, what: &str, crop: usize) -> Result<(), TrainError> {
    let (height, width) = (images.height(), images.width());
    if images.is_empty() {
        let (wanted, got) = (format!("{what} images"), "0 images".into());
        return Err(DataError::Argument { operation: "data", wanted, got }.into());
    }
    if crop > height.min(width) {
        return Err(TrainError::recipe(format!(
            "crop: expected at most {}, the least side of the {what} images, which are {height}x{width}; \
             found {crop}",
            height.min(width)
        )));
    }
    Ok(())
}

fn check_tap(key: &str, kind: ComparatorKind, tap: &str) -> Result<(), TrainError> {
    let taps = kind.taps();
    if taps.contains(&tap) {
        return Ok(());
    }
    let (name, taps) = (kind.name(), taps.join(", "));
    Err(TrainError::recipe(format!("{key}: {name} has {taps}, got `{tap}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_data::SceneSizes;

    fn recipe(sets: &[&str]) -> Result<Recipe, TrainError> {
        let base = r#"
            name = "test"
            steps = 10
            batch = 4
            crop = 64
            image = { distance = "squared-error", weight = 1.0 }
        "#;
        Recipe::parse(base, &sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_crop_fits_every_network_of_the_recipe() {
        let cases: [(&[&str], &str); 6] = [
            (
                &["crop=32", "adversarial.weight=1"],
                "crop: discriminator: expected sides of at least 35",
            ),
            (
                &["crop=56", "adversarial.discriminator.stride=4"],
                "crop: discriminator: expected sides of at least 63 pixels, found 56",
            ),
            (
                &["crop=24", "feature.comparator=alexnet", "feature.tap=CONV5", "feature.rho=1"],
                "crop: alexnet CONV5: expected sides of at least 39 pixels, found 24",
            ),
            (
                &["feature.comparator=alexnet", "feature.tap=FC6", "feature.rho=1"],
                "crop: alexnet FC6: expected sides of 199 to 230 pixels, found 64",
            ),
            (
                &["crop=32", "inversion.encoder=caffenet", "inversion.tap=CONV5"],
                "crop: caffenet CONV5: expected sides of at least 39 pixels, found 32",
            ),
            (&["feature.comparator=alexnet", "feature.tap=CONV9", "feature.rho=1"], "got `CONV9`"),
        ];
        for (sets, words) in cases {
            let message = recipe(sets).expect_err(words).to_string();
            assert!(message.contains(words), "{sets:?}: {message}");
        }
        for sets in [
            &["crop=40", "adversarial.weight=1"][..],
            &["crop=64", "adversarial.discriminator.stride=4"],
            &["crop=227", "inversion.encoder=caffenet", "inversion.tap=FC6"],
        ] {
            assert!(recipe(sets).is_ok(), "{sets:?}");
        }
    }

    #[test]
    fn a_data_set_has_images_as_large_as_the_crop() -> Result<(), TrainError> {
        let scenes =
            |unlabeled, test| Dataset::scenes(0, SceneSizes { unlabeled, train: 10, test });
        recipe(&["crop=96"])?.check_images(&scenes(1, 1))?;
        for (crop, dataset, words) in [
            ("crop=104", scenes(1, 1), "crop: expected at most 96, the least side of the training"),
            ("crop=96", scenes(0, 1), "data: wanted training images, got 0 images"),
            ("crop=96", scenes(1, 0), "data: wanted test images, got 0 images"),
        ] {
            let message = recipe(&[crop])?.check_images(&dataset).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        Ok(())
    }
}
