//! Our numbers beside the paper's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claims::{self, CODE, Claim, SE};
use super::run::Run;
use crate::EvalError;
use crate::measure::Row;
use crate::measure::error::IMAGE_SPACE;

/// The paper's numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperTable {
    title: String,
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
    /// Whether it is the row that the paper's table prints.
    #[serde(skip)]
    pub(super) main: bool,
}

/// A table or figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Target {
    pub(super) target: String,
    pub(super) title: String,
    pub(super) rows: Vec<TableRow>,
    pub(super) claims: Vec<Claim>,
    /// Whether anything at all was measured for it.
    #[serde(skip)]
    pub(super) empty: bool,
}

/// The targets that exist.
const TARGETS: [&str; 3] = ["table3", "table4", "fig3"];

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
    let (measure, main) = match name {
        "table3" => ("error", Some(IMAGE_SPACE)),
        "table4" => ("svm", Some(CODE)),
        "fig3" => ("sharpness", None),
        _ => {
            let (known, got) = (TARGETS.join(", "), name.into());
            return Err(EvalError::Unknown { what: "target", known, got });
        }
    };
    let mut paper: BTreeMap<String, PaperTable> = toml::from_str(include_str!("paper.toml"))
        .map_err(|e| EvalError::input("the paper's numbers", "paper.toml", e.to_string()))?;
    let paper = paper.remove(name);
    let claims = claims::of(name, runs, telling);

    // The rows of the paper's table in its order, whether they were run or not; then other runs;
    // then everything else that was measured.
    let mut rows = Vec::new();
    if let (Some(main), Some(table)) = (main, &paper) {
        let theirs =
            |row: &PaperRow| Paper { value: row.value, spread: row.spread, tag: table.tag.clone() };
        let find = |label: &str| runs.iter().find(|run| run.label == label);
        let printed = table.rows.iter().map(|row| (&row.run, find(&row.run), Some(theirs(row))));
        let other = |run: &&Run| !table.rows.iter().any(|row| row.run == run.label);
        let others = runs.iter().filter(other).map(|run| (&run.label, Some(run), None));
        for (label, run, paper) in printed.chain(others) {
            let why = if run.is_some() { "not measured" } else { "no such run" };
            let missing = Row {
                unit: table.unit.clone(),
                note: why.into(),
                ..Row::new(main, f64::NAN, "", "")
            };
            let ours = run.and_then(|run| run.row(measure, main)).unwrap_or(&missing);
            let claim = claims.iter().find(|claim| claim.main && claim.run == *label);
            let verdict = verdict(ours, label, paper.as_ref(), comparable, claim);
            rows.push(TableRow { paper, verdict, main: true, ..plain(label, ours) });
        }
    }
    for run in runs {
        let measured = run.measurements.get(measure).map_or(&[][..], |m| &m.rows);
        let others = measured.iter().filter(|row| Some(row.name.as_str()) != main);
        rows.extend(others.map(|row| plain(&run.label, row)));
    }
    let empty = match main {
        Some(_) => !runs.iter().any(|run| run.measurements.contains_key(measure)),
        None => !runs.iter().any(Run::has_strips),
    };
    let title = match paper {
        Some(table) => table.title,
        None => "Figure 3: reconstructions, and how sharp they are".into(),
    };
    Ok(Target { target: name.into(), title, rows, claims, empty })
}

fn plain(label: &str, row: &Row) -> TableRow {
    TableRow {
        run: label.into(),
        name: row.name.clone(),
        value: row.value,
        unit: row.unit.clone(),
        spread: row.spread,
        note: row.note.clone(),
        paper: None,
        verdict: if row.value.is_some() { String::new() } else { format!("missing: {}", row.note) },
        main: false,
    }
}

fn verdict(
    ours: &Row,
    label: &str,
    paper: Option<&Paper>,
    comparable: bool,
    claim: Option<&Claim>,
) -> String {
    let Some(value) = ours.value else { return format!("missing: {}", ours.note) };
    let number = match paper {
        None => "not in the paper".to_owned(),
        Some(_) if !comparable => "not comparable".to_owned(),
        Some(paper) => format!("{:+.1} against the paper", value - paper.value),
    };
    match claim {
        Some(claim) => format!("{number}; {}", claim.verdict()),
        None if label == SE => format!("{number}; reference of the directions"),
        None => number,
    }
}
