//! Claims of the catalogue, and whether our numbers show them.
//!
//! Directions can be compared where numbers cannot: with other photographs or fewer steps.

use deepsim_eval::measure;
use serde::Serialize;

use super::run::Run;
use crate::catalogue::{Claim as Expected, Quantity, Source, Target, Than};

/// An effect that should be there, and whether our numbers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) run: String,
    pub(super) claim: String,
    pub(super) source: Source,
    /// `None` where a number is missing or the difference is within chance.
    pub(super) holds: Option<bool>,
    pub(super) detail: String,
    #[serde(skip)]
    pub(super) quantity: Quantity,
}

impl Claim {
    /// Takes another effect that must be there too: the whole holds where every part does, and fails where one does.
    fn join(&mut self, part: &Self) {
        let failed = match part.holds {
            Some(true) => "",
            Some(false) => "FAILS: ",
            None => "undecided: ",
        };
        self.holds = match (self.holds, part.holds) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        self.detail += &format!("; {failed}{}, {}", part.claim, part.detail);
    }

    /// In a few words, for a table.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.holds, self.source) {
            (Some(true), Source::Paper) => "direction as in the paper",
            (Some(true), Source::Recalled) => "direction as recalled",
            (Some(false), Source::Recalled) => "direction NOT as recalled",
            (Some(true), Source::Argument) => "direction as expected",
            (Some(false), Source::Paper) => "direction NOT as in the paper",
            (Some(false), Source::Argument) => "direction NOT as expected",
            (None, _) => "direction undecided",
        }
    }
}

/// Steps below which no direction means anything.
const TELLING: u64 = 30;

/// The effects that a target shows on its runs.
pub(super) fn of(target: &Target, runs: &[&Run]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for expected in target.claims {
        for (index, run) in runs.iter().enumerate() {
            if expected.of.contains(&run.method) {
                claims.extend(judge(expected, run, runs, index));
            }
        }
    }
    claims
}

/// Judges a claim about a run with all that must hold beside it; nothing where there is no run to compare it with.
fn judge(expected: &Expected, run: &Run, runs: &[&Run], index: usize) -> Vec<Claim> {
    let mut claims = alone(expected, run, runs, index);
    for claim in claims.iter_mut().filter(|_| !expected.and.is_empty()) {
        for part in expected.and.iter().flat_map(|part| alone(part, run, runs, index)) {
            claim.join(&part);
        }
    }
    claims
}

/// Judges one effect.
fn alone(expected: &Expected, run: &Run, runs: &[&Run], index: usize) -> Vec<Claim> {
    let same_layer = |other: &&&Run| other.layer == run.layer;
    let other = match expected.than {
        Than::Method(method) => runs.iter().filter(same_layer).find(|other| other.method == method),
        Than::LayerBelow => runs[..index].iter().rev().find(|other| other.method == run.method),
        Than::Value(most) => return vec![value(expected, run, most)],
    };
    let Some(other) = other else { return Vec::new() };
    let names: Vec<&str> = match expected.quantity {
        Quantity::Independent(_) => other
            .rows(expected.measure, expected.quantity)
            .iter()
            .map(|row| row.name.as_str())
            .collect(),
        quantity => vec![quantity.name()],
    };
    let judged = names.into_iter().map(|name| {
        let find = |run: &Run| -> Option<measure::Row> {
            let rows = run.rows(expected.measure, expected.quantity);
            let independent = matches!(expected.quantity, Quantity::Independent(_));
            rows.into_iter().find(|row| !independent || row.name == name).cloned()
        };
        let (holds, mut detail) = match (find(run), find(other)) {
            (Some(ours), Some(theirs)) => compared(&ours, &theirs, &other.label, expected.larger),
            _ => (None, None),
        };
        let trained = [run, other].into_iter().filter(|run| run.trained());
        // The length of a run without a log is unknown.
        let few = trained.filter_map(Run::steps).any(|steps| steps < TELLING);
        if let Some(detail) = detail.as_mut().filter(|_| few && holds.is_some()) {
            *detail += " (too few steps to tell)";
        }
        Claim {
            run: run.label.clone(),
            claim: sentence(expected, run, &other.label, name),
            source: expected.source,
            holds: holds.filter(|_| !few),
            detail: detail.unwrap_or_else(|| format!("missing: {}, {name}", expected.measure)),
            quantity: expected.quantity,
        }
    });
    judged.collect()
}

/// Judges a claim about a number by itself.
fn value(expected: &Expected, run: &Run, than: f64) -> Claim {
    let found = run.row(expected.measure, expected.quantity);
    let value = found.and_then(|row| row.value);
    let unit = found.map_or("", |row| &row.unit);
    let enough = run.steps() >= Some(TELLING);
    Claim {
        run: run.label.clone(),
        claim: sentence(expected, run, "", expected.quantity.name()),
        source: expected.source,
        holds: value.filter(|_| enough).map(|value| (value > than) == expected.larger),
        detail: match value {
            Some(value) => format!("{value:.1} {unit}, where {than:.1} is the limit"),
            None => format!("missing: {}, {}", expected.measure, expected.quantity.name()),
        },
        quantity: expected.quantity,
    }
}

fn sentence(expected: &Expected, run: &Run, other: &str, quantity: &str) -> String {
    let text = expected.text.replace("{run}", &run.label).replace("{other}", other);
    text.replace("{quantity}", quantity)
}

/// Compares two numbers; returns the verdict, and the numbers in words.
fn compared(
    ours: &measure::Row,
    theirs: &measure::Row,
    other: &str,
    larger: bool,
) -> (Option<bool>, Option<String>) {
    let (Some(a), Some(b)) = (ours.value, theirs.value) else { return (None, None) };
    let unit = if ours.unit == "%" { String::new() } else { format!(" {}", ours.unit) };
    let detail = format!("{a:.1} against {b:.1}{unit} of {other}");
    let chance = paired(ours, theirs).unwrap_or_else(|| uncertainty(ours).max(uncertainty(theirs)));
    if (a - b).abs() <= chance {
        return (None, Some(format!("{detail}, within chance (± {chance:.1})")));
    }
    (Some((a > b) == larger), Some(detail))
}

/// Twice the standard error of the mean difference of two runs on the same samples, where the values of each are known.
fn paired(ours: &measure::Row, theirs: &measure::Row) -> Option<f64> {
    let n = ours.each.len();
    if n < 2 || n != theirs.each.len() {
        return None;
    }
    let differences: Vec<f64> = ours.each.iter().zip(&theirs.each).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / n as f64;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    Some(2.0 * (variance / n as f64).sqrt())
}

/// Estimate of how far a mean may be off: twice its standard error where it is over independent samples, its whole
/// spread over folds, which share images, nothing where no spread is known.
fn uncertainty(row: &measure::Row) -> f64 {
    match (row.spread, row.samples) {
        (Some(spread), Some(n)) => 2.0 * spread / (n.max(1) as f64).sqrt(),
        (Some(spread), None) if row.name == crate::catalogue::CODE => spread,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CODE;
    use deepsim_eval::measure::error::IMAGE_SPACE;
    use deepsim_eval::measure::sharpness::HIGH_FREQUENCIES;

    #[test]
    fn two_runs_on_the_same_images_are_compared_image_by_image() {
        let row = |values: &[f64]| measure::Row::mean(IMAGE_SPACE, values, "%", "");
        // Images differ more than the runs do.
        let (a, b) = (row(&[10.0, 20.0, 30.0, 41.0]), row(&[11.0, 21.0, 31.0, 42.0]));
        assert!(uncertainty(&a) > 10.0);
        assert_eq!(paired(&a, &b), Some(0.0));
        assert_eq!(compared(&a, &b, "SE", false).0, Some(true));
        assert_eq!(compared(&a, &b, "SE", true).0, Some(false));
        // Differences 0, 2, 0, 2: their standard error is 1/sqrt(3).
        let c = row(&[10.0, 22.0, 30.0, 43.0]);
        let chance = paired(&c, &a).expect("both have values");
        assert!((chance - 2.0 / 3f64.sqrt()).abs() < 1e-9, "{chance}");
        assert_eq!(compared(&c, &a, "SE", true).0, None, "1.0 is within it");
        assert_eq!(paired(&a, &row(&[1.0])), None);
    }

    #[test]
    fn means_over_many_images_are_surer_than_means_over_folds() {
        let row = |name: &str| measure::Row::new(name, 30.0, "%", "").with_spread(8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE).over(1600)), 0.4);
        assert_eq!(uncertainty(&row(CODE)), 8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE)), 0.0, "of so many images that none say how many");
        assert_eq!(uncertainty(&measure::Row::new(HIGH_FREQUENCIES, 30.0, "%", "")), 0.0);
    }
}
