//! Files that come with the project: each has a licence and a hash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::programs::workspace;

/// Files below `data` that belong to the project: what `.gitignore` excepts from what it ignores.
fn files() -> Result<Vec<PathBuf>> {
    let ignored = std::fs::read_to_string(workspace().join(".gitignore"))?;
    let mut files = Vec::new();
    for name in ignored.lines().filter_map(|line| line.strip_prefix("!/")) {
        let path = workspace().join(name);
        if !name.ends_with('/') {
            files.push(path);
        } else if !ignored.contains(&format!("\n/{name}*\n")) {
            for entry in std::fs::read_dir(&path).with_context(|| name.to_owned())? {
                let path = entry?.path();
                ensure!(path.is_file(), "{}: expected a file", path.display());
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Cells of the rows of all tables of a page.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).collect()
}

#[test]
fn every_file_has_a_licence_and_its_hash() -> Result<()> {
    let photos = workspace().join("data/photos");
    let attribution = std::fs::read_to_string(photos.join("ATTRIBUTION.md"))?;
    let attribution = rows(&attribution);
    let mut checked = BTreeSet::new();
    for path in files()? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
        // Prose, the catalogue and its program are of this project.
        if [".md", ".toml", ".py"].iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        let hash = format!("`{}`", sha256(&path)?);
        if path.starts_with(&photos) {
            let link = format!("[{name}]({name})");
            let row = attribution.iter().find(|row| row[0] == link);
            let row = row.with_context(|| format!("{name}: no row in ATTRIBUTION.md"))?;
            let [_, _, title, author, licence, shared, package, row_hash] = row[..] else {
                anyhow::bail!("{name}: expected eight cells, found {row:?}");
            };
            ensure!(row_hash == hash, "{name}: expected {hash}, found {row_hash}");
            ensure!([title, author, licence, package].iter().all(|cell| !cell.is_empty()));
            let free = ["CC0-", "CC-BY-", "public-domain"];
            ensure!(free.iter().any(|free| licence.starts_with(free)), "{name}: {licence}");
            ensure!(!licence.contains("-NC") && !licence.contains("-ND"), "{name}: {licence}");
            ensure!((shared == "yes") == licence.contains("-SA-"), "{name}: {shared}, {licence}");
        } else {
            let card = std::fs::read_to_string(path.with_extension("md"))?;
            let card = rows(&card);
            let cell = |key| card.iter().find(|row| row[0] == key).and_then(|row| row.get(1));
            ensure!(cell("SHA-256") == Some(&&*hash), "{name}: its card has no row with {hash}");
            ensure!(cell("licence").is_some(), "{name}: its card has no licence");
        }
        checked.insert(name);
    }
    let listed = attribution.iter().filter(|row| row[0].starts_with('[')).count();
    assert_eq!(checked.len(), listed + 1, "rows without files, or more weights: {checked:?}");
    Ok(())
}
