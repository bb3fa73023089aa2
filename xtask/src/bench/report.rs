//! Machine, versions, tables and files of a benchmark.

use std::env;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::{self, Use};
use super::statistics::Ratio;
use crate::process::say;
use crate::workspace;

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Prints what it ran on, name and driver of a GPU if it was that, and writes the numbers if they are to be saved.
pub(super) fn finish(
    kind: &str,
    save: bool,
    before: Use,
    torch: &Value,
    gpu: Option<(String, String)>,
    numbers: Value,
) -> Result<()> {
    let after = Use::after();
    let (cpu, instructions) = (machine::processor(), machine::instructions());
    let memory = memory();
    let versions = versions(torch);
    let date = date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let unknown = || "unknown".to_owned();
    let gib = memory.map_or_else(unknown, |bytes| format!("{:.0} GiB", bytes / 2f64.powi(30)));
    let gpu = gpu.as_ref();
    if let Some((name, driver)) = gpu {
        say(&format!("GPU: {name}, driver {driver}"));
    }
    say(&format!(
        "{cpu}, {instructions}, {} cores, memory {gib}, in use before {before} and after {after}, {date}",
        cores()
    ));
    say(&format!("versions: {}", shown(&versions)));
    if !save {
        return Ok(());
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let report = json!({
        "command": format!("cargo xtask {}", words.join(" ")),
        "date": date,
        "git_commit": workspace::git_commit(),
        "machine": {
            "gpu": gpu.map(|(name, _)| name),
            "driver": gpu.map(|(_, driver)| driver),
            "cpu": cpu,
            "cores": cores(),
            "memory_bytes": memory,
            "instructions": instructions,
            "in_use_before": before.json(),
            "in_use_after": after.json(),
        },
        "versions": versions,
        "numbers": numbers,
    });
    let folder = workspace::root().join("docs/benchmarks");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("creating folder {}", folder.display()))?;
    let name = gpu.map_or_else(|| format!("{cpu} {instructions}"), |(name, _)| name.clone());
    let path = folder.join(format!("{kind}-{}.json", file_name(&name)));
    let text = serde_json::to_string_pretty(&report)? + "\n";
    workspace::write_atomic(&path, text.as_bytes())?;
    say(&format!("saved: {}", path.display()));
    Ok(())
}

/// Rows as a Markdown table; all columns but the first are numbers.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
    let rule = (0..header.len()).map(|column| if column == 0 { "---" } else { "---:" });
    let mut lines = vec![line(header.to_vec()), line(rule.collect())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// A ratio with its spread.
pub(super) fn ratio(ratio: Ratio) -> String {
    format!("{:.2} ± {:.2}", ratio.median, ratio.spread)
}

/// A ratio with its spread for a file.
pub(super) fn ratio_json(ratio: Ratio) -> Value {
    json!({ "median": ratio.median, "interquartile_range": ratio.spread })
}

fn memory() -> Option<f64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(first_number(line)? * 1024.0)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn versions(torch: &Value) -> Value {
    let rustc = Command::new("rustc").arg("-V").current_dir(workspace::root()).output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock")).unwrap_or_default();
    json!({
        "rustc": rustc.ok(),
        "deepsim": env!("CARGO_PKG_VERSION"),
        "candle-core": locked(&lock, "candle-core"),
        "gemm": locked(&lock, "gemm"),
        "rayon": locked(&lock, "rayon"),
        "torch": torch,
    })
}

/// The version of a package in a `Cargo.lock`.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let line = lock.lines().skip_while(|line| *line != name).nth(1)?;
    Some(line.strip_prefix("version = \"")?.trim_end_matches('"'))
}

fn shown(versions: &Value) -> String {
    let pairs = versions.as_object().into_iter().flatten();
    let pair = |(name, version): (&String, &Value)| match version.as_str() {
        Some(version) if version.starts_with(name) => version.to_owned(),
        Some(version) => format!("{name} {version}"),
        None => format!("{name} unknown"),
    };
    pairs.map(pair).collect::<Vec<_>>().join(", ")
}

/// Words of a name with dashes between them.
fn file_name(name: &str) -> String {
    let name = name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// The day (UTC) of a time in seconds since 1970, as year-month-day.
fn date(seconds: u64) -> String {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut days, mut year) = (seconds / 86_400, 1970);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years_and_the_ends_of_months() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(date(seconds), wanted);
        }
    }

    #[test]
    fn versions_are_found_in_the_lock_file() {
        let lock = "[[package]]\nname = \"gemm-f32\"\nversion = \"1\"\n\n[[package]]\n\
                    name = \"gemm\"\nversion = \"0.19.0\"\n";
        assert_eq!(locked(lock, "gemm"), Some("0.19.0"));
        assert_eq!(locked(lock, "candle-core"), None);
        let versions = json!({ "rustc": "rustc 1.95.0", "gemm": "0.19.0", "torch": null });
        assert_eq!(shown(&versions), "gemm 0.19.0, rustc 1.95.0, torch unknown");
    }

    #[test]
    fn file_names_hold_no_odd_characters() {
        assert_eq!(file_name("Intel(R) Core(TM) i7-9700 @ 3.00GHz"), "intel-core-i7-9700-3-00ghz");
    }

    #[test]
    fn tables_are_markdown() {
        let rows = vec![vec!["x".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["a", "b"], &rows), "| a | b |\n| --- | ---: |\n| x | 1 |");
    }
}
