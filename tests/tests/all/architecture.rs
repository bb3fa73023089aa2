//! The arrows between crates are those of `docs/architecture.md`, and no others.
//!
//! Everything is read from `cargo metadata --no-deps` and `Cargo.lock`: no network is used, and
//! dependencies for other platforms count too.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::programs::workspace;

/// A crate, and the crates of this workspace that it may depend on, tests and examples included.
const ARROWS: [(&str, &[&str]); 7] = [
    ("deepsim-ops", &[]),
    ("deepsim-data", &[]),
    ("deepsim-nets", &["deepsim-ops"]),
    ("deepsim-loss", &["deepsim-ops", "deepsim-nets"]),
    ("deepsim-train", &["deepsim-ops", "deepsim-data", "deepsim-nets", "deepsim-loss"]),
    ("deepsim-eval", &["deepsim-ops", "deepsim-data", "deepsim-nets", "deepsim-loss"]),
    ("xtask", &[]),
];

/// The member that tests all others, and may therefore depend on all of them.
const TESTS: &str = "deepsim-tests";

/// Crates that must stay free of candle: useful without a tensor library, or quick to build.
const WITHOUT_CANDLE: [&str; 2] = ["deepsim-data", "xtask"];

/// Crates whose presence means that something is compiled with a C compiler, or linked from outside.
/// `Cargo.lock` has the features that are off by default too: one that brings C needs a decision.
const NATIVE: [&str; 5] = ["cc", "cmake", "bindgen", "pkg-config", "pyo3"];

fn members() -> Vec<Package> {
    let mut command = MetadataCommand::new();
    command.manifest_path(workspace().join("Cargo.toml")).no_deps();
    command.other_options(vec!["--offline".to_owned()]);
    command.exec().expect("cargo metadata answers").packages
}

/// Arrows of `members` that `allowed` does not have, as `from -> to`.
fn unwanted(members: &[(String, Vec<String>)], allowed: &[(&str, &[&str])]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let mut found = Vec::new();
    for (name, dependencies) in members.iter().filter(|(name, _)| name != TESTS) {
        let row = allowed.iter().find(|(from, _)| from == name);
        let row = row.map_or(&[][..], |(_, to)| to);
        for to in dependencies {
            if names.contains(to.as_str()) && !row.contains(&to.as_str()) {
                found.push(format!("{name} -> {to}"));
            }
        }
    }
    found
}

/// Direct dependencies of every package of a `Cargo.lock`. Versions of a crate are not told apart:
/// what is reachable can only become more.
fn locked(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut package = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            package = name.trim_matches('"');
            packages.entry(package).or_default();
        } else if let Some(dependency) = line.strip_prefix(" \"") {
            let name = dependency.split(['"', ' ']).next().unwrap_or_default();
            packages.entry(package).or_default().push(name);
        }
    }
    packages
}

/// Everything that can be reached from `start`, in `start` too.
fn reachable<'a>(
    packages: &BTreeMap<&'a str, Vec<&'a str>>,
    start: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let mut waiting: Vec<&str> = start.into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(package) = waiting.pop() {
        if seen.insert(package) {
            waiting.extend(packages.get(package).into_iter().flatten());
        }
    }
    seen
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let members: Vec<(String, Vec<String>)> = members()
        .iter()
        .map(|m| (m.name.to_string(), m.dependencies.iter().map(|d| d.name.clone()).collect()))
        .collect();
    for (name, _) in &members {
        let known = name == TESTS || ARROWS.iter().any(|(known, _)| known == name);
        assert!(known, "{name} is new: give it a row in ARROWS and in docs/architecture.md");
    }
    for (name, _) in ARROWS {
        assert!(members.iter().any(|(member, _)| member == name), "{name} is gone");
    }
    let found = unwanted(&members, &ARROWS);
    assert!(found.is_empty(), "arrows that docs/architecture.md does not have: {found:?}");
}

#[test]
fn data_and_xtask_have_no_candle_in_their_tree() {
    let path = workspace().join("Cargo.lock");
    let text = std::fs::read_to_string(&path).expect("Cargo.lock is read");
    let packages = locked(&text);
    let candle = |package: &&str| package.starts_with("candle");
    let members = members();
    for name in WITHOUT_CANDLE {
        let member = members.iter().find(|m| *m.name == name).expect("a member");
        let normal = member.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        let tree = reachable(&packages, normal.map(|d| d.name.as_str()));
        let found: Vec<_> = tree.into_iter().filter(candle).collect();
        assert!(found.is_empty(), "{name} has {found:?} in its tree");
    }
    // The same search does find candle where it is.
    assert!(reachable(&packages, ["deepsim-train"]).iter().any(candle));
}

#[test]
fn nothing_but_rust_is_needed_to_build() {
    let path = workspace().join("Cargo.lock");
    let text = std::fs::read_to_string(&path).expect("Cargo.lock is read");
    let packages = locked(&text);
    let found: Vec<_> = NATIVE.into_iter().filter(|name| packages.contains_key(name)).collect();
    assert!(found.is_empty(), "{found:?} in Cargo.lock: a fresh machine has nothing but Rust");
    // The lock file was understood: it has the crates that everything rests on.
    assert!(["candle-core", "gemm", "serde"].iter().all(|name| packages.contains_key(name)));
}

#[test]
fn a_wrong_arrow_would_be_found() {
    let member = |name: &str, to: &[&str]| {
        (name.to_owned(), to.iter().map(|&to| to.to_owned()).collect::<Vec<_>>())
    };
    let members = [
        member("deepsim-ops", &["candle-core"]),
        member("deepsim-train", &["deepsim-ops", "serde"]),
        member("deepsim-eval", &["deepsim-train", "deepsim-ops"]),
        member(TESTS, &["deepsim-train", "deepsim-eval"]),
    ];
    assert_eq!(unwanted(&members, &ARROWS), ["deepsim-eval -> deepsim-train"]);
}
