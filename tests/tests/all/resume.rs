//! A run is a function of its recipe and seed: not of the number of threads, and not of whether it
//! was interrupted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deepsim_nets::random::stream;
use rand_core::Rng;

use crate::hostile::write_stl10;
use crate::programs::{
    TINY, assert_success, bytes, deepsim, errors, folder_with_recipe, newest, results, train,
};

#[test]
fn one_and_two_threads_write_the_same_bytes() {
    let folder = folder_with_recipe(TINY);
    for (out, threads) in [("one", "1"), ("two", "2"), ("five", "5")] {
        assert_success(&train(folder.path(), out, &["--threads", threads]));
    }
    let one = results(folder.path(), "one");
    for other in ["two", "five"] {
        assert!(one == results(folder.path(), other), "the results of {other} differ");
    }
}

#[test]
fn another_seed_writes_other_bytes() {
    let folder = folder_with_recipe(TINY);
    for (out, seed) in [("a", "seed=1"), ("b", "seed=2")] {
        assert_success(&train(folder.path(), out, &["--set", seed, "--set", "steps=1"]));
    }
    assert!(results(folder.path(), "a")[1] != results(folder.path(), "b")[1]);
}

#[test]
fn half_a_run_resumed_equals_a_whole_one() {
    // Another part of the images is compared in each step.
    let folder = folder_with_recipe(&TINY.replace("rho = 2.0", "rho = 2.0\nplaces = 3"));
    assert_success(&train(folder.path(), "whole", &[]));
    assert_success(&train(folder.path(), "halves", &["--set", "steps=2"]));
    assert_success(&train(folder.path(), "halves", &["--resume"]));
    assert!(results(folder.path(), "whole") == results(folder.path(), "halves"));
    let steps = |out| {
        let log = String::from_utf8(bytes(&folder.path().join(out), "log.jsonl"));
        log.expect("the log is text").matches("\"step\":").count()
    };
    assert_eq!((steps("whole"), steps("halves")), (4, 4), "no step is logged twice or lost");
    // Once more, there is nothing to do, and the program says so.
    let output = train(folder.path(), "halves", &["--resume"]);
    assert_success(&output);
    let said = "halves: finished at step 4, nothing is left to train";
    assert!(errors(&output).contains(said), "{}", errors(&output));
}

#[test]
fn a_run_continues_on_the_same_images_wherever_they_are_and_on_no_others() {
    let folder = folder_with_recipe(TINY);
    let data = |name: &str| folder.path().join(name);
    std::fs::create_dir(data("data")).expect("a folder");
    write_stl10(&data("data"));
    assert_success(&train(folder.path(), "whole", &["--data", "data"]));
    assert_success(&train(folder.path(), "halves", &["--data", "data", "--set", "steps=2"]));
    // Moved, with other times.
    std::fs::rename(data("data"), data("moved")).expect("another name");
    let images = bytes(&data("moved"), "unlabeled_X.bin");
    std::fs::write(data("moved").join("unlabeled_X.bin"), &images).expect("written again");
    std::fs::create_dir(data("other")).expect("a folder");
    write_stl10(&data("other"));
    let inverted: Vec<u8> = images.iter().map(|value| !value).collect();
    std::fs::write(data("other").join("unlabeled_X.bin"), inverted).expect("as many others");
    let resume = |more: &[&str]| train(folder.path(), "halves", &[&["--resume"], more].concat());
    for (more, words) in [
        (&["--data", "other"][..], "it holds a run on other data: expected 20 images in STL-10's"),
        (&[], "name the data that it was begun with, or choose another folder"),
        (&["--data", "moved", "--set", "seed=9"], "another plan"),
        // The keys that differ, and no others.
        (
            &["--data", "moved", "--set", "seed=9", "--set", "batch=3"],
            "cannot be continued:\n  batch: expected 2, found 3\n  seed: expected 0, found 9\nrepeat the command",
        ),
    ] {
        let output = resume(more);
        assert_eq!(output.status.code(), Some(1), "{more:?}: {}", errors(&output));
        assert!(errors(&output).contains(words), "{more:?}: {}", errors(&output));
    }
    assert_success(&resume(&["--data", "moved"]));
    assert!(results(folder.path(), "whole") == results(folder.path(), "halves"));
}

/// Returns the files below a run folder.
fn files(run: &Path) -> BTreeSet<PathBuf> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![run.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    files.insert(path.strip_prefix(run).expect("below the run").to_path_buf());
                }
            }
        }
    }
    files
}

#[test]
#[cfg(unix)]
fn fifty_kills_at_any_moment_change_nothing() {
    // Two at a time: each is a single thread for most of its life.
    const LANES: u64 = 2;
    const KILLS: usize = 25;
    // The recipe of the autoencoder, on a few small crops, with a checkpoint after every step.
    let recipe = deepsim_run::recipes::text("autoencoder-alexnet-conv3").expect("the recipe");
    let folder = folder_with_recipe(recipe);
    let set = "--set steps=40 --set batch=2 --set crop=40 --set output.checkpoint_every=1 \
               --set output.log_every=1 --set output.grid_every=3";
    let mut arguments: Vec<&str> = set.split_whitespace().collect();
    let start = Instant::now();
    assert_success(&train(folder.path(), "whole", &arguments));
    let whole_run = start.elapsed();
    arguments.push("--resume");

    let (folder, arguments) = (folder.path(), &arguments);
    let lane = &|lane: u64| {
        let (mut kills, mut runs) = (0, 0);
        let mut rng = stream(1, "kills", lane);
        while kills < KILLS {
            let out = format!("killed-{lane}-{runs}");
            kills += killed_and_resumed(folder, &out, arguments, || {
                whole_run.mul_f64(f64::from(rng.next_u32()) / 2f64.powi(32) * 0.3)
            });
            runs += 1;
        }
    };
    std::thread::scope(|scope| {
        for number in 0..LANES {
            scope.spawn(move || lane(number));
        }
    });
}

/// Starts a run again and again, each time until it is killed after a while, up to its end; how often it was
/// killed. It must end as the run `whole` did.
#[cfg(unix)]
fn killed_and_resumed(
    folder: &Path,
    out: &str,
    arguments: &[&str],
    mut after: impl FnMut() -> Duration,
) -> usize {
    let mut kills = 0;
    let mut command = Command::new(deepsim());
    command.current_dir(folder).args(["train", "recipe.toml", "--out", out]).args(arguments);
    let command = command.stderr(Stdio::null());
    // Until the run is finished: from before its first file to some steps later.
    loop {
        let mut child = command.spawn().expect("deepsim runs");
        std::thread::sleep(after());
        let finished = child.try_wait().expect("the run is seen").is_some();
        child.kill().expect("the run can be killed");
        let status = child.wait().expect("the run ends");
        if finished {
            assert!(status.success(), "after {kills} kills: {status}");
            break;
        }
        kills += 1;
    }
    let [whole, killed] = ["whole", out].map(|out| folder.join(out));
    assert!(results(folder, "whole") == results(folder, out), "{out}");
    let manifest = |run: &Path| std::fs::read(newest(run, "MANIFEST.json")).expect("a manifest");
    assert!(manifest(&whole) == manifest(&killed), "the manifest of {out} differs");
    assert_eq!(files(&whole), files(&killed), "{out} has the same files, and no others");
    let log = |run: &Path| {
        let log = String::from_utf8(bytes(run, "log.jsonl")).expect("the log is text");
        let line = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).expect("an object");
            let record = value.as_object_mut().expect("an object");
            record.retain(|key, _| !["seconds", "items_per_s"].contains(&key.as_str()));
            value
        };
        log.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(log(&whole), log(&killed), "{out}: no step is logged twice, or lost");
    kills
}

/// A long run, once it has made a step.
#[cfg(unix)]
fn started(folder: &Path) -> Child {
    let mut command = Command::new(deepsim());
    command.current_dir(folder).args([
        "train",
        "recipe.toml",
        "--out",
        "run",
        "--set",
        "steps=100000",
    ]);
    command.args(["--set", "output.checkpoint_every=100000"]);
    let child = command.stderr(Stdio::piped()).spawn().expect("deepsim runs");
    let log = folder.join("run/log.jsonl");
    wait_for(|| std::fs::metadata(&log).is_ok_and(|m| m.len() > 0));
    child
}

#[cfg(unix)]
fn wait_for(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

#[test]
#[cfg(unix)]
fn a_signal_to_stop_saves_a_checkpoint_and_exits_with_130() {
    for name in ["-INT", "-TERM"] {
        let folder = folder_with_recipe(TINY);
        let child = started(folder.path());
        signal(&child, name);
        let output = child.wait_with_output().expect("the run ends");
        assert_eq!(output.status.code(), Some(130), "{name}: {}", errors(&output));
        assert!(errors(&output).contains("checkpoint saved at step"), "{}", errors(&output));
        assert!(newest(&folder.path().join("run"), "checkpoint.safetensors").exists());
        assert!(!folder.path().join("run/done.json").exists());
    }
}

#[test]
#[cfg(unix)]
fn a_second_signal_to_stop_leaves_at_once_with_131() {
    // A step that takes long: the first signal cannot be obeyed before the second one comes.
    let folder = folder_with_recipe(TINY);
    let mut command = Command::new(deepsim());
    command.current_dir(folder.path()).args(["train", "recipe.toml", "--out", "run"]);
    let child = command.args(["--set", "batch=512"]).stderr(Stdio::piped()).spawn();
    let child = child.expect("deepsim runs");
    wait_for(|| folder.path().join("run/log.jsonl").exists());
    signal(&child, "-TERM");
    std::thread::sleep(Duration::from_millis(50));
    signal(&child, "-TERM");
    let output = child.wait_with_output().expect("the run ends");
    assert_eq!(output.status.code(), Some(131), "{}", errors(&output));
    let words = "ended at once, before the first checkpoint: all steps are lost";
    assert!(errors(&output).contains(words), "{}", errors(&output));
    assert!(!newest(&folder.path().join("run"), "checkpoint.safetensors").exists());
}

#[test]
#[cfg(unix)]
fn sigusr1_saves_a_checkpoint_and_training_goes_on() {
    let folder = folder_with_recipe(TINY);
    let child = started(folder.path());
    let run = folder.path().join("run");
    for _ in 0..2 {
        let before = newest(&run, "checkpoint.safetensors");
        signal(&child, "-USR1");
        wait_for(|| newest(&run, "checkpoint.safetensors") != before);
    }
    // Meanwhile no one else may train in that folder.
    let other = train(folder.path(), "run", &["--resume", "--set", "steps=100000"]);
    assert_eq!(other.status.code(), Some(1), "{}", errors(&other));
    assert!(errors(&other).contains("another program is training in it"), "{}", errors(&other));
    signal(&child, "-TERM");
    assert_eq!(child.wait_with_output().expect("the run ends").status.code(), Some(130));
}

#[test]
fn a_folder_is_never_overwritten_by_accident() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=1"]));
    let before = results(folder.path(), "run");

    let again = train(folder.path(), "run", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(errors(&again).contains("it holds a run at step 1"), "{}", errors(&again));
    let other = train(folder.path(), "run", &["--resume", "--set", "image.weight=1.0"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(errors(&other).contains("another plan"), "{}", errors(&other));
    assert!(before == results(folder.path(), "run"), "the checkpoint was touched");
}

#[test]
fn a_run_begins_with_the_weights_of_another_one_of_the_same_network() {
    let folder = folder_with_recipe(TINY);
    let at = folder.path();
    assert_success(&train(at, "first", &["--set", "steps=2"]));
    // Without updates the weights stay what they were: those of the run, or of its file, averaged or not.
    let still = ["--set", "steps=1", "--set", "adam.learning_rate=1e-30", "--set", "init=first"];
    let first = bytes(&at.join("first"), "generator.safetensors");
    assert_success(&train(at, "folder", &still));
    assert!(bytes(&at.join("folder"), "generator.safetensors") == first);
    let averaged = [&still[..], &["--set", "average=0.5"]].concat();
    assert_success(&train(at, "averaged", &averaged));
    assert!(bytes(&at.join("averaged"), "generator.safetensors") == first);
    let file = [&still[..5], &["init=first/generator.safetensors"]].concat();
    assert_success(&train(at, "file", &file));
    assert!(bytes(&at.join("file"), "generator.safetensors") == first);

    // Another network, and none at all: nothing is written.
    let wider = [&still[..], &["--set", "generator.code_channels=16"]].concat();
    for (more, words) in [
        (&wider[..], "first/generator.safetensors: expected weights of {"),
        (&["--set", "init=nothing"], "nothing"),
    ] {
        let output = train(at, "other", more);
        assert!(!output.status.success() && errors(&output).contains(words), "{}", errors(&output));
        assert!(!at.join("other").exists());
    }

    // A run that is resumed has no need of the first one any more, and a whole one equals it.
    let set = ["--set", "init=first"];
    assert_success(&train(at, "whole", &set));
    assert_success(&train(at, "halves", &[&set[..], &["--set", "steps=2"]].concat()));
    std::fs::rename(at.join("first"), at.join("gone")).expect("renamed");
    assert_success(&train(at, "halves", &["--resume", "--set", "init=first"]));
    assert!(results(at, "whole") == results(at, "halves"));
}
