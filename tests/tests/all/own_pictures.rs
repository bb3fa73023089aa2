//! A folder of pictures of one's own is trained on, measured, reproduced and resumed like any data set.

use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_data::{Scenes, Source, scenes};

use crate::programs::{
    TINY, assert_success, bytes, errors, folder_with_recipe, results, run, train,
};

/// Writes `count` pictures, rectangles of several sizes, by class if there are any.
pub(crate) fn pictures(folder: &Path, count: usize, classes: &[&str]) {
    let scenes = Scenes::new(3, scenes::TRAIN, count);
    let mut planes = vec![0; 3 * 96 * 96];
    for index in 0..count {
        scenes.read(index, &mut planes).expect("a scene");
        let scene = Picture::from_planes(&planes, 96, 96);
        let mut picture = Picture::new(100 + index % 7, 130, [90, 120, 60]);
        picture.paste(&scene, index % 4, 30 - index % 20);
        let class = folder.join(classes.get(index % classes.len().max(1)).unwrap_or(&""));
        std::fs::create_dir_all(&class).expect("a folder");
        picture.write_png(&class.join(format!("{index:03}.png"))).expect("a file");
    }
}

/// Transforms that draw all that they can.
const TRANSFORM: &str = "transform=[{random_resized_crop={side=48}},{mirror={}},\
                         {colour_jitter={brightness=0.4,contrast=0.4,saturation=0.4,hue=0.1}}]";

#[test]
fn a_folder_is_trained_on_and_resumed_to_the_same_bytes() {
    let folder = folder_with_recipe(TINY);
    pictures(&folder.path().join("mine"), 24, &[]);
    for (name, more) in [("plain", &[][..]), ("transformed", &["--set", TRANSFORM])] {
        let train = |out: &str, others: &[&str]| {
            let all = [&["--data", "mine"], more, others].concat();
            assert_success(&train(folder.path(), &format!("{name}-{out}"), &all));
        };
        train("whole", &["--threads", "2"]);
        train("halves", &["--threads", "1", "--set", "steps=2"]);
        train("halves", &["--threads", "1", "--resume"]);
        let of = |out: &str| results(folder.path(), &format!("{name}-{out}"));
        assert!(of("whole") == of("halves"), "{name}");
    }
    let of = |out: &str| results(folder.path(), out);
    assert!(of("plain-whole") != of("transformed-whole"));
    // Kept pictures change the speed only; the second run reads what the first has kept.
    for out in ["kept", "kept-again"] {
        assert_success(&train(folder.path(), out, &["--data", "mine", "--cache", "kept-pictures"]));
        assert!(of(out) == of("plain-whole"), "{out}");
    }
    let kept = std::fs::read_dir(folder.path().join("kept-pictures")).expect("a folder").count();
    assert_eq!(kept, 1);
    let output =
        train(folder.path(), "none", &["--data", "mine", "--cache", "c", "--set", TRANSFORM]);
    assert!(
        errors(&output).contains("expected transforms that begin with resize or stretch"),
        "{}",
        errors(&output)
    );
    let plan = String::from_utf8(bytes(&folder.path().join("plain-whole"), "plan.toml"));
    let plan = plan.expect("text");
    assert!(
        plan.contains("test = \"2 of 24 held out, a share of 0.1 by a fixed permutation\""),
        "{plan}"
    );
    let held_out = bytes(&folder.path().join("plain-halves"), "held-out.txt");
    let held_out = String::from_utf8(held_out).expect("text");
    let held_out: Vec<&str> = held_out.lines().collect();
    assert_eq!(held_out.len(), 2);
    assert!(held_out.iter().all(|path| folder.path().join(path).is_file()), "{held_out:?}");
    // Another share trains on other pictures, and other transforms are another plan.
    for (more, words) in [
        (&["--test-share", "0.5"][..], "it holds a run on other data"),
        (&["--set", TRANSFORM], "another plan"),
    ] {
        let resumed = [&["--data", "mine", "--resume"], more].concat();
        let output = train(folder.path(), "plain-halves", &resumed);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
}

#[test]
fn class_folders_and_shards_are_measured_with_labels_and_others_are_refused_by_name() {
    let folder = folder_with_recipe(TINY);
    let mine = folder.path().join("mine");
    pictures(&mine.join("train"), 60, &["cat", "dog"]);
    pictures(&mine.join("val"), 8, &["cat", "dog"]);
    let pack = ["data", "pack", "mine", "--shards", "shards", "--samples", "16"];
    assert_success(&run(folder.path(), &pack));
    assert_success(&train(folder.path(), "run", &["--data", "mine"]));
    let eval = |data: &str, measures: &[&str]| {
        let more = ["--run", "run", "--data", data, "--svm-draws", "2", "--svm-input", "pixels"];
        run(folder.path(), &[&["eval"], measures, &more].concat())
    };
    let output = eval("mine", &["error", "svm", "grid"]);
    assert_success(&output);
    assert!(!errors(&output).contains("measured on"), "{}", errors(&output));
    let rows = String::from_utf8(bytes(&folder.path().join("run/eval"), "svm.json"));
    let rows = rows.expect("text");
    assert!(rows.contains("10 folds of 12 images, tested on 8"), "{rows}");
    assert_success(&eval("shards/train-{000000..000003}.tar", &["svm"]));
    assert_success(&eval("shards", &["svm"]));
    pictures(&folder.path().join("flat"), 24, &[]);
    let output = eval("flat", &["svm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("found training pictures without labels: flat"),
        "{}",
        errors(&output)
    );
    let output = eval("flat", &["error", "grid"]);
    assert_success(&output);
    let warning = "run: trained on mine (60 pictures), measured on";
    assert!(errors(&output).contains(warning), "{}", errors(&output));
    // Comparators are trained on the same kinds of data.
    std::fs::write(folder.path().join("net.toml"), EXEMPLARS).expect("written");
    for data in ["mine", "flat", "shards"] {
        let output = run(
            folder.path(),
            &["train", "net.toml", "--out", &format!("net-{data}"), "--data", data],
        );
        assert_success(&output);
    }
}

/// Exemplar-CNN in one step.
const EXEMPLARS: &str = r#"
name = "exemplars"
steps = 1
batch = 4
[comparator.exemplar-cnn.classes]
number = 4
first = 2
first_steps = 0
deformations = 2
[sgd]
momentum = 0.9
weight_decay = 0.004
schedule = [{ from = 0, rate = 0.01 }]
"#;
