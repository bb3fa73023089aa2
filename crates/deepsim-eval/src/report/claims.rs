//! The effects that the paper reports, and whether our numbers show them.
//!
//! Directions can be compared where numbers cannot: with other photographs or fewer steps.

use serde::Serialize;

use super::run::Run;
use crate::measure::Row;
use crate::measure::error::IMAGE_SPACE;
use crate::measure::sharpness::HIGH_FREQUENCIES;

/// The run that the others are compared with: its loss is the squared error.
pub(super) const SE: &str = "SE";
/// The runs with the paper's loss.
const OURS: [&str; 2] = ["AlexNet CONV3", "Exemplar-CNN CONV3"];

/// The row of Table 4.
pub(super) const CODE: &str = "code of the whole image";

/// Who says that an effect should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Source {
    /// The paper's text; the direction is certain.
    #[serde(rename = "the paper, CERTAIN")]
    Paper,
    /// Not a number of the paper: what its argument lets expect.
    #[serde(rename = "expected from the paper's argument; it prints no such number")]
    Argument,
}

/// An effect that should be there, and whether our numbers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) run: String,
    pub(super) claim: String,
    pub(super) source: Source,
    /// `None` where a number is missing or the difference is within chance.
    pub(super) holds: Option<bool>,
    pub(super) detail: String,
    /// Whether it is about the row that the paper's table prints.
    #[serde(skip)]
    pub(super) main: bool,
}

impl Claim {
    /// In a few words, for a table.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.holds, self.source) {
            (Some(true), Source::Paper) => "direction as in the paper",
            (Some(true), Source::Argument) => "direction as expected",
            (Some(false), Source::Paper) => "direction NOT as in the paper",
            (Some(false), Source::Argument) => "direction NOT as expected",
            (None, _) => "direction undecided",
        }
    }
}

/// The effects that a target shows.
///
/// `telling` is false for runs of so few steps that no direction means anything.
pub(super) fn of(target: &str, runs: &[Run], telling: bool) -> Vec<Claim> {
    let find = |label: &str| runs.iter().find(|run| run.label == label);
    let Some(se) = find(SE) else { return Vec::new() };
    let mut claims = Vec::new();
    for run in OURS.iter().filter_map(|label| find(label)) {
        let label = &run.label;
        let mut add = |claim, source, measure, row: &str, larger, main| {
            let (holds, mut detail) = compared(run, se, measure, row, larger);
            if !telling && holds.is_some() {
                detail += " (too few steps to tell)";
            }
            let holds = holds.filter(|_| telling);
            claims.push(Claim { run: label.clone(), claim, source, holds, detail, main });
        };
        match target {
            "table3" => {
                let claim = format!("{label} is worse than SE in Euclidean error");
                add(claim, Source::Paper, "error", IMAGE_SPACE, true, true);
                for space in independent_spaces(se) {
                    let claim = format!("{label} is closer than SE in the {space}");
                    add(claim, Source::Argument, "error", &space, false, false);
                }
            }
            "table4" => {
                let claim = format!("the code of {label} is better for classification than SE's");
                add(claim, Source::Paper, "svm", CODE, true, true);
            }
            _ => {
                let claim = format!("{label} is sharper than SE");
                add(claim, Source::Argument, "sharpness", HIGH_FREQUENCIES, true, false);
            }
        }
    }
    claims
}

/// Feature spaces of a trained network that no generator was trained with.
fn independent_spaces(run: &Run) -> Vec<String> {
    let rows = run.measurements.get("error").map_or(&[][..], |m| &m.rows);
    let names = rows.iter().map(|row| row.name.clone());
    names.filter(|name| name.starts_with("squeezenet") && !name.contains("random")).collect()
}

fn compared(run: &Run, se: &Run, measure: &str, row: &str, larger: bool) -> (Option<bool>, String) {
    let value = |run: &Run| -> Option<(f64, f64)> {
        let row = run.row(measure, row)?;
        Some((row.value?, uncertainty(row)))
    };
    let (Some((ours, of_ours)), Some((theirs, of_theirs))) = (value(run), value(se)) else {
        return (None, format!("missing: {measure}, {row}"));
    };
    let detail = format!("{ours:.1} against {theirs:.1} of SE");
    let chance = of_ours.max(of_theirs);
    if (ours - theirs).abs() <= chance {
        return (None, format!("{detail}, within chance (± {chance:.1})"));
    }
    (Some((ours > theirs) == larger), detail)
}

/// How far a mean may be off: twice its standard error where it is over independent samples, its
/// whole spread over folds, which share images, nothing where no spread is known.
fn uncertainty(row: &Row) -> f64 {
    match (row.spread, row.samples) {
        (Some(spread), Some(n)) => 2.0 * spread / (n.max(1) as f64).sqrt(),
        (Some(spread), None) if row.name == CODE => spread,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_many_images_are_surer_than_means_over_folds() {
        let row = |name: &str| Row::new(name, 30.0, "%", "").with_spread(8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE).over(1600)), 0.4);
        assert_eq!(uncertainty(&row(CODE)), 8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE)), 0.0, "of so many images that none say how many");
        assert_eq!(uncertainty(&Row::new(HIGH_FREQUENCIES, 30.0, "%", "")), 0.0);
    }
}
