//! Our numbers beside the paper's.

use deepsim_eval::measure::Row;
use deepsim_run::identity::Method;
use serde::Serialize;

use super::claims::{self, Claim};
use super::figures::Figure;
use super::run::{self, Run};
use crate::ReproduceError;
use crate::catalogue::{self, Column, Pictures, Printed};

/// A number of the paper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Paper {
    pub(super) value: f64,
    pub(super) spread: Option<f64>,
    /// Confidence in it.
    pub(super) tag: &'static str,
    /// Largest difference at which another training is the same result: our number, not the paper's.
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
    /// Column of the paper's table, if the paper prints it.
    #[serde(skip)]
    pub(super) main: Option<usize>,
}

/// A table or figure.
#[derive(Serialize)]
pub(super) struct Target {
    pub(super) target: &'static str,
    pub(super) section: &'static str,
    pub(super) title: &'static str,
    pub(super) rows: Vec<TableRow>,
    pub(super) claims: Vec<Claim>,
    /// True if it has pictures, whether or not a run has them.
    #[serde(skip)]
    pub(super) pictured: bool,
    /// True if nothing at all was measured for it.
    #[serde(skip)]
    pub(super) empty: bool,
    #[serde(skip)]
    pub(super) figures: Vec<Figure>,
}

/// Fills a target with the numbers and pictures of runs.
///
/// # Errors
/// If a picture is broken.
pub(super) fn target(
    target: &catalogue::Target,
    runs: &[Run],
    comparable: bool,
) -> Result<Target, ReproduceError> {
    let runs = run::of(target, runs);
    let claims = claims::of(target, &runs);
    // The paper's rows come first; then everything else that was measured.
    let columns = target.columns.iter().enumerate();
    let mut rows: Vec<TableRow> =
        columns.flat_map(|(i, column)| printed(i, column, &runs, &claims, comparable)).collect();
    for run in &runs {
        for measure in target.shown {
            let measured = run.measurements.get(*measure).map_or(&[][..], |m| &m.rows);
            let main = |row: &&Row| {
                let columns = target.columns.iter().filter(|column| column.measure == *measure);
                let mut main = columns.filter_map(|column| run.row(measure, column.quantity));
                main.any(|main| main == *row)
            };
            rows.extend(measured.iter().filter(|row| !main(row)).map(|row| plain(&run.label, row)));
        }
    }
    let has_pictures = |run: &&Run| {
        target.pictures.iter().any(|pictures| match pictures {
            Pictures::Strips(_) => run.has_strips(),
            Pictures::File(file, _) => run.file(file).is_some(),
        })
    };
    let measured = |run: &&Run| {
        target.columns.iter().any(|column| run.measurements.contains_key(column.measure))
    };
    let mut ours = runs.iter().filter(|run| run.method != Method::Shipped);
    let empty = match target.pictures {
        [_, ..] => !ours.any(has_pictures),
        [] => !ours.any(measured),
    };
    let figures = Figure::all(target, &runs)?;
    let catalogue::Target { id, section, title, .. } = *target;
    let pictured = !target.pictures.is_empty();
    Ok(Target { target: id, section, title, rows, claims, pictured, empty, figures })
}

/// The rows of a column in the paper's order, whether they were run or not; then other runs.
fn printed(
    index: usize,
    column: &Column,
    runs: &[&Run],
    claims: &[Claim],
    comparable: bool,
) -> Vec<TableRow> {
    let theirs = |printed: &Printed| Paper {
        value: printed.value,
        spread: printed.spread,
        tag: column.tag,
        tolerance: column.tolerance,
    };
    let find = |id: &str| runs.iter().find(|run| run.id == id).copied();
    // A second run of the same id is shown as one of a user's own.
    let taken = |run: &Run| {
        let first = column.printed.iter().filter_map(|printed| find(printed.run));
        first.into_iter().any(|first| std::ptr::eq(first, run))
    };
    let printed = column.printed.iter().map(|printed| {
        let run = find(printed.run);
        let label = run.map(|run| run.label.clone()).or_else(|| catalogue::label(printed.run));
        (label.unwrap_or_else(|| printed.run.to_owned()), run, Some(theirs(printed)))
    });
    let other = |run: &&&Run| !taken(run);
    // The authors' own generators, measured here, stand beside the numbers that they printed.
    let printed_of = |run: &Run| {
        let ours = catalogue::released(run.method, run.layer.as_deref()?)?;
        column.printed.iter().find(|printed| printed.run == ours).map(theirs)
    };
    let others = runs.iter().filter(other);
    let others = others.map(|run| (run.label.clone(), Some(*run), printed_of(run)));
    // Claims compare with this one.
    let first_se = runs.iter().find(|run| run.method == Method::SquaredError).copied();
    let mut rows = Vec::new();
    for (label, run, paper) in printed.chain(others) {
        let why = if run.is_some() { "not measured" } else { "no such run" };
        let missing = Row::undefined("", column.unit, why, "");
        let ours = run.and_then(|run| run.row(column.measure, column.quantity)).unwrap_or(&missing);
        let claim = claims.iter().find(|c| c.run == label && c.quantity == column.quantity);
        let reference = run.is_some_and(|run| first_se.is_some_and(|se| std::ptr::eq(run, se)));
        let mut verdict = verdict(ours, reference, paper.as_ref(), comparable, claim);
        let release = run.and_then(|run| runs.iter().find(|other| other.is_release_of(run)));
        let release = release.and_then(|run| run.row(column.measure, column.quantity)?.value);
        if let (Some(ours), Some(theirs)) = (ours.value, release) {
            let difference = ours - theirs;
            verdict += &format!("; {difference:+.1} against the authors' generator, measured here");
        }
        let row = TableRow { paper, verdict, main: Some(index), ..plain(&label, ours) };
        rows.push(TableRow { name: column.title.to_owned(), ..row });
    }
    rows
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
    reference: bool,
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
        None if reference => format!("{number}; reference of the directions"),
        None => number,
    }
}
