//! A run is a function of its recipe and seed: not of the number of threads, and not of whether it
//! was interrupted.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::programs::{TINY, assert_success, bytes, errors, folder_with_recipe, program, train};

const FILES: [&str; 2] = ["checkpoint.safetensors", "generator.safetensors"];

#[test]
fn one_and_two_threads_write_the_same_bytes() {
    let folder = folder_with_recipe(TINY);
    for (out, threads) in [("one", "1"), ("two", "2"), ("five", "5")] {
        assert_success(&train(folder.path(), out, &["--threads", threads]));
    }
    for file in FILES {
        let one = bytes(&folder.path().join("one"), file);
        for other in ["two", "five"] {
            assert!(one == bytes(&folder.path().join(other), file), "{file} of {other} differs");
        }
    }
}

#[test]
fn another_seed_writes_other_bytes() {
    let folder = folder_with_recipe(TINY);
    for (out, seed) in [("a", "seed=1"), ("b", "seed=2")] {
        assert_success(&train(folder.path(), out, &["--set", seed, "--set", "steps=1"]));
    }
    let generator = |out| bytes(&folder.path().join(out), FILES[1]);
    assert!(generator("a") != generator("b"));
}

#[test]
fn half_a_run_resumed_equals_a_whole_one() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "whole", &[]));
    assert_success(&train(folder.path(), "halves", &["--set", "steps=2"]));
    assert_success(&train(folder.path(), "halves", &["--resume"]));
    for file in FILES {
        let whole = bytes(&folder.path().join("whole"), file);
        assert!(whole == bytes(&folder.path().join("halves"), file), "{file} differs");
    }
    let steps = |out| {
        let log = String::from_utf8(bytes(&folder.path().join(out), "log.jsonl"));
        log.expect("the log is text").matches("\"step\":").count()
    };
    assert_eq!((steps("whole"), steps("halves")), (4, 4), "no step is logged twice or lost");
}

#[test]
#[cfg(unix)]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "whole", &["--set", "steps=12"]));

    // Killed without warning once a checkpoint is there, then resumed.
    let start = || {
        let mut command = Command::new(program("deepsim-train"));
        let arguments = ["recipe.toml", "--out", "killed", "--resume", "--set", "steps=12"];
        command.current_dir(folder.path()).args(arguments);
        command.stderr(std::process::Stdio::null()).spawn().expect("deepsim-train runs")
    };
    let mut child = start();
    let checkpoint = folder.path().join("killed/checkpoint.safetensors");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !checkpoint.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(checkpoint.exists(), "no checkpoint within a minute");
    child.kill().expect("the run can be killed");
    child.wait().expect("the run ends");
    assert_success(&train(folder.path(), "killed", &["--resume", "--set", "steps=12"]));
    for file in FILES {
        let whole = bytes(&folder.path().join("whole"), file);
        assert!(whole == bytes(&folder.path().join("killed"), file), "{file} differs");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_a_checkpoint_and_exits_with_130() {
    let folder = folder_with_recipe(TINY);
    let mut command = Command::new(program("deepsim-train"));
    command.current_dir(folder.path());
    command.args(["recipe.toml", "--out", "run", "--set", "steps=100000"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("deepsim-train runs");
    let log = folder.path().join("run/log.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&log).map_or(0, |m| m.len()) == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("the run ends");
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert!(errors(&output).contains("checkpoint saved at step"), "{}", errors(&output));
    assert!(folder.path().join("run/checkpoint.safetensors").exists());
    assert!(!folder.path().join("run/done.json").exists());
}

#[test]
fn a_folder_is_never_overwritten_by_accident() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=1"]));
    let before = bytes(&folder.path().join("run"), FILES[0]);

    let again = train(folder.path(), "run", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(errors(&again).contains("it holds a run at step 1"), "{}", errors(&again));
    let other = train(folder.path(), "run", &["--resume", "--set", "image.weight=1.0"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(errors(&other).contains("another plan"), "{}", errors(&other));
    assert!(before == bytes(&folder.path().join("run"), FILES[0]), "the checkpoint was touched");
}
