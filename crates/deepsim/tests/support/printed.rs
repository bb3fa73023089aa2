//! Commands that the pages print, for tests that parse them. The tests of `xtask` include this file too.

use std::path::{Path, PathBuf};

/// A command of a page.
#[derive(Debug, PartialEq)]
pub(crate) struct Printed {
    /// Words after `deepsim` or `cargo xtask`.
    pub(crate) words: Vec<String>,
    /// True for `cargo xtask`.
    pub(crate) xtask: bool,
    /// True within a sentence, where required arguments may be left out.
    pub(crate) inline: bool,
}

/// Returns the pages of the workspace with their texts: those at its root, in `docs` and `data`, and of crates.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = root.into_iter().find(|folder| folder.join("docs/results").is_dir());
    let root = root.expect("the package is in its workspace");
    let mut found = Vec::new();
    collect(&root.join("docs"), &mut found);
    collect(&root.join("data"), &mut found);
    let crates = std::fs::read_dir(root.join("crates")).expect("the folder of the crates");
    let own = crates.map(|entry| entry.expect("a crate").path().join("README.md"));
    found.extend(["README.md", "CONTRIBUTING.md"].map(|page| root.join(page)));
    found.extend(own.filter(|page| page.is_file()));
    let read = |page: PathBuf| {
        let text = std::fs::read_to_string(&page).expect("a page is UTF-8");
        (page, text)
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of pages") {
        let path = entry.expect("an entry").path();
        match path.extension() {
            _ if path.is_dir() => collect(&path, found),
            Some(extension) if extension == "md" => found.push(path),
            _ => {}
        }
    }
}

/// Returns the commands in fenced blocks and in code spans of a page.
pub(crate) fn commands(page: &str) -> Vec<Printed> {
    let (mut lines, mut prose, mut fence) = (Vec::<String>::new(), String::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some("" | "sh")) => match lines.last_mut() {
                Some(last) if last.ends_with('\\') => {
                    last.pop();
                    last.push_str(line);
                }
                _ => lines.push(line.to_owned()),
            },
            (None, Some(_)) => {}
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    // A span ends within its paragraph.
    let spans = prose.split("\n\n").flat_map(|text| text.split('`').skip(1).step_by(2));
    let fenced = lines.iter().filter_map(|line| command(line, false));
    fenced.chain(spans.filter_map(|span| command(span, true))).collect()
}

/// Returns a line as a command, if it is one of ours.
fn command(line: &str, inline: bool) -> Option<Printed> {
    let words = split(line);
    let first = words.iter().position(|word| !word.contains('='))?;
    let words = &words[first..];
    let text: Vec<&str> = words.iter().map(String::as_str).collect();
    let (start, xtask) = match &text[..] {
        ["cargo", "xtask", ..] => (2, true),
        ["cargo", "run", ..] => {
            let own = text.windows(2).any(|pair| pair == ["-p", "deepsim"]);
            (text.iter().position(|word| *word == "--").filter(|_| own)? + 1, false)
        }
        ["cargo", ..] => return None,
        ["mpirun" | "srun" | "torchrun", ..] => {
            (text.iter().position(|word| word.ends_with("/deepsim"))? + 1, false)
        }
        [program, ..] if *program == "deepsim" || program.ends_with("/deepsim") => (1, false),
        _ => return None,
    };
    let words: Vec<String> = words[start..].iter().map(|word| filled(word)).collect();
    let named =
        words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    (named && words[0] != "help").then_some(Printed { words, xtask, inline })
}

/// Returns the words of a line of a shell, without its comment.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::<String>::new(), String::new(), None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '#' && word.is_empty() => break,
            None if c.is_whitespace() => words.extend(Some(std::mem::take(&mut word))),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Returns a word with values in place of placeholders that a parser refuses.
fn filled(word: &str) -> String {
    match word {
        "N" | "PRICE" => "1".into(),
        word => word
            .replace("MEASURE...", "error")
            .replace("nets/small.toml:BLOCK", "exemplar-cnn:CONV3"),
    }
}

#[test]
fn commands_of_a_page_are_found_with_their_words() {
    let page = "Run `deepsim plan a\n--json`, not `deepsim COMMAND`.\n```\n# a comment\nA=1 deepsim train b \\\n  \
                --out \"c d\"   # ends\ncargo xtask bench step --rounds N\nmpirun -n 2 x/deepsim eval\nls\n```\n\
                ```rust\ndeepsim status\n```\n";
    let found: Vec<String> = commands(page)
        .iter()
        .map(|found| format!("{} {} {}", found.xtask, found.inline, found.words.join("|")))
        .collect();
    assert_eq!(
        found,
        [
            "false false train|b|--out|c d",
            "true false bench|step|--rounds|1",
            "false false eval",
            "false true plan|a|--json",
        ]
    );
}
