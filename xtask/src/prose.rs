//! Openings of comments: how many blocks begin with a question word, or with a word that refers to nothing.

use std::path::Path;

use anyhow::{Context, Result};

use crate::process::say;
use crate::workspace;

const QUESTION: [&str; 8] = ["What", "Whether", "Where", "How", "Why", "Which", "Who", "When"];
const DANGLING: [&str; 10] =
    ["Of", "It", "Its", "That", "Those", "All", "They", "Their", "By", "As"];

/// Numbers of comment blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Blocks {
    all: usize,
    question: usize,
    dangling: usize,
}

impl Blocks {
    fn of(text: &str) -> Self {
        let (mut blocks, mut inside) = (Self::default(), false);
        for line in text.lines() {
            let comment = line.trim_start().strip_prefix("//").map(|rest| {
                let rest = rest.strip_prefix(['/', '!']).unwrap_or(rest);
                rest.split_whitespace().next().unwrap_or_default()
            });
            if let Some(first) = comment.filter(|first| !inside && !first.is_empty()) {
                let word = first.trim_matches(|c: char| ",.:;`[]*".contains(c));
                blocks.all += 1;
                blocks.question += usize::from(QUESTION.contains(&word));
                blocks.dangling += usize::from(DANGLING.contains(&word));
            }
            inside = comment.is_some();
        }
        blocks
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.question += other.question;
        self.dangling += other.dangling;
    }
}

/// Prints the totals of the workspace. It informs, and fails for no opening.
pub(crate) fn tell() -> Result<()> {
    let mut blocks = Blocks::default();
    for folder in ["crates", "examples", "tests", "xtask"] {
        count(&workspace::root().join(folder), &mut blocks)?;
    }
    let share = |of: usize| 100.0 * of as f64 / blocks.all.max(1) as f64;
    say(&format!(
        "== comments: of {} blocks {:.1} % open with a question word (goal: below 2 %), {:.1} % with a bare Of, Its or \
         the like (below 2 %)",
        blocks.all,
        share(blocks.question),
        share(blocks.dangling)
    ));
    Ok(())
}

fn count(folder: &Path, blocks: &mut Blocks) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry?.path();
        if path.is_dir() {
            count(&path, blocks)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path);
            blocks.add(Blocks::of(&text.with_context(|| format!("reading {}", path.display()))?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_of_blocks_are_counted_and_not_their_other_lines() {
        let text = "//! How it works.\n//! What is meant.\n\n/// `Of` a kind.\nfn f() {\n    // Returns.\n    //\n    // Where?\n}\n//\n";
        assert_eq!(Blocks::of(text), Blocks { all: 3, question: 1, dangling: 1 });
    }
}
