//! Our numbers beside the paper's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claims::{self, Claim, SE};
use super::figures::Figure;
use super::run::Run;
use super::targets::{Pictures, Row as Wanted, SPECS, Spec};
use crate::EvalError;
use crate::measure::Row;

/// The paper's numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperTable {
    title: String,
    unit: String,
    tag: String,
    tolerance: f64,
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
    /// How far another training may be off and be the same result: ours to say, not the paper's.
    pub(super) tolerance: f64,
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
    /// Of which column of the paper's table it is, if it prints it.
    #[serde(skip)]
    pub(super) main: Option<usize>,
}

/// A table or figure.
#[derive(Serialize)]
pub(super) struct Target {
    pub(super) target: String,
    pub(super) section: &'static str,
    pub(super) title: String,
    pub(super) rows: Vec<TableRow>,
    pub(super) claims: Vec<Claim>,
    /// Whether anything at all was measured for it.
    #[serde(skip)]
    pub(super) empty: bool,
    #[serde(skip)]
    pub(super) figures: Vec<Figure>,
}

/// The specification of a target.
pub(super) fn spec(name: &str) -> Result<&'static Spec, EvalError> {
    SPECS.iter().find(|spec| spec.name == name).ok_or_else(|| EvalError::Unknown {
        what: "target",
        known: SPECS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", "),
        got: name.into(),
    })
}

/// Rows and claims of a target.
///
/// `comparable` says whether data and scale are the paper's, so that numbers can be compared and
/// not only directions.
pub(super) fn target(
    spec: &'static Spec,
    runs: &[Run],
    comparable: bool,
) -> Result<Target, EvalError> {
    let mut paper: BTreeMap<String, PaperTable> = toml::from_str(include_str!("paper.toml"))
        .map_err(|e| EvalError::input("the paper's numbers", "paper.toml", e.to_string()))?;
    let runs = (spec.runs)(runs);
    let claims = claims::of(spec.name, &runs);

    // The rows of the paper's table in its order, whether they were run or not; then other runs;
    // then everything else that was measured.
    let (mut rows, mut title) = (Vec::new(), spec.title.to_owned());
    for (index, column) in spec.columns.iter().enumerate() {
        let Some(table) = paper.remove(column.paper) else { continue };
        if title.is_empty() {
            title.clone_from(&table.title);
        }
        let theirs = |row: &PaperRow| Paper {
            value: row.value,
            spread: row.spread,
            tag: table.tag.clone(),
            tolerance: table.tolerance,
        };
        let find = |label: &str| runs.iter().find(|run| run.label == label).copied();
        let printed = table.rows.iter().map(|row| (&row.run, find(&row.run), Some(theirs(row))));
        let other = |run: &&&Run| !table.rows.iter().any(|row| row.run == run.label);
        // The authors' own generators, measured here, stand beside the numbers that they printed.
        let printed_of = |run: &Run| {
            let ours = run.counterpart()?;
            table.rows.iter().find(|row| row.run == ours).map(theirs)
        };
        let others = runs.iter().filter(other).map(|run| (&run.label, Some(*run), printed_of(run)));
        for (label, run, paper) in printed.chain(others) {
            let why = if run.is_some() { "not measured" } else { "no such run" };
            let missing = Row {
                unit: table.unit.clone(),
                note: why.into(),
                ..Row::new("", f64::NAN, "", "")
            };
            let ours = run.and_then(|run| run.row(column.measure, column.row)).unwrap_or(&missing);
            let claim =
                claims.iter().find(|c| c.run == *label && c.main == Some(column.row.name()));
            let mut verdict = verdict(ours, label, paper.as_ref(), comparable, claim);
            let reference = runs.iter().find(|run| run.counterpart().as_ref() == Some(label));
            let reference = reference.and_then(|run| run.row(column.measure, column.row)?.value);
            if let (Some(ours), Some(theirs)) = (ours.value, reference) {
                let difference = ours - theirs;
                verdict +=
                    &format!("; {difference:+.1} against the authors' generator, measured here");
            }
            let row = TableRow { paper, verdict, main: Some(index), ..plain(label, ours) };
            let name = match column.row {
                Wanted::Named(name) => name.to_owned(),
                Wanted::Inverted => table.title.clone(),
            };
            rows.push(TableRow { name, ..row });
        }
    }
    for run in &runs {
        for measure in spec.measures {
            let measured = run.measurements.get(*measure).map_or(&[][..], |m| &m.rows);
            let main = |row: &&Row| {
                let columns = spec.columns.iter().filter(|column| column.measure == *measure);
                let mut main = columns.filter_map(|column| run.row(measure, column.row));
                main.any(|main| main == *row)
            };
            let others = measured.iter().filter(|row| !main(row));
            rows.extend(others.map(|row| plain(&run.label, row)));
        }
    }
    let numbers = spec.columns.iter().map(|column| column.measure);
    let pictured = |run: &&Run| {
        spec.pictures.iter().any(|pictures| match pictures {
            Pictures::Strips(_) => run.has_strips(),
            Pictures::File(file, _) => run.folder.join("eval").join(file).is_file(),
        })
    };
    let empty = match spec.pictures {
        [_, ..] => !runs.iter().any(pictured),
        [] => {
            let numbers: Vec<_> = numbers.collect();
            !runs.iter().any(|run| numbers.iter().any(|m| run.measurements.contains_key(*m)))
        }
    };
    let figures = Figure::all(spec, &runs)?;
    let (target, section) = (spec.name.into(), spec.section);
    Ok(Target { target, section, title, rows, claims, empty, figures })
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
        main: None,
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
        Some(Paper { value: theirs, tolerance, .. }) => {
            let difference = value - theirs;
            let within = if difference.abs() <= *tolerance { "within" } else { "NOT within" };
            format!("{difference:+.1} against the paper, {within} {tolerance:.1}")
        }
    };
    match claim {
        Some(claim) => format!("{number}; {}", claim.verdict()),
        None if label == SE => format!("{number}; reference of the directions"),
        None => number,
    }
}
