//! Bad input: each case ends with a clear message, a documented exit code and nothing half-written.

use std::path::Path;
use std::process::Command;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

use crate::programs::{
    TINY, assert_success, bytes, checkpoint, deepsim, errors, folder_with_recipe, newest, train,
};

const IMAGE: usize = 3 * 96 * 96;

/// A small valid copy of STL-10's binary layout.
pub(crate) fn write_stl10(folder: &Path) {
    let write = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.join(name), bytes).expect("the data file is written");
    };
    let pixels = |n: usize| (0..n * IMAGE).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>();
    let labels = || (0..20).map(|i| i % 10 + 1).collect::<Vec<u8>>();
    write("unlabeled_X.bin", pixels(20));
    for split in ["train", "test"] {
        write(&format!("{split}_X.bin"), pixels(20));
        write(&format!("{split}_y.bin"), labels());
    }
    write("fold_indices.txt", b"0 1 2 3 4 5 6 7 8 9\n10 11 12 13 14 15 16 17 18 19\n".to_vec());
    write("class_names.txt", b"a b c d e f g h i j\n".to_vec());
}

fn no_temporary_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the run folder") {
        let name = entry.expect("an entry").file_name();
        assert!(!name.to_string_lossy().starts_with(".tmp"), "left behind: {}", name.display());
    }
}

#[test]
fn a_valid_copy_of_stl10_trains() {
    let folder = folder_with_recipe(TINY);
    write_stl10(folder.path());
    assert_success(&train(folder.path(), "run", &["--data", ".", "--set", "steps=1"]));
}

#[test]
fn test_images_are_left_out_of_training_when_asked() {
    let folder = folder_with_recipe(TINY);
    write_stl10(folder.path());
    let run = |out: &str| {
        let more = ["--data", ".", "--without-duplicates", "--set", "steps=1"];
        train(folder.path(), out, &more)
    };
    // Every image is a test image, so none is left.
    let output = run("none");
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("found 0 images"), "{}", errors(&output));
    let path = folder.path().join("unlabeled_X.bin");
    let mut images = bytes(folder.path(), "unlabeled_X.bin");
    images[3 * IMAGE..].iter_mut().for_each(|value| *value ^= 1);
    std::fs::write(path, images).expect("17 new images");
    assert_success(&run("some"));
    let plan = String::from_utf8(bytes(folder.path(), "some/plan.toml")).expect("text");
    assert!(plan.contains("images = 17") && plan.contains("without duplicates"), "{plan}");
    let output = train(folder.path(), "run", &["--without-duplicates"]);
    assert_eq!(output.status.code(), Some(2), "without data there is nothing to leave out");
}

#[test]
fn broken_data_is_named_with_its_numbers() {
    let labels = |at: usize, value: u8| {
        let mut labels: Vec<u8> = (0..20).map(|i| i % 10 + 1).collect();
        labels[at] = value;
        labels
    };
    let folds = |text: &str| text.as_bytes().to_vec();
    /// File, its new contents (none: it is removed), what must be said.
    type Case = (&'static str, Option<Vec<u8>>, &'static [&'static str]);
    let cases: [Case; 12] = [
        ("unlabeled_X.bin", Some(vec![0; IMAGE + 7]), &["unlabeled_X.bin", "27648", "27655 bytes"]),
        ("unlabeled_X.bin", Some(vec![]), &["unlabeled_X.bin", "found 0 bytes"]),
        ("train_X.bin", Some(vec![0; 19 * IMAGE]), &["train_y.bin", "19 labels", "found 20"]),
        ("test_y.bin", Some(labels(3, 0)), &["test_y.bin", "labels 1 to 10", "label 0 at image 3"]),
        ("train_y.bin", Some(labels(7, 11)), &["train_y.bin", "label 11 at image 7"]),
        ("train_y.bin", Some(vec![1; 5]), &["train_y.bin", "20 labels", "found 5 labels"]),
        (
            "fold_indices.txt",
            Some(folds("0 1 20\n")),
            &["fold_indices.txt", "0 to 19", "`20` in line 1"],
        ),
        ("fold_indices.txt", Some(folds("0 1\n2 x\n")), &["fold_indices.txt", "`x` in line 2"]),
        ("fold_indices.txt", Some(folds("0 -1\n")), &["fold_indices.txt", "`-1`"]),
        ("fold_indices.txt", Some(vec![]), &["fold_indices.txt", "no line"]),
        (
            "class_names.txt",
            Some(folds("cat dog\n")),
            &["class_names.txt", "10 class names", "found 2"],
        ),
        (
            "test_X.bin",
            None,
            &["expected a folder with STL-10", "found a folder without test_X.bin"],
        ),
    ];
    for (file, contents, words) in cases {
        let folder = folder_with_recipe(TINY);
        write_stl10(folder.path());
        match contents {
            Some(contents) => std::fs::write(folder.path().join(file), contents),
            None => std::fs::remove_file(folder.path().join(file)),
        }
        .expect("the data file is changed");
        let output = train(folder.path(), "run", &["--data", "."]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", errors(&output));
        for word in words {
            assert!(errors(&output).contains(word), "{file}: no `{word}` in: {}", errors(&output));
        }
        assert!(!folder.path().join("run").exists(), "{file}: a run folder was begun");
    }
}

#[test]
fn bad_recipes_and_arguments_exit_with_2() {
    let folder = folder_with_recipe(TINY);
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["--set", "stepps=3"],
            &["recipe.toml", "unknown field `stepps`", "did you mean `steps`?"],
        ),
        (&["--set", "adam.lr=3"], &["recipe.toml", "unknown field `lr`"]),
        (&["--set", "crop=41"], &["crop", "multiple of 8", "found 41"]),
        (&["--set", "feature.tap=CONV9"], &["CONV1, CONV2", "found `CONV9`"]),
        (&["--set", "feature.weight=1.0"], &["exactly one of `weight` and `rho`"]),
        (&["--no-such-option"], &["--no-such-option"]),
    ];
    for (arguments, words) in cases {
        let output = train(folder.path(), "run", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", errors(&output));
        for word in words {
            assert!(errors(&output).contains(word), "{arguments:?}: {}", errors(&output));
        }
        assert!(!folder.path().join("run").exists(), "{arguments:?}: a run folder was begun");
    }
    // A mistake in the file itself is shown with its line.
    let folder = folder_with_recipe(&TINY.replace("batch = 2", "batch = 2\nbath = 3"));
    let output = train(folder.path(), "run", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("bath = 3"), "{}", errors(&output));
    // And a missing file is not a mistake of the recipe.
    let mut command = Command::new(deepsim());
    let output = command.args(["train", "no.toml", "--out", "run"]).output().expect("deepsim runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("no.toml"), "{}", errors(&output));
}

#[test]
fn missing_and_foreign_weights_are_listed() {
    let folder = folder_with_recipe(TINY);
    let missing = train(folder.path(), "run", &["--weights", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("nowhere: no such folder"), "{}", errors(&missing));
    let missing = train(folder.path(), "run", &["--set", "feature.weights=nothing.safetensors"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("nothing.safetensors"), "{}", errors(&missing));

    // A generator is not an AlexNet: every missing and every unexpected tensor is listed.
    assert_success(&train(folder.path(), "first", &["--set", "steps=1"]));
    let foreign = ["--set", "feature.weights=first/generator.safetensors"];
    let output = train(folder.path(), "run", &foreign);
    assert_eq!(output.status.code(), Some(1));
    for word in
        ["conv1.weight: missing, expected shape [96, 3, 11, 11]", "encoder.c1.weight: unexpected"]
    {
        assert!(errors(&output).contains(word), "{}", errors(&output));
    }
    std::fs::write(folder.path().join("text.safetensors"), "not a weight file").expect("a file");
    let output = train(folder.path(), "run", &["--set", "feature.weights=text.safetensors"]);
    assert!(errors(&output).contains("not a valid safetensors file"), "{}", errors(&output));
    assert!(!folder.path().join("run").exists());
}

#[test]
fn weights_of_wrong_shape_or_type_are_all_listed() {
    // An AlexNet with one layer turned round and one bias in another precision.
    let shapes: [(&str, &[usize], Dtype); 10] = [
        ("conv1.weight", &[96, 3, 11, 11], Dtype::F32),
        ("conv1.bias", &[96], Dtype::F32),
        ("conv2.weight", &[48, 256, 5, 5], Dtype::F32),
        ("conv2.bias", &[256], Dtype::BF16),
        ("conv3.weight", &[384, 256, 3, 3], Dtype::F32),
        ("conv3.bias", &[384], Dtype::F32),
        ("conv4.weight", &[384, 192, 3, 3], Dtype::F32),
        ("conv4.bias", &[384], Dtype::F32),
        ("conv5.weight", &[256, 192, 3, 3], Dtype::F32),
        ("conv5.bias", &[256], Dtype::F32),
    ];
    let zeros = vec![0; 4 * 384 * 256 * 9];
    let views = shapes.map(|(name, shape, dtype)| {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name, TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).expect("zeros"))
    });
    let folder = folder_with_recipe(TINY);
    let path = folder.path().join("alexnet.safetensors");
    serialize_to_file(views, None, &path).expect("the weights are written");
    let output = train(folder.path(), "run", &["--weights", "."]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    for word in [
        "alexnet.safetensors",
        "conv2.weight: expected f32 or f16 [256, 48, 5, 5], found F32 [48, 256, 5, 5]",
        "conv2.bias: expected f32 or f16 [256], found BF16 [256]",
    ] {
        assert!(errors(&output).contains(word), "no `{word}` in: {}", errors(&output));
    }
    assert!(!folder.path().join("run").exists());
}

#[test]
fn the_evaluation_names_what_it_cannot_use() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=1"]));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    write_stl10(&data);
    std::fs::write(data.join("test_y.bin"), [11; 20]).expect("the labels are changed");
    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["eval", "error", "--run", "nowhere"], 1, &["nowhere", "no such folder"]),
        (&["eval", "error", "--run", "empty"], 1, &["empty", "generator.safetensors"]),
        (
            &["eval", "svm", "--run", "run", "--data", "data"],
            1,
            &["test_y.bin", "label 11 at image 0"],
        ),
        (
            &["eval", "error", "--run", "run", "--data", "empty"],
            1,
            &["empty", "expected a folder with STL-10"],
        ),
        (&["compare", "a.png", "b.png"], 1, &["reading a.png"]),
        (&["eval", "guess", "--run", "run"], 2, &["unknown measure `guess`", "sharpness"]),
    ];
    for (arguments, code, words) in cases {
        let mut command = Command::new(deepsim());
        let output = command.current_dir(folder.path()).args(arguments).output();
        let output = output.expect("deepsim runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", errors(&output));
        for word in words {
            assert!(errors(&output).contains(word), "{arguments:?}: {}", errors(&output));
        }
        assert!(!folder.path().join("run/eval").exists(), "{arguments:?}: results were begun");
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=2"]));
    let before = checkpoint(&folder.path().join("run"));
    // The same run cannot be continued with another learning rate, so blow up a fresh one.
    let output = train(folder.path(), "wild", &["--set", "adam.learning_rate=1e30"]);
    assert_eq!(output.status.code(), Some(4), "{}", errors(&output));
    assert!(errors(&output).contains("loss is NaN"), "{}", errors(&output));
    assert!(errors(&output).contains("The last checkpoint is untouched"), "{}", errors(&output));
    assert!(!folder.path().join("wild/checkpoints").exists());
    assert!(!folder.path().join("wild/done.json").exists());
    assert!(before == checkpoint(&folder.path().join("run")));
}

#[test]
fn a_checkpoint_before_the_loss_blew_up_stays() {
    // Without a discriminator the first step is still finite, and is saved.
    let folder = folder_with_recipe(
        r#"
        name = "wild"
        steps = 4
        batch = 2
        crop = 40
        image = { distance = "squared-error", weight = 1.0 }
        adam = { learning_rate = 1e30 }
        output = { checkpoint_every = 1 }
        "#,
    );
    let output = train(folder.path(), "run", &[]);
    assert_eq!(output.status.code(), Some(4), "{}", errors(&output));
    assert!(errors(&output).contains("step 2: the image loss is"), "{}", errors(&output));
    let run = folder.path().join("run");
    let saved = checkpoint(&run);
    // Going on fails again at the same place and touches nothing.
    let again = train(folder.path(), "run", &["--resume"]);
    assert_eq!(again.status.code(), Some(4), "{}", errors(&again));
    assert!(errors(&again).contains("step 2: the image loss is"), "{}", errors(&again));
    assert!(saved == checkpoint(&run), "the checkpoint was touched");
    assert!(!run.join("done.json").exists());
    no_temporary_files(&run);
}

/// `deepsim train recipe.toml --out run --resume <more>` where no file can be larger than `blocks` of
/// 512 bytes; a write then fails with an error instead of a signal.
#[cfg(unix)]
fn train_with_room(folder: &Path, blocks: u32, more: &str) -> std::process::Output {
    let script = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec '{}' train recipe.toml --out run --resume {more}",
        deepsim().display()
    );
    let output = Command::new("sh").current_dir(folder).args(["-c", &script]).output();
    output.expect("sh runs")
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_old_checkpoint_whole() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=2"]));
    let run = folder.path().join("run");
    let (before, generator) = (checkpoint(&run), bytes(&run, "generator.safetensors"));
    // First the generator still fits, then it does not either.
    for blocks in [8000, 2000] {
        let output = train_with_room(folder.path(), blocks, "");
        assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
        for words in ["saving a checkpoint: writing run/checkpoints/", "are untouched"] {
            assert!(errors(&output).contains(words), "{}", errors(&output));
        }
        assert!(before == checkpoint(&run), "the old checkpoint was touched");
        assert!(generator == bytes(&run, "generator.safetensors"), "the generator was touched");
        let folders = std::fs::read_dir(run.join("checkpoints")).expect("the checkpoints");
        assert_eq!(folders.count(), 1, "half a checkpoint was left behind");
        no_temporary_files(&run);
    }
    // A recipe that says so trains on without checkpoints, but does not call it a success.
    let more = "--set steps=6 --set output.checkpoint_every=1 \
                --set output.on_failed_write=continue";
    let output = train_with_room(folder.path(), 8000, more);
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    assert_eq!(errors(&output).matches("training continues").count(), 3, "{}", errors(&output));
    assert!(before == checkpoint(&run), "the old checkpoint was touched");
    // With room again, the run continues.
    assert_success(&train(folder.path(), "run", &["--resume"]));
}

#[test]
fn damaged_checkpoints_are_refused_or_passed_over() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=1"]));
    let run = folder.path().join("run");
    let path = newest(&run, "checkpoint.safetensors");
    let whole = std::fs::read(&path).expect("the checkpoint");
    for contents in [whole[..whole.len() / 2].to_vec(), bytes(&run, "generator.safetensors")] {
        std::fs::write(&path, &contents).expect("the checkpoint is damaged");
        let output = train(folder.path(), "run", &["--resume"]);
        assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
        for words in ["checkpoint.safetensors: expected", "there is no other"] {
            assert!(errors(&output).contains(words), "{}", errors(&output));
        }
        assert!(contents == checkpoint(&run), "it was touched");
    }
    // An older one that is whole is taken instead, and the result is the same.
    std::fs::write(&path, &whole).expect("the checkpoint is whole again");
    assert_success(&train(folder.path(), "run", &["--resume"]));
    let last = checkpoint(&run);
    let broken = newest(&run, "checkpoint.safetensors");
    std::fs::write(&broken, &last[..99]).expect("the newest is damaged");
    let output = train(folder.path(), "run", &["--resume"]);
    assert_success(&output);
    assert!(errors(&output).contains("is broken, continuing from step 2"), "{}", errors(&output));
    assert!(last == checkpoint(&run));
}

#[test]
fn cuda_is_refused_clearly_by_a_program_built_without_it() {
    let folder = folder_with_recipe(TINY);
    let output = train(folder.path(), "run", &["--device", "cuda"]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("-p deepsim --features cuda"), "{}", errors(&output));
    assert!(!folder.path().join("run").exists());
}
