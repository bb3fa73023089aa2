//! Sizes that the networks of a recipe have to fit.

use deepsim_nets::ComparatorKind;

use super::Recipe;
use super::text::refuse;
use crate::RunError;

impl Recipe {
    /// Refuses taps that a network does not have, and crops that one of the networks cannot be computed for.
    ///
    /// # Errors
    /// Names the key.
    pub fn check_networks(&self) -> Result<(), RunError> {
        let crop = |error| RunError::recipe(format!("crop: {error}"));
        let encoder = self.inversion.as_ref().map(|i| ("inversion.tap", &i.encoder, &i.tap));
        let comparator = self.feature.as_ref().map(|f| ("feature.tap", &f.comparator, &f.tap));
        for (key, kind, tap) in encoder.into_iter().chain(comparator) {
            check_tap(key, kind, tap)?;
            kind.shape(tap, self.crop, self.crop).map_err(crop)?;
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
            &["crop=64", "adversarial.discriminator.stride=4"],
            &["crop=227", "inversion.encoder=caffenet", "inversion.tap=FC6"],
        ] {
            assert!(recipe(sets).is_ok(), "{sets:?}");
        }
    }
}
