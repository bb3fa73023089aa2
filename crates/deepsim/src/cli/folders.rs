//! Two folders in `deepsim compare`: tables of pairs, and distances of distributions.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use deepsim_data::DataError;
use deepsim_data::atomic::write_atomic;
use deepsim_eval::folders::{
    FolderMeasures, NAMED, PairTable, Pairing, compare_pairs, compare_sets,
};
use deepsim_eval::measure::Space;
use deepsim_eval::pair::PairMeasure;

use super::exit::{FAILED, Failure};
use super::show;

/// Pictures without a partner that are named.
const SHOWN: usize = 3;

/// Returns true for two folders, and false for two files.
///
/// # Errors
/// If there is one of each, or a folder beside nothing.
pub(crate) fn are_two(a: &Path, b: &Path) -> Result<bool> {
    let (folder, other) = match (a.is_dir(), b.is_dir()) {
        (true, true) => return Ok(true),
        (false, false) => return Ok(false),
        (true, false) => (a, b),
        (false, true) => (b, a),
    };
    let found = if other.exists() { "a file" } else { "nothing" };
    let (other, folder) = (other.display(), folder.display());
    let message = format!("{other}: expected a folder, as {folder} is one, found {found}");
    Err(Failure::usage(message).into())
}

/// Measures each pair, prints a summary and writes the table.
///
/// # Errors
/// If there is no pair, or one could not be measured, or the table cannot be written.
pub(crate) fn pairs(
    [a, b]: [&Path; 2],
    named: &[PairMeasure],
    csv: Option<&Path>,
    (weights, random): (Option<&Path>, bool),
    device: &Device,
) -> Result<()> {
    if let Some(path) = csv {
        check_folder_of(path)?;
    }
    let measures = FolderMeasures::open(named, weights, random, device)?;
    let mut table = compare_pairs(Pairing::of(a, b)?, &measures)?;
    let pairing = &table.pairing;
    let n = pairing.pairs.len();
    println!(
        "{n} {} of {} and {}",
        if n == 1 { "pair" } else { "pairs" },
        a.display(),
        b.display()
    );
    for (root, only) in [(a, &pairing.only_a), (b, &pairing.only_b)] {
        if !only.is_empty() {
            println!("only in {}: {}", root.display(), some(only));
        }
    }
    print(&table);
    show::without_weights(measures.without_weights());
    if let Some(path) = csv.filter(|_| !table.columns.is_empty()) {
        write_atomic(path, table.to_csv().as_bytes())?;
        println!("{}", path.display());
    }
    if table.failed > 0 {
        let of = format!("of {} pairs", table.pairing.pairs.len());
        return Err(unmeasured(table.failed, &of));
    }
    table.too_small.take().map_or(Ok(()), |error| Err(error.into()))
}

/// Measures and prints the distances of two folders as distributions.
///
/// # Errors
/// If a folder has too few pictures, or one could not be measured.
pub(crate) fn sets(
    [a, b]: [&Path; 2],
    spaces: &[Space],
    (weights, random): (Option<&Path>, bool),
    device: &Device,
) -> Result<()> {
    let found = compare_sets([a, b], spaces, weights, random, device)?;
    let [n, m] = found.pictures;
    println!("{n} pictures of {} and {m} of {}", a.display(), b.display());
    show::rows(&found.rows);
    if found.failed > 0 {
        return Err(unmeasured(found.failed, &format!("of {} pictures", n + m + found.failed)));
    }
    Ok(())
}

/// Prints a line for each measure.
fn print(table: &PairTable) {
    let width = table.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
    if !table.columns.is_empty() {
        let heads = ["mean", "deviation", "median", "worst"].map(|head| format!("{head:>10}"));
        println!("  {:width$} {}  pair", "", heads.join(" "));
    }
    for column in &table.columns {
        let undefined = match &column.undefined {
            Some((count, reason)) => format!("; {count} undefined, the first: {reason}"),
            None => String::new(),
        };
        let note = &column.note;
        let Some(found) = table.summary(column) else {
            println!(
                "  {:width$} {:>10}  ({})",
                column.name,
                "-",
                undefined.trim_start_matches("; ")
            );
            continue;
        };
        let (pair, worst) = found.worst;
        let numbers = [found.mean, found.spread, found.median, worst].map(|value| {
            let digits = if value != 0.0 && value.abs() < 0.1 { 6 } else { 4 };
            format!("{value:>10.digits$}")
        });
        let unit =
            if column.unit.is_empty() { String::new() } else { format!("{}; ", column.unit) };
        let pairs = found.pairs;
        println!(
            "  {:width$} {}  {}  ({unit}{pairs} pairs; {note}{undefined})",
            column.name,
            numbers.join(" "),
            pair.a
        );
    }
}

/// Number of names, and the first.
fn some(names: &[String]) -> String {
    let first = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{} ({first}{more})", names.len())
}

fn unmeasured(failed: usize, of: &str) -> anyhow::Error {
    let named =
        if failed > NAMED { format!("; the first {NAMED} are named above") } else { String::new() };
    Failure::new(FAILED, format!("{failed} {of} could not be measured{named}")).into()
}

/// Refuses, before anything is computed, a file whose folder is missing.
fn check_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        None if !path.is_dir() => Ok(()),
        None => {
            let (wanted, got) = ("a file to write".into(), "a folder".into());
            Err(DataError::Content { path: path.into(), wanted, got }.into())
        }
        Some(folder) => {
            let (path, wanted) = (folder.into(), format!("a folder for {}", path.display()));
            Err(DataError::Content { path, wanted, got: "none".into() }.into())
        }
    }
}
