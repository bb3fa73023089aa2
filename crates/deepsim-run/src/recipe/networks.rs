//! Sizes that the networks of a recipe have to fit.

use deepsim_nets::ComparatorKind;

use super::text::refuse;
use super::{FeatureTerm, Inversion, Recipe};
use crate::RunError;

impl Recipe {
    /// Refuses taps that a network does not have, and crops that one of the networks cannot be computed for.
    ///
    /// # Errors
    /// Names the key.
    pub fn check_networks(&self) -> Result<(), RunError> {
        let crop = |error| RunError::recipe(format!("crop: {error}"));
        if let Some(inversion) = &self.inversion {
            let Inversion { encoder, tap, .. } = inversion;
            check_tap("inversion.tap", encoder, tap)?;
            let features = encoder.shape(tap, self.crop, self.crop).map_err(crop)?;
            let config = inversion.config(&features, self.crop, &[]);
            config.cost().map_err(|error| RunError::recipe(format!("inversion: {error}")))?;
        }
        if let Some(FeatureTerm { comparator, tap, places, .. }) = &self.feature {
            check_tap("feature.tap", comparator, tap)?;
            comparator.shape(tap, self.crop, self.crop).map_err(crop)?;
            if !(1..self.crop).contains(places) {
                let most = self.crop - 1;
                return refuse(format!("feature.places: expected 1 to {most}, found {places}"));
            }
            let part = self.crop - (places - 1);
            comparator
                .shape(tap, part, part)
                .map_err(|error| RunError::recipe(format!("feature.places: {error}")))?;
        }
        if let Some(term) = &self.adversarial {
            let sides = term.discriminator.sides();
            if !sides.contains(self.crop) {
                let found = self.crop;
                return refuse(format!("crop: discriminator: expected {sides}, found {found}"));
            }
        }
        Ok(())
    }
}

fn check_tap(key: &str, kind: &ComparatorKind, tap: &str) -> Result<(), RunError> {
    let taps = kind.taps();
    if taps.contains(&tap) {
        return Ok(());
    }
    let (name, taps) = (kind.name(), taps.join(", "));
    refuse(format!("{key}: expected one of {name}'s taps {taps}; found `{tap}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::BASE;

    fn recipe(sets: &[&str]) -> Result<Recipe, RunError> {
        Recipe::parse(BASE, &sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_crop_fits_every_network_of_the_recipe() {
        let feature = ["feature.comparator=alexnet", "feature.tap=CONV5", "feature.rho=1"];
        let with = |places| [feature[0], feature[1], feature[2], places];
        let (no, more, most) =
            (with("feature.places=0"), with("feature.places=27"), with("feature.places=64"));
        let cases: [(&[&str], &str); 9] = [
            (&no, "feature.places: expected 1 to 63, found 0"),
            (
                &more,
                "feature.places: alexnet CONV5: expected sides of at least 39 pixels, found 38",
            ),
            (&most, "feature.places: expected 1 to 63, found 64"),
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
            (
                &["feature.comparator=alexnet", "feature.tap=CONV9", "feature.rho=1"],
                "found `CONV9`",
            ),
        ];
        for (sets, words) in cases {
            let message = recipe(sets).expect_err(words).to_string();
            assert!(message.contains(words), "{sets:?}: {message}");
        }
        for sets in [
            &["crop=40", "adversarial.weight=1"][..],
            &with("feature.places=26"),
            &["crop=64", "adversarial.discriminator.stride=4"],
            &["crop=227", "inversion.encoder=caffenet", "inversion.tap=FC6"],
        ] {
            assert!(recipe(sets).is_ok(), "{sets:?}");
        }
    }
}
