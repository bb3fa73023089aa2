//! Tables of numbers.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::report::chart::escape;
use crate::report::tables::{Paper, TableRow, Target};

/// The table that the paper prints with ours beside it, everything else that was measured, and how.
pub(super) fn target(target: &Target) -> String {
    let columns = target.rows.iter().filter_map(|row| row.main).max().map_or(0, |last| last + 1);
    let printed: String = (0..columns).map(|column| printed(target, column)).collect();
    printed + &others(target) + &notes(target)
}

fn number(value: f64, spread: Option<f64>, unit: &str) -> String {
    // The paper prints percentages with one digit; small numbers need more.
    let digits = match value.abs() {
        _ if unit == "%" => 1,
        size if size == 0.0 || size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let spread = spread.map_or(String::new(), |spread| format!(" ± {spread:.digits$}"));
    format!("{value:.digits$}{spread} {}", escape(unit))
}

fn printed(target: &Target, column: usize) -> String {
    let rows: Vec<&TableRow> = target.rows.iter().filter(|row| row.main == Some(column)).collect();
    let Some(first) = rows.first() else { return String::new() };
    let theirs = |row: &TableRow| row.paper.as_ref().map(|paper| paper.value);
    let largest =
        rows.iter().flat_map(|row| [row.value, theirs(row)]).flatten().fold(1e-9, f64::max);
    let bar = |value: Option<f64>, class: &str| {
        value.map_or(String::new(), |value| {
            let share = (100.0 * value / largest).clamp(0.0, 100.0);
            format!("<i class=\"bar {class}\" style=\"width:{share:.1}%\"></i>")
        })
    };
    let mut text = format!(
        "<div class=\"scroll\"><table class=\"printed\"><caption>{}</caption><thead><tr>\
         <th>loss</th><th>ours</th><th>paper</th><th class=\"bars\" aria-hidden=\"true\"></th>\
         <th>verdict</th></tr></thead><tbody>",
        escape(&first.name)
    );
    for row in &rows {
        let ours = match row.value {
            Some(value) => number(value, row.spread, &row.unit),
            None => "<span class=\"missing\">missing</span>".into(),
        };
        let paper = row.paper.as_ref().map_or("-".to_owned(), |paper| {
            let value = number(paper.value, paper.spread, &row.unit);
            format!("{value} <small>RECALLED</small>")
        });
        let _ = write!(
            text,
            "<tr><th>{}</th><td class=\"number\">{ours}</td><td class=\"number\">{paper}</td>\
             <td class=\"bars\" aria-hidden=\"true\">{}{}</td><td>{}</td></tr>",
            escape(&row.run),
            bar(row.value, "ours"),
            bar(theirs(row), "theirs"),
            escape(&row.verdict),
        );
    }
    text += "</tbody></table></div>";
    let tag = rows.iter().find_map(|row| row.paper.as_ref());
    let tag = tag.map_or(String::new(), |Paper { tag, .. }| format!("; the paper's: {tag}"));
    text + &format!(
        "<p class=\"key\"><i class=\"bar ours\"></i> ours <i class=\"bar theirs\"></i> paper{}</p>",
        escape(&tag)
    )
}

/// Rows are what was measured, columns are runs.
fn others(target: &Target) -> String {
    let rows: Vec<&TableRow> = target.rows.iter().filter(|row| row.main.is_none()).collect();
    let (mut names, mut runs) = (Vec::new(), Vec::new());
    for row in &rows {
        if !names.contains(&&row.name) {
            names.push(&row.name);
        }
        if !runs.contains(&&row.run) {
            runs.push(&row.run);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let caption = if rows.len() < target.rows.len() { "also measured" } else { "measured" };
    let mut text =
        format!("<div class=\"scroll\"><table><caption>{caption}</caption><thead><tr><th></th>");
    for run in &runs {
        let _ = write!(text, "<th>{}</th>", escape(run));
    }
    text += "</tr></thead><tbody>";
    for name in names {
        let _ = write!(text, "<tr><th>{}</th>", escape(name));
        for run in &runs {
            let cell = rows.iter().find(|row| row.name == *name && row.run == **run);
            let cell = match cell.and_then(|row| Some((row.value?, row))) {
                Some((value, row)) => number(value, row.spread, &row.unit),
                None => "<span class=\"missing\">missing</span>".into(),
            };
            let _ = write!(text, "<td class=\"number\">{cell}</td>");
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}

/// Notes on how each number was computed; a note that several runs share is printed once.
fn notes(target: &Target) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::from("<details><summary>how it was measured</summary><ul>");
    for row in target.rows.iter().filter(|row| row.value.is_some()) {
        if !seen.insert((&row.name, &row.note)) {
            continue;
        }
        let same = |other: &&TableRow| other.name == row.name && other.note == row.note;
        let runs: Vec<&str> = target.rows.iter().filter(same).map(|r| r.run.as_str()).collect();
        let _ = write!(
            text,
            "<li><b>{}</b> ({}): {}</li>",
            escape(&row.name),
            escape(&runs.join(", ")),
            escape(&row.note)
        );
    }
    if seen.is_empty() { String::new() } else { text + "</ul></details>" }
}
