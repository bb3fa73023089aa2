//! Measures of a network that inverts an encoder: neighbours, the optimisation baseline, a picture
//! of the user's.

use std::path::Path;
use std::process::{Command, Output};

use deepsim_data::picture::Picture;
use serde_json::Value;

use crate::inversion::{DRAWS, TINY};
use crate::programs::{
    assert_success, bytes, checkpoint, deepsim, errors, folder_with_recipe, train,
};

fn started(arguments: &[&str]) -> Output {
    Command::new(deepsim()).args(arguments).output().expect("deepsim runs")
}

fn rows(run: &Path, measure: &str) -> Vec<Value> {
    let file = bytes(run, &format!("eval/{measure}.json"));
    let measured: Value = serde_json::from_slice(&file).expect("JSON");
    measured["rows"].as_array().expect("rows").clone()
}

fn value(row: &Value) -> f64 {
    row["value"].as_f64().expect("a number")
}

#[test]
fn noise_is_drawn_anew_in_every_step_and_the_same_after_a_resume() {
    let folder = folder_with_recipe(TINY);
    let noisy = ["--set", "inversion.noise=6"];
    assert_success(&train(folder.path(), "whole", &noisy));
    assert_success(&train(folder.path(), "halves", &[&noisy[..], &["--set", "steps=2"]].concat()));
    assert_success(&train(folder.path(), "halves", &[&noisy[..], &["--resume"]].concat()));
    let [whole, halves] = ["whole", "halves"].map(|out| folder.path().join(out));
    assert!(checkpoint(&whole) == checkpoint(&halves), "the checkpoints differ");

    let run = whole.to_str().expect("a name");
    assert_success(&started(&["eval", "presamples", "--run", run]));
    let rows = rows(&whole, "presamples");
    assert_eq!(rows.len(), 2);
    // After a few steps noise still matters; it can matter no more than all there is.
    for row in &rows {
        assert!((0.01..200.0).contains(&value(row)), "{row}");
    }
    let path = whole.join("eval/presamples.png");
    let picture = Picture::read_png(&path).expect("a picture");
    assert_eq!((picture.height, picture.width), (12 * 64, 9 * 64));
}

#[test]
fn pre_images_are_measured_and_drawn_of_a_photograph() {
    let folder = folder_with_recipe(TINY);
    let sets: Vec<&str> = DRAWS.iter().flat_map(|set| ["--set", *set]).collect();
    assert_success(&train(folder.path(), "run", &sets));
    let run = folder.path().join("run");
    let name = run.to_str().expect("a name");
    let measure = ["eval", "preimages", "--run", name, "--limit", "6", "--train-limit", "6"];
    assert_success(&started(&[&measure[..], &["--set", "preimages.draws=3"]].concat()));
    let found = rows(&run, "preimages");
    let of = |rows: &[Value], begins: &str| {
        let row = rows.iter().find(|row| row["name"].as_str().unwrap_or("").starts_with(begins));
        row.unwrap_or_else(|| panic!("{begins}")).clone()
    };
    let row = |begins: &str| value(&of(&found, begins));
    // After a few steps draws differ, less than photographs do.
    let share = row("share of photographs' distance, image space");
    assert!((0.01..150.0).contains(&share), "{share}");
    let calibration = row("spread over skill, image space");
    assert!((0.0001..1.5).contains(&calibration), "{calibration}");
    assert!(row("feature error of draws, alexnet CONV3") > 1.0);
    assert!(row("energy score, image space") > 1.0);
    assert!(row("share of photographs' distance, details of 8.0 to 16.0 pixels") > 0.0);
    assert!(row("nearest training image, image space") > 0.0);
    let sheet = Picture::read_png(&run.join("eval/preimages.png")).expect("a picture");
    assert_eq!((sheet.height, sheet.width), (6 * 64, 4 * 64));
    // Noise that is refined brings the features nearer, and draws still differ.
    let sets = ["--set", "preimages.draws=3", "--set", "preimages.refine=3"];
    assert_success(&started(&[&measure[..], &sets].concat()));
    let refined = rows(&run, "preimages");
    let [before, after] = [&found, &refined].map(|rows| value(&of(rows, "feature error of draws")));
    assert!(after < before, "{after} {before}");
    let share = of(&refined, "share of photographs' distance, image space");
    assert!(value(&share) > 0.0);
    assert!(share["note"].to_string().contains("noise refined in 3 steps"), "{share}");
    // More noise puts draws farther apart.
    let sets = ["--set", "preimages.draws=3", "--set", "preimages.noise=2"];
    assert_success(&started(&[&measure[..], &sets].concat()));
    let wide = of(&rows(&run, "preimages"), "share of photographs' distance, image space");
    assert!(value(&wide) > row("share of photographs' distance, image space"));
    assert!(wide["note"].to_string().contains("noise of deviation 2"), "{wide}");
    let output = started(&[&measure[..], &["--set", "preimages.noise=-1"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("deviation >= 0, found -1"), "{}", errors(&output));
    // Descent from other starts gives other images, which are no nearer than photographs.
    let sets = ["--set", "preimages.draws=2", "--set", "preimages.descent=3"];
    assert_success(&started(&[&measure[..], &sets].concat()));
    let share = of(&rows(&run, "preimages"), "share of photographs' distance, image space");
    assert!(value(&share) > 10.0 && share["note"].to_string().contains("by 3 steps of descent"));
    let both = ["--set", "preimages.refine=1", "--set", "preimages.descent=1"];
    let output = started(&[&measure[..], &both].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("expected no refine beside descent"), "{}", errors(&output));
    let both = ["--set", "preimages.noise=2", "--set", "preimages.descent=1"];
    let output = started(&[&measure[..], &both].concat());
    assert!(errors(&output).contains("expected no noise beside descent"), "{}", errors(&output));

    let path = |name: &str| folder.path().join(name).to_str().expect("a name").to_owned();
    let mut photo = Picture::new(90, 150, [200, 40, 10]);
    photo.paste(&Picture::new(90, 75, [10, 60, 220]), 0, 75);
    photo.write_png(&folder.path().join("photo.png")).expect("the photo is written");
    let (photo, out) = (path("photo.png"), path("alike.png"));
    // The encoder of the run is random.
    let sample = ["sample", "--run", name, "--like", &photo, "-n", "5", "--columns", "3"];
    assert_success(&started(&[&sample[..], &["--out", &out, "--refine", "3"]].concat()));
    let sheet = Picture::read_png(Path::new(&out)).expect("a picture");
    assert!(sheet.height > 2 * 64 && sheet.width > 3 * 64);
    let errors_of = |name: &str| {
        let rows: Value = serde_json::from_slice(&bytes(folder.path(), name)).expect("JSON");
        rows.as_array().expect("rows").clone()
    };
    let refined = errors_of("alike.json");
    assert_eq!(refined[0]["each"].as_array().map(Vec::len), Some(5));
    assert!(value(&refined[0]) < value(&refined[1]), "refining lowers the error: {refined:?}");
    // A picture is the same however many there are, and another one for another seed.
    let numbers = [("1", "0", "one.png"), ("3", "0", "three.png"), ("1", "1", "other.png")];
    for (n, seed, file) in numbers {
        let out = path(file);
        let sample = ["sample", "--run", name, "--like", &photo, "-n", n, "--seed", seed];
        assert_success(&started(&[&sample[..], &["--columns", "1", "--out", &out]].concat()));
    }
    assert!(bytes(folder.path(), "one.png") != bytes(folder.path(), "other.png"));
    let first = |file: &str| errors_of(file)[0]["each"][0].as_f64().expect("a number");
    assert_eq!(first("one.json"), first("three.json"));
    assert_ne!(first("one.json"), first("other.json"));
    let output = started(&["sample", "--run", name]);
    assert!(
        errors(&output).contains("expected --like PHOTO or --features FILE"),
        "{}",
        errors(&output)
    );
    let out = path("alike.png");
    let sample = ["sample", "--run", name, "--like", &photo, "-n", "2", "--out", &out];
    assert_success(&started(&[&sample[..], &["--noise", "0"]].concat()));
    let equal = errors_of("alike.json")[0]["each"].clone();
    assert_eq!(equal[0], equal[1], "without noise pictures are equal");
    let output = started(&[&sample[..], &["--noise=-1"]].concat());
    assert!(errors(&output).contains("deviation >= 0, found -1"), "{}", errors(&output));
    for (option, words) in
        [("--refine", "--refine: expected --like"), ("--noise=2", "--noise: expected --like")]
    {
        let output = started(&["sample", "--run", name, option]);
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
}

#[test]
fn a_generator_without_noise_has_no_presamples_and_an_encoder_keeps_its_seed() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "inversion.seed=3"]));
    let run = folder.path().join("run");
    let name = run.to_str().expect("a name");
    let output = started(&["eval", "presamples", "--run", name]);
    assert!(
        errors(&output).contains("expected a generator that takes noise"),
        "{}",
        errors(&output)
    );

    assert_success(&started(&[
        "eval",
        "error",
        "neighbours",
        "--run",
        name,
        "--limit",
        "8",
        "--train-limit",
        "40",
    ]));
    let error = rows(&run, "error");
    let note = error[1]["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("random weights (seed 3)"), "{note}");

    let nearest = rows(&run, "neighbours");
    let names: Vec<_> = nearest.iter().map(|row| row["name"].as_str().unwrap_or("")).collect();
    let of = |space: &str| format!("of the nearest training image, {space}");
    assert_eq!(names, [of("image space"), of("code")]);
    assert!(nearest.iter().all(|row| value(row) > 0.0));
    // With more candidates the nearest can only come nearer, and the shares grow.
    assert_success(&started(&["eval", "neighbours", "--run", name, "--train-limit", "400"]));
    for (few, many) in nearest.iter().zip(rows(&run, "neighbours")) {
        assert!(value(&many) > value(few), "{many} {few}");
    }
    let sheet = Picture::read_png(&run.join("eval/neighbours.png")).expect("a picture");
    assert_eq!((sheet.height, sheet.width), (4 * 64, 12 * 64));
}

#[test]
fn a_picture_of_ones_own_is_inverted() {
    let folder = folder_with_recipe(TINY);
    assert_success(&train(folder.path(), "run", &["--set", "steps=2"]));
    let path = |name: &str| folder.path().join(name).to_str().expect("a name").to_owned();
    let mut photo = Picture::new(90, 150, [200, 40, 10]);
    photo.paste(&Picture::new(90, 75, [10, 60, 220]), 0, 75);
    photo.write_png(&folder.path().join("photo.png")).expect("the photo is written");

    let (run, photo, out) = (path("run"), path("photo.png"), path("inverted"));
    assert_success(&started(&["invert", &photo, "--run", &run, "--out", &out]));
    let read = |file: &str| Picture::read_png(&folder.path().join("inverted").join(file));
    let original = read("original.png").expect("the original");
    let reconstruction = read("reconstruction.png").expect("the reconstruction");
    // The photo stretched to 72x72, and the middle 64x64 of that.
    assert_eq!((original.height, original.width), (64, 64));
    assert_eq!((reconstruction.height, reconstruction.width), (64, 64));
    assert_eq!(
        (&original.rgb[..3], &original.rgb[63 * 3..64 * 3]),
        (&[200, 40, 10][..], &[10, 60, 220][..])
    );
    let numbers = bytes(&folder.path().join("inverted"), "numbers.json");
    let rows: Value = serde_json::from_slice(&numbers).expect("JSON");
    assert_eq!(rows[0]["name"], "inverted features, alexnet CONV3 feature space, random weights");
    assert!(value(&rows[0]) > 0.0 && rows.as_array().is_some_and(|rows| rows.len() > 3));

    // Without a run by the autoencoder that comes with the project, at any side.
    let out = path("shipped");
    assert_success(&started(&["invert", &photo, "--side", "72", "--out", &out]));
    let read = |file: &str| Picture::read_png(&folder.path().join("shipped").join(file));
    let (original, image) = (read("original.png"), read("reconstruction.png"));
    let (original, image) = (original.expect("the original"), image.expect("the reconstruction"));
    assert_eq!((image.height, image.width), (72, 72));
    // It has been trained: a red and a blue half stay red and blue.
    let off = original.rgb.iter().zip(&image.rgb).map(|(a, b)| u64::from(a.abs_diff(*b)));
    assert!(off.sum::<u64>() < 30 * 3 * 72 * 72, "far from the photograph");
    for (side, more) in [("70", &[][..]), ("72", &["--run", &run])] {
        let output = started(&[&["invert", &photo, "--side", side][..], more].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains("side: expected"), "{}", errors(&output));
    }

    // Measures are written into a run folder; a file has none.
    let file = path("run/generator.safetensors");
    for command in [&["eval", "error", "--run", &file][..], &["invert", &photo, "--run", &file]] {
        let output = started(command);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            errors(&output).contains("expected a run folder, found a file"),
            "{}",
            errors(&output)
        );
    }

    std::fs::write(folder.path().join("text.jpg"), "no picture").expect("a file");
    let output = started(&["invert", &path("text.jpg"), "--run", &run, "--out", &path("nothing")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("text.jpg"), "{}", errors(&output));
    assert!(!folder.path().join("nothing").exists());
}
