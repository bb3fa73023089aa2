//! Selection of the files of a split by the hub's naming conventions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Returns the parquet files of a split below a folder, in order.
///
/// As on the hub, a file belongs to the split `train` if it lies in a folder of that name
/// (`default/train/0000.parquet`), or is named after it (`data/train-00000-of-00294.parquet`,
/// `train.parquet`).
///
/// # Errors
/// If the folder cannot be read, or the split is not there or not complete.
pub fn files_of(folder: &Path, split: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut names = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        for entry in std::fs::read_dir(&path).map_err(DataError::io("listing", &path))? {
            let entry = entry.map_err(DataError::io("listing", &path))?;
            // The hub has no names that are not UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            // Follows links to files only; the hub's cache is made of such links.
            let kind = entry.file_type().map_err(DataError::io("listing", &path))?;
            if kind.is_dir() { folders.push(name) } else { names.push(name) }
        }
    }
    let files = select(names, split).map_err(|(wanted, got)| DataError::Content {
        path: folder.into(),
        wanted,
        got,
    })?;
    Ok(files.into_iter().map(|name| folder.join(name)).collect())
}

/// Selects the names that make up a split, in order.
///
/// # Errors
/// If the split is not there, not complete, or in several folders: what was expected and found.
pub fn select(names: Vec<String>, split: &str) -> Result<Vec<String>, (String, String)> {
    let mut all: Vec<String> = names.into_iter().filter(|n| n.ends_with(".parquet")).collect();
    all.sort();
    let (files, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|n| belongs(n, split));
    let folder = |name: &String| name.rsplit_once('/').map_or("", |(f, _)| f).to_string();
    let folders: BTreeSet<String> = files.iter().map(folder).collect();
    if folders.len() > 1 {
        let folders = Vec::from_iter(folders).join(", ");
        return Err((format!("the files of split {split} in one folder"), folders));
    }
    if files.is_empty() {
        let mut got = others.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        if others.len() > 8 {
            got += &format!(" and {} more", others.len() - 8);
        }
        let got = if got.is_empty() { "none at all".into() } else { got };
        return Err((format!("parquet files of split {split}"), got));
    }
    if let Some(count) = files.iter().find_map(|name| stated_count(name))
        && count != files.len()
    {
        return Err((format!("{count} files of split {split}"), files.len().to_string()));
    }
    Ok(files)
}

fn belongs(name: &str, split: &str) -> bool {
    let stem = name.strip_suffix(".parquet").unwrap_or(name);
    let (folder, stem) = stem.rsplit_once('/').unwrap_or(("", stem));
    let numbered = || stem.strip_prefix(split)?.strip_prefix('-')?.bytes().next();
    let named = folder.rsplit('/').next() == Some(split) || stem == split;
    !split.is_empty() && (named || numbered().is_some_and(|digit| digit.is_ascii_digit()))
}

/// Returns 294 for `train-00000-of-00294.parquet`.
fn stated_count(name: &str) -> Option<usize> {
    let (_, count) = name.rsplit_once("-of-")?;
    let digits = count.bytes().take_while(u8::is_ascii_digit).count();
    count[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str], split: &str) -> Result<Vec<String>, (String, String)> {
        select(names.iter().map(|name| name.to_string()).collect(), split)
    }

    #[test]
    fn the_names_of_the_hub_are_told_apart() {
        let converted = ["default/train/0001.parquet", "default/train/0000.parquet"];
        let other = ["default/train_0/0000.parquet", "default/partial-train/0000.parquet", "a.csv"];
        let files = selected(&[&converted[..], &other[..]].concat(), "train").expect("a split");
        assert_eq!(files, ["default/train/0000.parquet", "default/train/0001.parquet"]);
        let uploaded = ["data/test-00000-of-00001.parquet", "data/test-time-0.parquet"];
        assert_eq!(selected(&uploaded, "test").expect("a split"), uploaded[..1]);
        let hashed = ["data/unlabeled-00000-of-00001-b74cd68890b47699.parquet"];
        assert_eq!(selected(&hashed, "unlabeled").expect("a split"), hashed);
    }

    #[test]
    fn incomplete_missing_and_ambiguous_splits_are_refused() {
        let (wanted, got) = selected(&["data/train-00000-of-00294.parquet"], "train").unwrap_err();
        assert_eq!((wanted.as_str(), got.as_str()), ("294 files of split train", "1"));
        let (_, got) = selected(&["x/test/0.parquet"], "train").unwrap_err();
        assert_eq!(got, "x/test/0.parquet");
        let (_, got) = selected(&["a/train/0.parquet", "b/train/0.parquet"], "train").unwrap_err();
        assert_eq!(got, "a/train, b/train");
    }
}
