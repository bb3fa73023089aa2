//! What people read about the targets is what the catalogue has.

use deepsim_reproduce::catalogue::{GROUPS, TARGETS};

fn read(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The table of targets, in Markdown.
fn table() -> String {
    let row = |id: &str, about: &str, paper: &str| {
        let paper = if paper.is_empty() { "-" } else { paper };
        format!("| `{id}` | {about} | {paper} |\n")
    };
    let targets = TARGETS.iter().map(|target| row(target.id, target.about, target.paper));
    let groups = GROUPS.iter().map(|group| row(group.id, group.about, group.paper));
    let head = "| target | what | paper |\n|---|---|---|\n".to_owned();
    head + &targets.chain(groups).collect::<String>()
}

#[test]
fn the_documented_targets_are_those_of_the_catalogue() {
    let path = "docs/reproduction.md";
    assert!(read(path).contains(&table()), "{path} lacks this table:\n{}", table());
}

#[test]
fn ci_expects_a_picture_of_every_figure() {
    let script = read(".ci/run");
    for target in TARGETS.iter().filter(|t| !t.pictures.is_empty() && !t.by_name_only) {
        let file = format!("{}.png", target.id);
        assert!(script.contains(&file), ".ci/run does not expect {file}");
    }
}
