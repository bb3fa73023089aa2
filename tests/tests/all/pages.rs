//! Pages that are read on a forge, where rustdoc has not been.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::programs::workspace;

/// Finds the pages below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name == "target" || name == "out" || name.starts_with('.') => {}
            true => pages(&path, found)?,
            false if name.ends_with(".md") => found.push(path),
            false => {}
        }
    }
    Ok(())
}

/// Lines that only rustdoc understands: hidden lines of examples, and links to items.
fn only_rustdoc(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut code, mut rust) = (false, false);
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            (code, rust) = (!code, !code && language.starts_with("rust"));
            continue;
        }
        let hidden = rust && (line == "#" || line.starts_with("# "));
        let brackets = line.match_indices("`]").any(|(at, _)| {
            let next = line[at + 2..].chars().next();
            line[..at].contains("[`") && !matches!(next, Some('(' | '[' | ':'))
        });
        let item = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        if hidden || (!code && (brackets || item.into_iter().any(|to| to.contains("::")))) {
            wrong.push(line.to_owned());
        }
    }
    wrong
}

#[test]
fn pages_are_whole_without_rustdoc() -> Result<()> {
    let mut found = Vec::new();
    pages(&workspace(), &mut found)?;
    assert!(found.len() > 20, "only {} pages", found.len());
    for path in found {
        let wrong = only_rustdoc(&std::fs::read_to_string(&path)?);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
    }
    Ok(())
}

#[test]
fn what_only_rustdoc_understands_is_found() {
    let page =
        "# Title\n[`f`] and [g](a::g) and [`h`](h.md)\n```rust\n# Ok(())\n```\n```sh\n# x\n```\n";
    assert_eq!(only_rustdoc(page), ["[`f`] and [g](a::g) and [`h`](h.md)", "# Ok(())"]);
}
