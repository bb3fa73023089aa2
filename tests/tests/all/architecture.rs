//! The arrows between crates are those of `docs/architecture.md`, and no others.
//!
//! Everything is read from `cargo metadata --no-deps` and `cargo tree`; no network is used. The trees
//! are those of this platform.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::programs::workspace;

/// A crate, and the crates of this workspace that it may depend on, tests and examples included.
const ARROWS: [(&str, &[&str]); 14] = [
    ("deepsim-ops", &[]),
    ("deepsim-data", &[]),
    ("deepsim-fetch", &["deepsim-data"]),
    ("deepsim-nets", &["deepsim-ops"]),
    ("deepsim-import", &["deepsim-nets"]),
    ("deepsim-loss", &["deepsim-ops", "deepsim-nets"]),
    ("deepsim-run", &["deepsim-data", "deepsim-nets", "deepsim-loss"]),
    (
        "deepsim-train",
        &["deepsim-run", "deepsim-ops", "deepsim-data", "deepsim-nets", "deepsim-loss"],
    ),
    (
        "deepsim-eval",
        &["deepsim-run", "deepsim-ops", "deepsim-data", "deepsim-nets", "deepsim-loss"],
    ),
    (
        "deepsim",
        &[
            "deepsim-ops",
            "deepsim-data",
            "deepsim-fetch",
            "deepsim-nets",
            "deepsim-import",
            "deepsim-loss",
            "deepsim-run",
            "deepsim-train",
            "deepsim-eval",
            "deepsim-reproduce",
        ],
    ),
    (
        "deepsim-reproduce",
        &[
            "deepsim-data",
            "deepsim-fetch",
            "deepsim-nets",
            "deepsim-loss",
            "deepsim-run",
            "deepsim-train",
            "deepsim-eval",
        ],
    ),
    ("deepsim-examples", &["deepsim-ops", "deepsim-data", "deepsim-nets", "deepsim-loss"]),
    ("xtask", &[]),
    ("cuda-emulator", &[]),
];

/// The member that tests all others, and may therefore depend on all of them.
const TESTS: &str = "deepsim-tests";

/// Crates that only the program needs: no library brings a command line to those who use it.
const OF_THE_PROGRAM: [&str; 5] =
    ["clap", "indicatif", "signal-hook", "tracing-chrome", "tracing-subscriber"];

/// Packages that must not depend on candle: useful without a tensor library, or quick to build.
const WITHOUT_CANDLE: [&[&str]; 3] =
    [&["-p", "deepsim-data"], &["-p", "deepsim-fetch"], &["-p", "xtask"]];

/// Crates whose presence means that something is compiled with a C compiler, or linked from outside.
/// Only features that are off by default may bring them: `parquet` of deepsim-data, `hub` of deepsim-fetch and
/// `mpi` of deepsim-train do.
const NATIVE: [&str; 5] = ["cc", "cmake", "bindgen", "pkg-config", "pyo3"];

/// Every crate of the workspace with the names of all that it depends on.
fn members() -> Vec<(String, Vec<String>)> {
    let arguments = ["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"];
    let told: Value = serde_json::from_str(&cargo(&arguments)).expect("cargo metadata is JSON");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let member = |package: &Value| {
        (name(package), list(&package["dependencies"]).iter().map(name).collect())
    };
    list(&told["packages"]).iter().map(member).collect()
}

/// Output of cargo, or its message where it fails.
fn ask_cargo(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.current_dir(workspace()).args(arguments).output().expect("cargo starts");
    if !output.status.success() {
        return Err(format!("cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Output of cargo, which must succeed.
fn cargo(arguments: &[&str]) -> String {
    ask_cargo(arguments).unwrap_or_else(|error| panic!("{error}"))
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

/// Arguments of `cargo tree` that list all packages built for what is chosen, each as `format` says.
fn tree_of<'a>(chosen: &[&'a str], kinds: &'a str, format: &'a str) -> Vec<&'a str> {
    let always = ["tree", "--offline", "--locked", "--prefix", "none", "-e", kinds, "-f", format];
    [&always, chosen].concat()
}

/// Lines of `cargo tree`, without the mark of a package whose own packages were listed before.
fn lines(tree: &str) -> BTreeSet<String> {
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// Returns the names of the packages.
fn tree(chosen: &[&str], kinds: &str) -> BTreeSet<String> {
    let packages = lines(&cargo(&tree_of(chosen, kinds, "{p}")));
    packages.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let members = members();
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
    for chosen in WITHOUT_CANDLE {
        let tree = tree(chosen, "normal,build");
        let found: Vec<_> = tree.iter().filter(|name| name.starts_with("candle")).collect();
        assert!(found.is_empty(), "{chosen:?} has {found:?} in its tree");
    }
    // The same search does find candle where it is.
    assert!(tree(&["-p", "deepsim-train"], "normal,build").contains("candle-core"));
}

#[test]
fn libraries_have_no_command_line_in_their_tree() {
    let library = ["-p", "deepsim", "--no-default-features"];
    let found: Vec<_> = tree(&library, "normal,build").into_iter().collect();
    let wrong: Vec<_> = found.iter().filter(|name| OF_THE_PROGRAM.contains(&&***name)).collect();
    assert!(wrong.is_empty(), "the facade without `cli` has {wrong:?} in its tree");
    assert!(found.iter().any(|name| name == "deepsim-train"));
    let program = tree(&["-p", "deepsim"], "normal,build");
    assert!(OF_THE_PROGRAM.iter().all(|name| program.contains(*name)));
}

#[test]
fn nothing_but_rust_is_needed_to_build() {
    // The examples need candle-nn, which is not downloaded before they are built.
    let all = ["--workspace", "--exclude", "deepsim-examples"];
    let tree = tree(&all, "normal,build,dev");
    let found: Vec<_> = NATIVE.into_iter().filter(|name| tree.contains(*name)).collect();
    assert!(found.is_empty(), "{found:?} is built: a fresh machine has nothing but Rust");
    // The tree was understood: it has the crates that everything rests on.
    assert!(["candle-core", "gemm", "serde"].iter().all(|name| tree.contains(*name)));
}

/// Otherwise each of them is built from the ground up, which takes minutes.
#[test]
fn tests_and_programs_rest_on_the_same_crates_with_the_same_features() {
    let others = other_features(&[]).expect("the crates that are built are at hand");
    assert!(others.is_empty(), "tests have these with other features: {others:?}");
}

/// MPI's crates are downloaded by those who build with it. CI does, and asks again (`.ci/run`).
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn programs_with_mpi_rest_on_the_same_crates_with_the_same_features() {
    match other_features(&["--features", "deepsim/mpi"]) {
        Ok(others) => {
            assert!(others.is_empty(), "tests have these with other features: {others:?}")
        }
        Err(error) if error.contains("--offline was specified") => {
            eprintln!("skipped: the crates of the feature `mpi` are not downloaded");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Cargo unifies features over the packages that are named, and over what tests and examples need if any is built.
/// With the same packages, benchmarks (examples) are built as tests are, and programs are compared above.
#[test]
fn tests_programs_and_benchmarks_name_the_same_packages() {
    let sources = ["test.rs", "deepsim.rs", "mpi.rs", "bench/torch.rs"];
    for source in sources.map(|file| format!("xtask/src/{file}")) {
        let text = std::fs::read_to_string(workspace().join(&source)).expect("a source of xtask");
        assert!(text.contains("workspace::optimised("), "{source} builds another selection");
        let own = ["\"-p\", \"deepsim-train\"", "\"build\", \"--release\""];
        let found: Vec<_> = own.iter().filter(|own| text.contains(**own)).collect();
        assert!(found.is_empty(), "{source} names packages of its own: {found:?}");
    }
}

/// `SELECTION` of `xtask/src/workspace.rs`.
fn selection() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("xtask/src/workspace.rs"));
    let text = text.expect("a source of xtask");
    let (_, list) = text.split_once("const SELECTION").expect("it has the selection");
    let (_, list) = list.split_once("= [").expect("a list");
    let (list, _) = list.split_once("];").expect("its end");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Packages that programs are built with, with other features than tests have, except deepsim-train itself.
fn other_features(features: &[&str]) -> Result<Vec<String>, String> {
    const FORMAT: &str = "{p} | {f}";
    let name = |line: &String| line.split('|').next().expect("a name").to_owned();
    let selection = selection();
    let selection: Vec<&str> = selection.iter().map(String::as_str).collect();
    assert!(selection.starts_with(&["--workspace", "--exclude"]), "{selection:?}");
    let of_tests = lines(&cargo(&tree_of(&selection, "normal,build,dev", FORMAT)));
    let known: BTreeSet<String> = of_tests.iter().map(name).collect();
    let programs = [&selection[..], features].concat();
    let of_programs = lines(&ask_cargo(&tree_of(&programs, "normal", FORMAT))?);
    let others = of_programs.difference(&of_tests).filter(|line| known.contains(&name(line)));
    let own = |line: &str| line.starts_with("deepsim ") || line.starts_with("deepsim-train ");
    Ok(others.filter(|line| !own(line)).cloned().collect())
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
