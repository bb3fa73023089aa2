//! One number that was measured, or the reason why there is none.

use deepsim_nets::{Comparator, ComparatorKind};
use serde::{Deserialize, Deserializer, Serialize};

use crate::comparators::is_random;
use crate::metrics::euclidean::{PairDistance, normalised_error};
use crate::metrics::statistics::mean_and_spread;

/// One number that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the quantity, e.g. `image space`; unique among the measures that a target of the report shows, which
    /// looks rows up by how their names begin.
    pub name: String,
    /// The number; `None` (`null` in files) if it is not defined, and the note begins with the reason.
    #[serde(deserialize_with = "nullable")]
    pub value: Option<f64>,
    /// Unit, e.g. `%`.
    pub unit: String,
    /// Population standard deviation, where the number is a mean.
    #[serde(default)]
    pub spread: Option<f64>,
    /// Number of independent samples that the mean is over, where that is known; folds that share
    /// images are not independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// True in the feature space of a trained network that no generator is trained with, which can
    /// therefore judge them all; `None` outside of feature spaces, and in files of versions that did
    /// not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub independent: Option<bool>,
    /// The values that it is the mean of, in the order of the samples, so that two runs can be compared sample by
    /// sample; empty where they are not kept: more than 1,000, or some not finite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<f64>,
    /// Note for people on how it was computed.
    #[serde(default)]
    pub note: String,
}

/// Values that are kept at most; means over more are sure enough without.
const KEPT: usize = 1_000;

/// A key that must be there but may be `null`.
fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

impl Row {
    /// A row with a value; one that is not finite is left out and the note says so.
    pub fn new(name: impl Into<String>, value: f64, unit: &str, note: impl Into<String>) -> Self {
        if !value.is_finite() {
            return Self::undefined(name, unit, &format!("value {value}"), note);
        }
        let (name, unit, note) = (name.into(), unit.into(), note.into());
        Self {
            name,
            value: Some(value),
            unit,
            spread: None,
            samples: None,
            independent: None,
            each: Vec::new(),
            note,
        }
    }

    /// A row without a value, for a `reason` that its note begins with.
    pub fn undefined(
        name: impl Into<String>,
        unit: &str,
        reason: &str,
        note: impl Into<String>,
    ) -> Self {
        let note = match note.into() {
            note if note.is_empty() => reason.to_owned(),
            note => format!("{reason}; {note}"),
        };
        let (name, unit) = (name.into(), unit.into());
        let (spread, samples, independent, each) = (None, None, None, Vec::new());
        Self { name, value: None, unit, spread, samples, independent, each, note }
    }

    /// Mean and spread of one value per sample. Values that are not finite are left out, and the note
    /// says how many; without a finite value the row is undefined.
    ///
    /// ```
    /// use deepsim_eval::measure::Row;
    /// let row = Row::mean("error", &[2.0, f64::NAN, 4.0], "%", "spread over images");
    /// assert_eq!((row.value, row.spread, row.samples), (Some(3.0), Some(1.0), Some(2)));
    /// assert_eq!(row.note, "1 of 3 left out, not finite; spread over images");
    /// ```
    pub fn mean(
        name: impl Into<String>,
        values: &[f64],
        unit: &str,
        note: impl Into<String>,
    ) -> Self {
        Self::over_finite(name, values, unit, note, mean_and_spread)
    }

    /// Normalised Euclidean error: [`normalised_error`] of the distances that are finite, as in
    /// [`Row::mean`]. Undefined if all samples of the normaliser are equal.
    pub fn normalised(
        name: impl Into<String>,
        distances: &[f64],
        pairs: &PairDistance,
        note: impl Into<String>,
    ) -> Self {
        if pairs.mean == 0.0 {
            let reason = format!("N is 0, because all {} samples are equal", pairs.samples);
            return Self::undefined(name, "%", &reason, note);
        }
        Self::over_finite(name, distances, "%", note, |finite| normalised_error(finite, pairs))
    }

    /// A number in percent of that of what it is compared with; undefined if that has none. It has no spread and no
    /// values of single images, so that claims on it are judged without chance.
    pub fn share(name: impl Into<String>, value: f64, of: f64, note: impl Into<String>) -> Self {
        match of > 0.0 {
            true => Self::new(name, 100.0 * value / of, "%", note),
            false => Self::undefined(name, "%", "the reference has none", note),
        }
    }

    fn over_finite(
        name: impl Into<String>,
        values: &[f64],
        unit: &str,
        note: impl Into<String>,
        summary: impl Fn(&[f64]) -> (f64, f64),
    ) -> Self {
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let (all, left) = (values.len(), finite.len());
        if left == 0 {
            let reason = format!("none of {all} values is finite");
            return Self::undefined(name, unit, &reason, note);
        }
        let note = left_out(all, left) + &note.into();
        let (mean, spread) = summary(&finite);
        let kept = left == all && left <= KEPT;
        let each = finite.iter().filter(|_| kept).map(|value| summary(&[*value]).0).collect();
        Self { each, ..Self::new(name, mean, unit, note).with_spread(spread).over(left) }
    }

    /// The same row with a spread.
    #[must_use]
    pub fn with_spread(self, spread: f64) -> Self {
        Self { spread: Some(spread).filter(|spread| spread.is_finite()), ..self }
    }

    /// The same row as a number of the feature space of `net`.
    pub(crate) fn in_space_of(self, net: &dyn Comparator) -> Self {
        let judges = [ComparatorKind::squeezenet(), ComparatorKind::efficientnet_lite0()];
        let judge = judges.iter().any(|judge| judge.name() == net.name());
        Self { independent: Some(judge && !is_random(net)), ..self }
    }

    /// Returns true in the feature space of a trained network that no generator is trained with; files
    /// of versions that did not say it are judged by the row's name.
    pub fn is_independent(&self) -> bool {
        let by_name = || self.name.contains("squeezenet") && !self.name.contains("random");
        self.independent.unwrap_or_else(by_name)
    }

    /// The same row as the mean of so many independent samples.
    #[must_use]
    pub fn over(self, samples: usize) -> Self {
        Self { samples: Some(samples), ..self }
    }
}

/// Beginning of a note: how many of `all` images are not among those `kept`.
pub(super) fn left_out(all: usize, kept: usize) -> String {
    match all - kept {
        0 => String::new(),
        out => format!("{out} of {all} left out, not finite; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use deepsim_nets::{Images, NetError, PixelFormat, WeightsOrigin};

    #[test]
    fn a_value_that_is_not_finite_is_null_and_explained() -> Result<(), serde_json::Error> {
        let row = Row::new("a", f64::NAN, "%", "why").with_spread(f64::INFINITY);
        let text = serde_json::to_string(&row)?;
        assert_eq!(
            text,
            r#"{"name":"a","value":null,"unit":"%","spread":null,"note":"value NaN; why"}"#
        );
        assert_eq!(serde_json::from_str::<Row>(&text)?, row);
        // A row without a value is a broken file, not a missing number.
        assert!(serde_json::from_str::<Row>(r#"{"name":"a","unit":"%"}"#).is_err());
        Ok(())
    }

    struct Net(ComparatorKind, WeightsOrigin);

    impl Comparator for Net {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn format(&self) -> PixelFormat {
            PixelFormat::CAFFE_BGR
        }

        fn taps(&self) -> Vec<String> {
            Vec::new()
        }

        fn origin(&self) -> &WeightsOrigin {
            &self.1
        }

        fn features_at(&self, _: &Images, _: &[&str]) -> Result<Vec<Tensor>, NetError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn only_a_trained_network_that_no_generator_is_trained_with_is_independent() {
        let file = || WeightsOrigin::File("weights".into());
        for (kind, origin, independent) in [
            (ComparatorKind::squeezenet(), file(), true),
            (ComparatorKind::efficientnet_lite0(), file(), true),
            (ComparatorKind::squeezenet(), WeightsOrigin::Random(0), false),
            (ComparatorKind::alexnet(), file(), false),
        ] {
            let row = Row::new("a", 1.0, "%", "").in_space_of(&Net(kind.clone(), origin));
            assert_eq!(row.independent, Some(independent), "{kind:?}");
        }
    }

    #[test]
    fn a_row_says_whether_its_network_is_independent_and_old_ones_are_known_by_their_name()
    -> Result<(), serde_json::Error> {
        let file =
            |name: &str, more: &str| format!(r#"{{"name":"{name}","value":1,"unit":"%"{more}}}"#);
        for (name, more, independent) in [
            ("judge FIRE9 feature space", r#","independent":true"#, true),
            ("squeezenet FIRE9 feature space", r#","independent":false"#, false),
            ("squeezenet FIRE9 feature space", "", true),
            ("squeezenet FIRE9 feature space, random weights", "", false),
            ("image space", "", false),
        ] {
            let row: Row = serde_json::from_str(&file(name, more))?;
            assert_eq!(row.is_independent(), independent, "{name}{more}");
        }
        assert!(serde_json::from_str::<Row>(&file("a", r#","independent":"yes""#)).is_err());
        Ok(())
    }

    #[test]
    fn a_mean_is_over_the_finite_values_and_says_how_many_are_left_out() {
        let pairs = PairDistance { mean: 4.0, samples: 3, pairs: 3, all: true };
        let row = Row::normalised("a", &[1.0, f64::INFINITY, 3.0, f64::NAN], &pairs, "why");
        assert_eq!((row.value, row.spread, row.samples), (Some(50.0), Some(25.0), Some(2)));
        assert_eq!(row.note, "2 of 4 left out, not finite; why");
        let all = Row::mean("a", &[1.0, 3.0], "", "why");
        assert_eq!((all.value, all.samples, &*all.note), (Some(2.0), Some(2), "why"));
    }

    #[test]
    fn a_mean_of_nothing_and_a_normaliser_of_zero_are_undefined_with_a_reason() {
        let row = Row::mean("a", &[f64::NAN; 2], "%", "");
        assert_eq!((row.value, &*row.note), (None, "none of 2 values is finite"));
        let equal = PairDistance { mean: 0.0, samples: 3, pairs: 3, all: true };
        for distances in [[0.0; 3], [1.0; 3]] {
            let row = Row::normalised("a", &distances, &equal, "why");
            assert_eq!(row.value, None);
            assert_eq!(row.note, "N is 0, because all 3 samples are equal; why");
        }
    }
}
