//! Messages of the program: lines, JSON, traces, and values of options that are refused.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const RECIPE: &str = r#"
name = "tiny"
steps = 3
batch = 2
crop = 32
image = { distance = "squared-error", weight = 1.0 }

[output]
log_every = 1
checkpoint_every = 2
"#;

/// The program in a folder with a recipe, with one more variable.
fn run(folder: &Path, arguments: &[&str], (name, value): (&str, &str)) -> Output {
    std::fs::write(folder.join("recipe.toml"), RECIPE).expect("a recipe");
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG").env(name, value);
    command.output().expect("the program runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

const NOTHING: (&str, &str) = ("DEEPSIM_NOTHING", "");

/// The JSON of a trace: names of spans, each entered as often as it is left, and of threads.
fn trace(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).expect("a trace");
    let trace: Value = serde_json::from_slice(&text).expect("a whole trace");
    let entries = trace.as_array().expect("a list");
    let name = |entry: &Value| entry["name"].as_str().expect("a name").to_owned();
    let of = |phase: &str| {
        let mut names: Vec<_> = entries.iter().filter(|e| e["ph"] == phase).map(name).collect();
        names.sort();
        names
    };
    let begun = of("B");
    begun.iter().for_each(|name| assert!(of("E").contains(name), "{name} ends"));
    begun
}

#[test]
fn without_a_terminal_training_tells_in_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["train", "recipe.toml", "--out", "run"];
    let output = run(folder.path(), &arguments, NOTHING);
    let text = errors(&output);
    assert!(output.status.success() && output.stdout.is_empty(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let steps: Vec<&&str> = lines.iter().filter(|line| line.starts_with("step ")).collect();
    // The first and the last, as the rest follows within five seconds.
    let (first, last) = (steps.first().expect("steps"), steps.last().expect("steps"));
    assert!(first.starts_with("step 1/3 ETA ") && last.starts_with("step 3/3 ETA 0 s, "), "{text}");
    assert!(last.contains(" images/s "), "{text}");
    for line in ["checkpoint at step 2", "checkpoint at step 3"] {
        assert!(lines.contains(&line), "{text}");
    }
    assert!(!text.contains("training") && !text.contains('\x1b'), "{text}");
    // Finished: nothing is done again.
    let again = run(folder.path(), &[&arguments[..], &["--resume"]].concat(), NOTHING);
    assert!(again.status.success() && !errors(&again).contains("step 3/3"), "{}", errors(&again));
}

#[test]
fn filters_hide_messages_but_not_the_error_that_ends_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = ["train", "recipe.toml", "--out", "run"];
    let output = run(folder.path(), &train, ("RUST_LOG", "off"));
    assert!(output.status.success() && errors(&output).is_empty(), "{}", errors(&output));
    let quiet = run(folder.path(), &["train", "recipe.toml", "--out", "b"], ("RUST_LOG", "warn"));
    assert!(quiet.status.success() && errors(&quiet).is_empty(), "{}", errors(&quiet));
    for filter in ["off", "deepsim_train=debug"] {
        let failed = run(folder.path(), &["replay", "nothing"], ("RUST_LOG", filter));
        let text = errors(&failed);
        assert!(failed.status.code() == Some(1) && text.starts_with("error: "), "{text}");
        assert_eq!(text.matches("os error").count(), 1, "{text}");
    }
}

#[test]
fn every_line_of_json_is_an_object_with_time_level_and_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let output = run(folder.path(), &[arguments, &["--log-format", "json"]].concat(), NOTHING);
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("an object");
        (output.status.code(), errors(&output).lines().map(parse).collect::<Vec<_>>())
    };
    let (code, lines) = run(&["train", "recipe.toml", "--out", "run"]);
    assert_eq!(code, Some(0), "{lines:?}");
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(line["target"].as_str().is_some_and(|t| t.starts_with("deepsim")), "{line}");
    }
    let steps: Vec<&Value> =
        lines.iter().filter(|line| line["target"] == "deepsim_train::step").collect();
    assert_eq!(steps.len(), 3, "each step that is logged");
    assert_eq!((&steps[1]["fields"]["step"], &steps[1]["fields"]["steps"]), (&2.into(), &3.into()));
    assert_eq!(
        (&steps[1]["spans"][0]["name"], &steps[1]["spans"][0]["done"]),
        (&"training".into(), &2.into())
    );
    // The end of an operation, which has a line in text too.
    let ended = lines.last().expect("lines");
    assert_eq!(
        (&ended["fields"]["message"], &ended["span"]["name"]),
        (&"close".into(), &"training".into())
    );
    let (code, lines) = run(&["replay", "nothing"]);
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
}

#[test]
fn a_trace_is_whole_after_success_and_after_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trace.json");
    let with = |arguments: &[&str]| {
        // Filters of messages are none of the trace's business.
        run(folder.path(), &[arguments, &["--trace", "trace.json"]].concat(), ("RUST_LOG", "off"))
    };
    assert!(with(&["train", "recipe.toml", "--out", "run"]).status.success());
    let names = trace(&path);
    let waits = names.iter().filter(|name| *name == "data wait").count();
    assert!(waits >= 3, "one for each step: {names:?}");
    assert!(names.iter().any(|name| name == "read batch"), "of the loader's thread: {names:?}");
    assert_eq!(with(&["replay", "nothing"]).status.code(), Some(1));
    trace(&path);
}

#[test]
#[cfg(unix)]
fn a_trace_is_whole_after_a_signal_to_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("recipe.toml"), RECIPE).expect("a recipe");
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    command.current_dir(folder.path());
    command.args(["train", "recipe.toml", "--out", "run", "--set", "steps=100000"]);
    command.args(["--trace", "trace.json"]).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("the program runs");
    let log = folder.path().join("run/log.jsonl");
    let start = std::time::Instant::now();
    while !std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        assert!(start.elapsed().as_secs() < 60, "no step within a minute");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(trace(&folder.path().join("trace.json")).iter().any(|name| name == "training"));
}

#[test]
fn what_cannot_be_told_or_written_is_refused_before_work_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = ["train", "recipe.toml", "--out", "run"];
    let to_nowhere = [&train[..], &["--trace", "no/such/folder/trace.json"]].concat();
    let yaml = [&train[..], &["--log-format", "yaml"]].concat();
    let refused = |arguments: &[&str], variable, code, expected: &str| {
        let output = run(folder.path(), arguments, variable);
        let found = errors(&output);
        assert!(output.status.code() == Some(code) && found.starts_with(expected), "{found}");
        assert!(!folder.path().join("run").exists(), "{expected}: work started");
    };
    refused(&train, ("RUST_LOG", "deepsim=loud"), 2, "error: RUST_LOG: expected");
    refused(&train, ("DEEPSIM_ISA", "sse"), 2, "error: DEEPSIM_ISA: expected one of ");
    refused(&to_nowhere, NOTHING, 1, "error: --trace no/such/folder/trace.json: ");
    refused(&yaml, NOTHING, 2, "error: invalid value 'yaml'");
}
