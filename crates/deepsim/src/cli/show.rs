//! Rows of numbers.

use anyhow::Result;
use deepsim_eval::measure::{Row, Space};
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
    print(rows, |note| note);
}

/// Prints rows, one a line, each with the beginning of its note.
pub(crate) fn brief(rows: &[Row]) {
    print(rows, |note| note.split("; ").next().unwrap_or(note));
}

fn print(rows: &[Row], shown: impl Fn(&str) -> &str) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let digits = |value: f64| if value != 0.0 && value.abs() < 0.1 { 6 } else { 4 };
        let write = |value: f64| format!("{value:.digits$}", digits = digits(value));
        let value = row.value.map_or("-".to_owned(), write);
        let spread = row.spread.map_or(String::new(), |spread| format!(" ± {spread:.2}"));
        println!("  {:width$}  {value}{spread} {}  ({})", row.name, row.unit, shown(&row.note));
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
