//! Folders of real photographs: trained on, interrupted and resumed, reproduced.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use deepsim_data::shards::Shards;
use deepsim_data::{PictureFiles, decode};

use crate::programs::{
    TINY, assert_success, bytes, deepsim, errors, folder_with_recipe, newest, results, run, train,
};
use crate::support::shared;

/// Evaluates a run by SVMs, which need labels, on data that have none.
fn assert_that_labels_are_missing(folder: &Path, run_folder: &str) {
    let output = run(folder, &["eval", "svm", "--run", run_folder, "--data", "mine"]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let message = errors(&output);
    assert!(message.contains("found training pictures without labels: mine"), "{message}");
}

#[test]
fn a_flat_folder_is_trained_on_and_a_killed_run_ends_with_the_same_bytes() {
    let Some(pack) = shared("stl10-pack/stl10_pack.tar") else { return };
    let folder = folder_with_recipe(TINY);
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).expect("a folder");
    // Copied, because an index is written beside an archive.
    let copy = folder.path().join("pack.tar");
    std::fs::copy(pack, &copy).expect("a copy");
    let pack = Shards::open(&copy.to_string_lossy()).expect("8000 pictures");
    let mut jpeg = Vec::new();
    for index in 0..200 {
        pack.read(index, &mut jpeg).expect("a JPEG");
        let picture = decode::decode(&jpeg, &pack.path(index)).expect("a picture");
        picture.write_png(&mine.join(format!("{index:03}.png"))).expect("a file");
    }
    let arguments = ["--data", "mine", "--set", "steps=30"];
    assert_success(&train(folder.path(), "whole", &arguments));
    let killed = folder.path().join("killed");
    let mut command = Command::new(deepsim());
    command.current_dir(folder.path()).args(["train", "recipe.toml", "--out", "killed"]);
    let mut child = command.args(arguments).stderr(Stdio::null()).spawn().expect("deepsim runs");
    while !newest(&killed, "MANIFEST.json").exists() {
        assert!(child.try_wait().expect("the run is seen").is_none(), "ended without a checkpoint");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("the run can be killed");
    assert!(!child.wait().expect("the run ends").success(), "killed in the middle");
    let resumed = [&arguments[..], &["--resume"]].concat();
    assert_success(&train(folder.path(), "killed", &resumed));
    assert!(results(folder.path(), "whole") == results(folder.path(), "killed"));
    let plan = String::from_utf8(bytes(&killed, "plan.toml")).expect("text");
    assert!(plan.contains("test = \"20 of 200 held out, a share of 0.1"), "{plan}");
    assert_that_labels_are_missing(folder.path(), "killed");
}

#[test]
fn tables_and_figures_are_reproduced_on_photographs() {
    let Some(photographs) = shared("photos256") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).expect("a folder");
    for entry in std::fs::read_dir(photographs).expect("photographs") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, mine.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let arguments = [
        &["reproduce", "table3", "fig3", "--scale", "smoke", "--out", "out", "--data", "mine"][..],
        &["--test-share", "0.25", "--upright", "--cache", "kept"],
    ]
    .concat();
    let plan = run(folder.path(), &[&arguments[..], &["--dry-run"]].concat());
    assert_success(&plan);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    for line in [
        "data, autoencoder: mine, a share of 0.25 held out, turned upright, kept in kept\n",
        "left out: svm: expected labelled training and test pictures in folds",
    ] {
        assert!(plan.contains(line), "no `{line}` in {plan}");
    }
    assert_success(&run(folder.path(), &arguments));
    let out = folder.path().join("out");
    let report = String::from_utf8(bytes(&out, "report/results.json")).expect("text");
    let data = "pictures of mine, without labels: 18 training and 6 test pictures";
    assert!(report.contains(data), "{report}");
    assert!(out.join("report/index.html").is_file());
    let kept = std::fs::read_dir(folder.path().join("kept")).expect("kept pictures").count();
    assert_eq!(kept, 1, "one file serves all runs");
    assert_that_labels_are_missing(folder.path(), "out/runs/autoencoder-se");
}
