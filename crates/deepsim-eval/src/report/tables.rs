//! Our numbers beside the paper's, and whether the effects point the same way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::EvalError;
use crate::measure::Row;
use crate::measure::error::IMAGE_SPACE;
use crate::measure::sharpness::HIGH_FREQUENCIES;

/// The row of a run whose loss is the squared error.
const SE: &str = "SE";
/// The rows of runs with the paper's loss.
const OURS: [&str; 2] = ["AlexNet CONV3", "Exemplar-CNN CONV3"];

/// The paper's numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaperTable {
    pub(super) title: String,
    unit: String,
    tag: String,
    rows: Vec<PaperRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperRow {
    run: String,
    value: f64,
    spread: Option<f64>,
}

/// A number of the paper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Paper {
    pub(super) value: f64,
    pub(super) spread: Option<f64>,
    /// How far it can be trusted.
    pub(super) tag: String,
}

/// One number of ours, with the paper's if it has one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TableRow {
    pub(super) run: String,
    pub(super) name: String,
    pub(super) value: Option<f64>,
    pub(super) unit: String,
    pub(super) spread: Option<f64>,
    pub(super) note: String,
    pub(super) paper: Option<Paper>,
    pub(super) verdict: String,
}

/// An effect that the paper reports, and whether our numbers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) claim: String,
    /// `None` where a number is missing.
    pub(super) holds: Option<bool>,
    pub(super) detail: String,
}

/// A table or figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Target {
    pub(super) target: String,
    pub(super) title: String,
    pub(super) rows: Vec<TableRow>,
    pub(super) claims: Vec<Claim>,
}

/// The targets that exist.
pub(super) const TARGETS: [&str; 3] = ["table3", "table4", "fig3"];

/// Rows and claims of a target.
///
/// `comparable` says whether data and scale are the paper's, so that numbers can be compared and
/// not only directions; `telling` whether the runs were long enough for directions.
pub(super) fn target(
    name: &str,
    runs: &[Run],
    comparable: bool,
    telling: bool,
) -> Result<Target, EvalError> {
    let paper: BTreeMap<String, PaperTable> = toml::from_str(include_str!("paper.toml"))
        .map_err(|e| EvalError::input("the paper's numbers", "paper.toml", e.to_string()))?;
    let paper = paper.get(name);
    let mut rows = Vec::new();
    // The paper's row of each run first, then everything else that was measured.
    let (measure, main, others): (&str, Option<&str>, &[&str]) = match name {
        "table3" => ("error", Some(IMAGE_SPACE), &["error"]),
        "table4" => ("svm", Some("code of the whole image"), &["svm"]),
        "fig3" => ("sharpness", None, &["sharpness"]),
        _ => {
            return Err(EvalError::Unknown {
                what: "target",
                known: TARGETS.join(", "),
                got: name.into(),
            });
        }
    };
    for run in runs {
        let ours = main.and_then(|main| run.row(measure, main));
        let theirs = paper.and_then(|table| {
            let row = table.rows.iter().find(|row| row.run == run.label)?;
            Some(Paper { value: row.value, spread: row.spread, tag: table.tag.clone() })
        });
        if let (Some(main), Some(table)) = (main, paper) {
            let missing =
                Row { unit: table.unit.clone(), ..Row::new(main, f64::NAN, "", "missing") };
            rows.push(table_row(run, ours.unwrap_or(&missing), theirs, comparable));
        }
    }
    for run in runs {
        let measured = others.iter().filter_map(|name| run.measurements.get(*name));
        for row in measured.flat_map(|m| &m.rows).filter(|row| Some(row.name.as_str()) != main) {
            rows.push(table_row(run, row, None, comparable));
        }
    }
    let title = match paper {
        Some(table) => table.title.clone(),
        None => "Figure 3: reconstructions, and how sharp they are".into(),
    };
    let mut claims = claims(name, runs);
    if !telling {
        for claim in &mut claims {
            claim.holds = None;
            claim.detail += " (too few steps to tell)";
        }
    }
    Ok(Target { target: name.into(), title, rows, claims })
}

fn table_row(run: &Run, row: &Row, paper: Option<Paper>, comparable: bool) -> TableRow {
    let verdict = match (&paper, row.value) {
        (_, None) => "missing".to_owned(),
        (None, _) => String::new(),
        (Some(_), Some(_)) if !comparable => {
            "not comparable: other data or fewer steps than the paper".to_owned()
        }
        (Some(paper), Some(value)) => format!("{:+.1} against the paper", value - paper.value),
    };
    TableRow {
        run: run.label.clone(),
        name: row.name.clone(),
        value: row.value,
        unit: row.unit.clone(),
        spread: row.spread,
        note: row.note.clone(),
        paper,
        verdict,
    }
}

/// The effects of the paper that a target shows. Directions are certain, numbers are recalled.
fn claims(target: &str, runs: &[Run]) -> Vec<Claim> {
    let find = |label: &str| runs.iter().find(|run| run.label == label);
    let Some(se) = find(SE) else { return Vec::new() };
    let mut claims = Vec::new();
    for run in OURS.iter().filter_map(|label| find(label)) {
        let label = &run.label;
        match target {
            "table3" => {
                let claim = format!("{label} is worse than SE in Euclidean error");
                claims.push(compared(claim, run, se, "error", IMAGE_SPACE, true));
                for space in independent_spaces(se) {
                    let claim = format!("{label} is closer than SE in {space}");
                    claims.push(compared(claim, run, se, "error", &space, false));
                }
            }
            "table4" => {
                let claim = format!("the code of {label} is better for classification than SE's");
                claims.push(compared(claim, run, se, "svm", "code of the whole image", true));
            }
            _ => {
                let claim = format!("{label} is sharper than SE");
                claims.push(compared(claim, run, se, "sharpness", HIGH_FREQUENCIES, true));
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

fn compared(claim: String, run: &Run, se: &Run, measure: &str, row: &str, larger: bool) -> Claim {
    let value = |run: &Run| run.row(measure, row).and_then(|row| row.value);
    let (Some(ours), Some(theirs)) = (value(run), value(se)) else {
        return Claim { claim, holds: None, detail: format!("missing: {measure}, {row}") };
    };
    let holds = if larger { ours > theirs } else { ours < theirs };
    let detail = format!("{ours:.2} against {theirs:.2} of SE");
    Claim { claim, holds: Some(holds), detail }
}
