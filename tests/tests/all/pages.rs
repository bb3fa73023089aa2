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

/// The anchor that a forge gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Lines of a page outside of its fenced blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Links of a page that lead nowhere.
fn broken(path: &Path, page: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let folder = path.parent().unwrap_or(path);
    for link in prose(page).flat_map(|line| line.split("](").skip(1)) {
        let link = link.split(')').next().unwrap_or_default();
        if link.contains("://") {
            continue;
        }
        let (file, name) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { path.to_path_buf() } else { folder.join(file) };
        let there = target.exists() && {
            name.is_empty() || {
                let text = std::fs::read_to_string(&target)?;
                let mut headings = prose(&text).filter(|line| line.starts_with('#'));
                headings.any(|line| anchor(line.trim_start_matches('#')) == name)
            }
        };
        if !there {
            wrong.push(link.to_owned());
        }
    }
    Ok(wrong)
}

#[test]
fn links_between_pages_lead_somewhere() -> Result<()> {
    let mut found = Vec::new();
    pages(&workspace(), &mut found)?;
    for path in found {
        let wrong = broken(&path, &std::fs::read_to_string(&path)?)?;
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
    Ok(())
}

#[test]
fn a_link_to_a_missing_page_or_heading_is_found() -> Result<()> {
    let page = "# A `b`, c\n[x](#a-b-c) [y](#d) [z](pages.rs) [w](gone.md) [v](https://a.b/c)\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("page.md");
    std::fs::write(&path, page)?;
    assert_eq!(broken(&path, page)?, ["#d", "pages.rs", "gone.md"]);
    Ok(())
}

/// The table of CONTRIBUTING.md says where to change what.
#[test]
fn files_that_contributing_names_exist() -> Result<()> {
    let root = workspace();
    let page = std::fs::read_to_string(root.join("CONTRIBUTING.md"))?;
    let spans: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let is_path = |span: &&&str| {
        !span.contains([' ', '(', '\n', '!'])
            && !span.starts_with("..")
            && (span.contains('/') || span.ends_with(".toml"))
    };
    let paths: Vec<_> = spans.iter().filter(is_path).collect();
    assert!(paths.len() > 40, "only {} paths", paths.len());
    for path in paths {
        let there = root.join(path).exists() || root.join("crates").join(path).exists();
        assert!(there, "CONTRIBUTING.md: {path}");
    }
    Ok(())
}
