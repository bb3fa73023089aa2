//! Errors and messages that say what to do next.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

use deepsim_data::picture::Picture;

const RECIPE: &str = r#"
name = "tiny"
steps = 2
batch = 2
crop = 32
image = { distance = "squared-error", weight = 1.0 }
"#;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    command.current_dir(folder).args(arguments).output().expect("the program runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a recipe, and `mine` with six pictures, a broken one and one in a format that is not read.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("recipe.toml"), RECIPE).expect("a recipe");
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).expect("a folder");
    for at in 0..6 {
        let picture = Picture::new(100 + at, 110, [90, 120, 60]);
        picture.write_png(&mine.join(format!("{at}.png"))).expect("a picture");
    }
    std::fs::write(mine.join("empty.jpg"), "").expect("a file");
    std::fs::write(mine.join("other.heic"), "no picture").expect("a file");
    folder
}

#[test]
fn a_broken_picture_ends_training_and_packing_with_the_command_that_finds_all() {
    let folder = folder();
    let pack = ["data", "pack", "mine", "--shards", "shards"];
    let smaller = [&pack[..], &["--resize", "50"]].concat();
    // Every picture is read in one step.
    let train = ["train", "recipe.toml", "--out", "run", "--data", "mine", "--set", "batch=24"];
    for arguments in [&train[..], &pack, &smaller] {
        let output = run(folder.path(), arguments);
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        let words = "mine/empty.jpg: expected a JPEG or PNG file, found an empty file; `deepsim data check mine` lists \
                     all broken files, to be moved away first";
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    assert!(!folder.path().join("shards/train-000000.tar").exists(), "no shard is half right");
    std::fs::remove_file(folder.path().join("mine/empty.jpg")).expect("moved away");
    assert!(run(folder.path(), &pack).status.success());
    let output = run(folder.path(), &train[..6]);
    let words = "run/held-out.txt lists the 2 test pictures";
    assert!(output.status.success() && errors(&output).contains(words), "{}", errors(&output));
    let held_out = std::fs::read_to_string(folder.path().join("run/held-out.txt")).expect("a list");
    assert!(held_out.lines().count() == 2 && held_out.starts_with("mine/"), "{held_out}");
}

#[test]
fn pictures_that_are_not_read_are_told_once() {
    let folder = folder();
    let output = run(folder.path(), &["data", "check", "mine"]);
    let all = errors(&output) + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(all.matches("1 .heic").count(), 1, "{all}");
    assert!(all.contains("1 broken file, to be moved away:"), "{all}");
}

#[test]
fn a_resume_without_a_run_says_that_training_starts_from_the_beginning() {
    let folder = folder();
    let train = ["train", "recipe.toml", "--out", "run", "--data", "scenes", "--resume"];
    let words = "run: no run to resume, training starts from the beginning";
    let first = run(folder.path(), &train);
    assert!(first.status.success() && errors(&first).contains(words), "{}", errors(&first));
    let second = run(folder.path(), &train);
    assert!(second.status.success() && !errors(&second).contains(words), "{}", errors(&second));
    assert!(!folder.path().join("run/held-out.txt").exists(), "scenes are no files");
}

#[test]
fn a_comparison_that_lacks_something_says_what() {
    let folder = folder();
    Picture::new(64, 48, [9; 3]).write_png(&folder.path().join("b.png")).expect("a picture");
    let (a, b) = ("mine/0.png", "b.png");
    for (more, code, words) in [
        (
            &[a, b][..],
            2,
            "two pictures of 110x100 pixels, found the second of 48x64; crop or resize one first",
        ),
        (
            &[a, a, "--map", "map.png"],
            2,
            "--map: expected one --measure, whose differences it draws, found none",
        ),
        (
            &[a, a, "--measure", "lpips-alex"],
            2,
            "the first from `deepsim download alexnet-torchvision`, the second",
        ),
        (&[a, a, "--measure", "lpips-vgg"], 2, "in the folder of --weights"),
    ] {
        let output = run(folder.path(), &[&["compare"], more].concat());
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
        assert!(text.contains(words), "{more:?}: {text}");
    }
    assert!(!folder.path().join("map.png").exists());
}
