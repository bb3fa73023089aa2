//! Data sets of a hub that the test is itself, as data of the program.
#![cfg(all(feature = "cli", feature = "hub"))]

use std::path::Path;
use std::process::{Command, Output};

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../deepsim-fetch/tests/hub/server.rs"]
mod server;

use server::{COMMIT, Fault, Server};

/// Made by `fixtures/make_hub.py`: 20 training and 4 test pictures of two classes.
const TRAIN: &[u8] = include_bytes!("fixtures/hub/train.parquet");
const TEST: &[u8] = include_bytes!("fixtures/hub/test.parquet");

/// A run of one step on crops of 16 pixels.
const RECIPE: &str = r#"
name = "pixels"
steps = 1
batch = 1
crop = 16
[image]
distance = "squared-error"
weight = 1.0
"#;

fn hub() -> Server {
    Server::start(&[
        ("default/train/0000.parquet", TRAIN.to_vec()),
        ("default/test/0000.parquet", TEST.to_vec()),
    ])
}

/// Runs the program in a folder, whose cache of the hub is in it.
fn deepsim(folder: &Path, endpoint: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    for variable in ["HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"] {
        command.env_remove(variable);
    }
    if endpoint.is_empty() {
        command.env("HF_HUB_OFFLINE", "1");
    } else {
        command.env("HF_ENDPOINT", endpoint);
    }
    command.env("HF_HOME", folder.join("hf")).current_dir(folder).args(arguments);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the program printed; it must end well.
fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What the program said of an error.
fn refused(output: &Output) -> String {
    assert_ne!(output.status.code(), Some(0), "{}", text(&output.stdout));
    text(&output.stderr)
}

const CHECK: [&str; 3] = ["data", "check", "hub:someone/pictures"];

#[test]
fn a_data_set_of_the_hub_is_checked_and_trained_on_and_downloaded_once() {
    let (folder, server) = (tempfile::tempdir().expect("a folder"), hub());
    let report = printed(&deepsim(folder.path(), &server.url(), &CHECK));
    for words in ["train: 20 pictures", "test: 4 pictures", "2 classes, of 10 (`cat`)"] {
        assert!(report.contains(words), "no `{words}` in\n{report}");
    }
    assert_eq!(server.count("GET /store"), 2);
    std::fs::write(folder.path().join("pixels.toml"), RECIPE).expect("a recipe");
    let train = ["train", "pixels.toml", "--out", "run", "--data", CHECK[2]];
    printed(&deepsim(folder.path(), &server.url(), &train));
    assert_eq!(server.count("GET /store"), 2, "what is here is not downloaded again");
    let plan = std::fs::read_to_string(folder.path().join("run/plan.toml")).expect("a plan");
    for words in [&format!("someone/pictures@{COMMIT}"), "images = 20", "those of `COMMIT`"] {
        let words = words.replace("COMMIT", COMMIT);
        assert!(plan.contains(&words), "no `{words}` in\n{plan}");
    }
    // Without the hub.
    drop(server);
    assert_eq!(printed(&deepsim(folder.path(), "", &CHECK)), report);
}

#[test]
fn without_a_test_split_the_validation_split_or_a_share_is_held_out() {
    for (other, words) in [("validation", "test: 4 pictures"), ("more", "")] {
        let folder = tempfile::tempdir().expect("a folder");
        let name = format!("data/{other}-00000-of-00001.parquet");
        let train = "data/train-00000-of-00001.parquet";
        let server = Server::start(&[(train, TRAIN.to_vec()), (&name, TEST.to_vec())]);
        let report = printed(&deepsim(folder.path(), &server.url(), &CHECK));
        assert!(report.contains("train: 20 pictures") && report.contains(words), "{report}");
        let share = [&CHECK[..], &["--test-share", "0.25"]].concat();
        let report = printed(&deepsim(folder.path(), &server.url(), &share));
        assert!(report.contains("train: 15 pictures"), "{report}");
        assert!(report.contains("test: 5 pictures"), "{report}");
    }
}

#[test]
fn unknown_data_sets_and_a_hub_that_fails_are_named() {
    let (folder, server) = (tempfile::tempdir().expect("a folder"), hub());
    server.fault("/api/datasets/someone/nothing", Fault::Status(404), usize::MAX);
    let check = |data: &str| deepsim(folder.path(), &server.url(), &["data", "check", data]);
    let message = refused(&check("hub:someone/nothing"));
    assert!(message.contains("someone/nothing"), "{message}");
    let message = refused(&check("hub:someone"));
    assert!(message.contains("hub:someone: expected hub:OWNER/NAME"), "{message}");
    // A test split that is there and does not come is no reason to hold out a share of the others.
    server.fault("GET /store/default/test", Fault::WrongBytes, usize::MAX);
    let message = refused(&check(CHECK[2]));
    assert!(message.contains("default/test/0000.parquet"), "{message}");
    let message = refused(&deepsim(folder.path(), "", &["data", "check", "hub:someone/else"]));
    assert!(
        message.contains("someone/else: split train") && message.contains("offline"),
        "{message}"
    );
}
