//! `deepsim data`: what it reports of pictures, and what it packs.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

use deepsim_data::picture::Picture;
use deepsim_data::shards::Shards;
use deepsim_data::{PictureFiles, decode};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    command.current_dir(folder).arg("data").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder `mine` with training and test pictures of two classes, three of which are the same.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, name) in
        ["train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "train/dog/3", "val/dog/9"]
            .iter()
            .enumerate()
    {
        let path = folder.path().join(format!("mine/{name}.png"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut picture = Picture::new(120 + 10 * at, 150, [at as u8; 3]);
        picture.rgb.iter_mut().step_by(7).for_each(|value| *value = 200);
        picture.write_png(&path).expect("a file");
    }
    let of = |name: &str| folder.path().join("mine").join(name);
    std::fs::copy(of("train/cat/1.png"), of("train/cat/copy.png")).expect("a copy");
    std::fs::copy(of("train/cat/1.png"), of("val/dog/copy.png")).expect("a copy");
    std::fs::write(of("train/cat/a.webp"), "RIFF").expect("a file");
    folder
}

#[test]
fn sound_pictures_are_reported_with_sizes_classes_and_duplicates() {
    let folder = pictures();
    let output = run(folder.path(), &["check", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    for line in [
        "train: 6 pictures",
        "  5 sizes, sides from 120 to 160 pixels",
        "  2 classes, of 3 (`cat`) to 3 (`dog`) pictures",
        "test: 2 pictures",
        "1 picture in more than one file, 1 of them in several sets:",
        "no file is broken",
        "mine/train/cat/1.png = mine/train/cat/copy.png = mine/val/dog/copy.png",
    ] {
        assert!(report.contains(line), "no `{line}` in\n{report}");
    }
}

#[test]
fn broken_pictures_are_named_and_decide_the_exit_code() {
    let folder = pictures();
    let png = std::fs::read(folder.path().join("mine/train/cat/2.png")).expect("a file");
    std::fs::write(folder.path().join("mine/train/dog/short.png"), &png[..png.len() / 2])
        .expect("a file");
    std::fs::write(folder.path().join("mine/train/dog/none.jpg"), "not a picture").expect("a file");
    std::fs::write(folder.path().join("mine/train/dog/nothing.png"), "").expect("a file");
    let output = run(folder.path(), &["check", "mine"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    assert!(report.contains("3 broken files, to be moved away:"), "{report}");
    for line in [
        "train: 6 pictures",
        "  3 broken files not counted here",
        "none.jpg: expected a JPEG or PNG file, found text",
        "nothing.png: expected a JPEG or PNG file, found an empty file",
    ] {
        assert!(report.contains(line), "no `{line}` in\n{report}");
    }
    let output = run(folder.path(), &["check", "mine", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let broken = report["broken"].as_array().expect("a list");
    assert!(broken.iter().any(|b| b["path"] == "mine/train/dog/short.png"), "{report}");
    assert_eq!(report["sets"][0]["classes"][1], serde_json::json!(["dog", 3]));
    let output = run(folder.path(), &["check", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("opening nowhere"), "{}", text(&output.stderr));
    let output = run(folder.path(), &["check", "scenes"]);
    assert!(
        text(&output.stderr).contains("expected pictures in files"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn packed_pictures_are_those_of_the_folder_and_a_pack_goes_on() {
    let folder = pictures();
    let pack = |out: &str, more: &[&str]| {
        let arguments = [&["pack", "mine", "--shards", out, "--samples", "2"], more].concat();
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = pack("shards", &[]);
    assert!(
        told.contains("train: 6 pictures in 3 shards")
            && told.contains("test: 2 pictures in 1 shard\n"),
        "{told}"
    );
    let open =
        |name: &str| Shards::open(&folder.path().join(name).to_string_lossy()).expect("shards");
    let train = open("shards/train-*.tar");
    assert_eq!((train.len(), train.class_names()), (6, &["cat".to_owned(), "dog".to_owned()][..]));
    assert_eq!(
        (0..6).map(|index| train.label(index)).collect::<Vec<_>>(),
        [0, 0, 0, 1, 1, 1].map(Some)
    );
    let mut bytes = Vec::new();
    train.read(3, &mut bytes).expect("a picture");
    assert_eq!(bytes, std::fs::read(folder.path().join("mine/train/dog/1.png")).expect("a file"));
    // The validation set has one class only, whose number is that of the training set.
    assert_eq!(open("shards/test-000000.tar").label(0), Some(1));
    // After an interruption: the last shards and the list of all are missing.
    let list = folder.path().join("shards/train.json");
    let interrupted = std::fs::read_to_string(&list)
        .expect("a list")
        .replace("\"complete\": true", "\"complete\": false");
    let mut parsed: serde_json::Value = serde_json::from_str(&interrupted).expect("JSON");
    parsed["shards"].as_array_mut().expect("shards").truncate(1);
    std::fs::write(&list, parsed.to_string()).expect("written");
    let whole = std::fs::read(folder.path().join("shards/train-000002.tar")).expect("a shard");
    for shard in ["train-000001.tar", "train-000002.tar"] {
        std::fs::remove_file(folder.path().join("shards").join(shard)).expect("removed");
    }
    let first = std::fs::metadata(folder.path().join("shards/train-000000.tar")).expect("kept");
    pack("shards", &[]);
    assert_eq!(
        std::fs::read(folder.path().join("shards/train-000002.tar")).expect("a shard"),
        whole
    );
    let again = std::fs::metadata(folder.path().join("shards/train-000000.tar")).expect("kept");
    assert_eq!(
        first.modified().expect("a time"),
        again.modified().expect("a time"),
        "not written again"
    );
    // Smaller pictures.
    pack("small", &["--resize", "60"]);
    let small = open("small/train-*.tar");
    for index in 0..6 {
        small.read(index, &mut bytes).expect("a picture");
        let picture = decode::decode(&bytes, Path::new("a picture")).expect("a PNG");
        assert_eq!(picture.height.min(picture.width), 60);
    }
    // Shards are checked as folders are.
    let output = run(folder.path(), &["check", "shards"]);
    assert!(text(&output.stdout).contains("train: 6 pictures"), "{}", text(&output.stdout));
}

#[test]
fn pictures_are_packed_upright_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let photos =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deepsim-data/tests/fixtures/photos");
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).expect("a folder");
    std::fs::copy(photos.join("upright-6.png"), mine.join("1.png")).expect("a copy");
    let upright = decode::read(&photos.join("upright-6.decoded.png")).expect("a picture");
    let (height, width) = (upright.height, upright.width);
    assert_ne!(height, width);
    let packed = |out: &str, more: &[&str]| {
        let arguments = [&["pack", "mine", "--shards", out], more].concat();
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shards = Shards::open(&folder.path().join(out).to_string_lossy()).expect("shards");
        let mut bytes = Vec::new();
        shards.read(0, &mut bytes).expect("a picture");
        decode::decode(&bytes, &shards.path(0)).expect("a PNG")
    };
    let stored = packed("stored", &["--resize", "4"]);
    assert_eq!(stored.height < stored.width, width < height, "as it lies in its file");
    let turned = packed("turned", &["--resize", "4", "--upright"]);
    assert_eq!(turned.height < turned.width, height < width);
    assert_eq!(packed("small", &["--resize", "9999", "--upright"]), upright);
    let output = run(folder.path(), &["pack", "mine", "--shards", "x", "--upright"]);
    assert!(text(&output.stderr).contains("--resize"), "{}", text(&output.stderr));
}
