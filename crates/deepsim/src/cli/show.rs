//! Rows of numbers and the progress of a measure.

use std::io::IsTerminal;

use anyhow::Result;
use deepsim_eval::measure::{Progress, Row, Space};
use deepsim_reproduce::report::Entry;

use super::exit::Failure;

/// Parses runs, `LABEL=DIR`.
///
/// # Errors
/// If one has another form.
pub(crate) fn entries(runs: &[String]) -> Result<Vec<Entry>> {
    let entry = |run: &String| match run.split_once('=') {
        Some((label, folder)) => Ok(Entry { label: label.into(), folder: folder.into() }),
        None => Err(Failure::usage(format!("--run: expected LABEL=DIR, found {run}")).into()),
    };
    runs.iter().map(entry).collect()
}

/// Prints rows, one a line.
pub(crate) fn rows(rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let digits = |value: f64| if value != 0.0 && value.abs() < 0.1 { 6 } else { 4 };
        let write = |value: f64| format!("{value:.digits$}", digits = digits(value));
        let value = row.value.map_or("-".to_owned(), write);
        let spread = row.spread.map_or(String::new(), |spread| format!(" ± {spread:.2}"));
        println!("  {:width$}  {value}{spread} {}  ({})", row.name, row.unit, row.note);
    }
}

/// Prints a line about feature spaces that need weights.
pub(crate) fn without_weights(spaces: &[Space]) {
    if !spaces.is_empty() {
        let spaces: Vec<_> = spaces.iter().map(Space::to_string).collect();
        println!(
            "not measured, no weights found: {}; name their folder with --weights DIR",
            spaces.join(", ")
        );
    }
}

/// Shows progress: a line that is overwritten on a terminal, the last of each kind elsewhere.
pub(crate) fn progress(progress: &Progress<'_>) {
    let Progress { what, done, all } = progress;
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}: {done}/{all}");
    } else if done == all {
        eprintln!("{what}: {all}");
    }
}

/// Clears the line of progress.
pub(crate) fn end_of_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
