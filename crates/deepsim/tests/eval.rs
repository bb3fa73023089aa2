//! Commands that measure and report: what they print, write and exit with.
#![cfg(feature = "cli")]

#[path = "../../deepsim-eval/tests/stl10/mod.rs"]
mod stl10;

use std::path::Path;
use std::process::{Command, Output};

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_data::{Crop, Dataset, read_range};
use deepsim_nets::{Autoencoder, AutoencoderConfig, Images, PixelFormat};
use serde_json::Value;

fn deepsim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_deepsim");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Exit code and what was said on standard error.
fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let output = deepsim(arguments);
    assert!(output.stdout.is_empty(), "nothing is printed of a failure");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_generator_is_measured_to_the_same_numbers_by_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let measured = |threads: &str| -> Vec<(String, Value)> {
        let run = folder.path().join(threads);
        std::fs::create_dir(&run).expect("a folder");
        Autoencoder::new(AutoencoderConfig::default(), 3, &Device::Cpu)
            .and_then(|net| net.save(&run.join("generator.safetensors")))
            .expect("a generator");
        let sizes = ["--limit", "24", "--svm-draws", "2", "--svm-input", "center-code"];
        let mut arguments = vec!["eval", "error", "svm", "sharpness", "grid", "--run", text(&run)];
        arguments.extend(["--threads", threads, "--data", "scenes"]);
        arguments.extend(sizes);
        let output = deepsim(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for word in ["image space", "exemplar-cnn CONV3 feature space ", "error.json"] {
            assert!(printed.contains(word), "{word} is not in {printed}");
        }
        for name in ["originals", "reconstructions"] {
            let path = run.join(format!("eval/{name}.png"));
            let picture = Picture::read_png(&path).expect("a picture");
            assert_eq!((picture.height, picture.width), (64, 12 * 64));
        }
        ["error", "svm", "sharpness", "grid"]
            .map(|name| {
                let path = run.join(format!("eval/{name}.json"));
                let file = std::fs::read_to_string(path).expect("results");
                let value: Value = serde_json::from_str(&file).expect("JSON");
                assert_eq!(value["measure"], name);
                assert!(value["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0));
                (name.to_owned(), value["rows"].clone())
            })
            .into()
    };
    let one = measured("1");
    assert_eq!(one, measured("2"));
    let error = &one[0].1[0];
    assert_eq!(error["name"], "image space");
    let wanted = image_error(24).expect("networks and data work");
    assert!(error["value"].as_f64().is_some_and(|v| (v / wanted - 1.0).abs() < 1e-5), "{error}");
    assert!(one[1].1[0]["value"].as_f64().is_some_and(|v| (0.0..=100.0).contains(&v)));
}

/// A run folder with an untrained autoencoder.
fn untrained(folder: &Path) -> std::path::PathBuf {
    let run = folder.join("run");
    std::fs::create_dir(&run).expect("a folder");
    Autoencoder::new(AutoencoderConfig::default(), 3, &Device::Cpu)
        .and_then(|net| net.save(&run.join("generator.safetensors")))
        .expect("a generator");
    run
}

#[test]
fn measures_without_a_single_number_fail_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = untrained(folder.path());
    let equal = vec![vec![128; 3 * stl10::SIDE * stl10::SIDE]; 14];
    stl10::write(folder.path(), &equal).expect("a data set");
    let on = |measure, more: &[&str]| {
        let given = ["eval", measure, "--run", text(&run), "--data", text(folder.path())];
        failure(&[&given[..], more].concat())
    };
    for (measure, reason) in [
        ("error", "image space: N is 0, because all 14 samples are equal"),
        ("reencode", "image space after 1: N is 0, because all 14 samples are equal"),
    ] {
        let (code, message) = on(measure, &[]);
        assert_eq!(code, Some(1), "{message}");
        assert!(
            message.contains(&format!("{measure}: no value is defined: {reason}")),
            "{message}"
        );
        assert!(!run.join(format!("eval/{measure}.json")).exists());
    }
    for measure in ["error", "sharpness", "svm", "lpips"] {
        let (code, message) = on(measure, &["--limit", "0"]);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains("expected one test image or more, found none"), "{message}");
    }
    // Every test image is a training image.
    let (code, message) = on("neighbours", &[]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("to which 12 of 12 test images are equal"), "{message}");
}

/// The error of the same generator on the first `n` test images, straight from its definition.
fn image_error(n: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let dataset = Dataset::open(None, 0)?;
    let batch = read_range(&*dataset.test.images, 0..n, Crop::Center(64))?;
    let format = PixelFormat::CAFFE_BGR;
    let images = Images::from_u8(&batch.pixels, n, 64, 64, format, &Device::Cpu)?;
    let net = Autoencoder::new(AutoencoderConfig::default(), 3, &Device::Cpu)?;
    let vectors = |images: &Images| -> Result<Vec<Vec<f32>>, candle_core::Error> {
        images.tensor().flatten_from(1)?.to_vec2()
    };
    let (originals, answers) = (vectors(&images)?, vectors(&net.forward(&images)?)?);
    let distance = |a: &[f32], b: &[f32]| -> f64 {
        let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let mean = |distances: Vec<f64>| distances.iter().sum::<f64>() / distances.len() as f64;
    let errors = originals.iter().zip(&answers).map(|(a, b)| distance(a, b)).collect();
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let between = pairs.map(|(i, j)| distance(&originals[i], &originals[j])).collect();
    Ok(100.0 * mean(errors) / mean(between))
}

/// What `compare` prints.
fn compared(a: &Path, b: &Path, more: &[&str]) -> String {
    let output = deepsim(&[&["compare", text(a), text(b)], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_pictures_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b, c) =
        (folder.path().join("a.png"), folder.path().join("b.png"), folder.path().join("c.png"));
    Picture::new(64, 64, [90, 100, 110]).write_png(&a).expect("a picture");
    Picture::new(64, 64, [93, 104, 110]).write_png(&b).expect("a picture");
    Picture::new(64, 48, [90, 100, 110]).write_png(&c).expect("a picture");
    // sqrt((3² + 4² + 0²) / 3)
    let pixels = ["root mean square error", "2.8868 grey levels"];
    let spaces = ["alexnet CONV3 feature space, random weights", "squeezenet FIRE9 feature space"];
    for (more, words) in
        [(&[][..], &pixels[..]), (&["--random-weights"], &[pixels, spaces].concat())]
    {
        let printed = compared(&a, &b, more);
        for word in words {
            assert!(printed.contains(word), "{word} is not in {printed}");
        }
    }
    let (code, message) = failure(&["compare", text(&a), text(&c)]);
    assert_eq!(code, Some(2));
    assert!(message.contains("64x64") && message.contains("48x64"), "{message}");
    std::fs::write(&c, "not a picture").expect("a file");
    let (code, message) = failure(&["compare", text(&a), text(&c)]);
    assert_eq!(code, Some(1));
    assert!(message.contains("c.png"), "{message}");
}

#[test]
fn networks_without_weights_are_named_and_never_random_unless_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
    Picture::new(64, 64, [90, 100, 110]).write_png(&a).expect("a picture");
    Picture::new(64, 64, [93, 104, 110]).write_png(&b).expect("a picture");
    for more in [&[][..], &["--weights", text(folder.path())]] {
        let printed = compared(&a, &b, more);
        assert!(!printed.contains("alexnet CONV3") && !printed.contains("random"), "{printed}");
        let line = "no weights found: alexnet:CONV3, squeezenet:POOL4, squeezenet:FIRE9; name their folder with \
                    --weights DIR";
        assert!(printed.contains(line), "{printed}");
    }
    let (code, message) = failure(&["compare", text(&a), text(&b), "--weights", "/no/such/folder"]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("--weights /no/such/folder: no such folder"), "{message}");
}

#[test]
fn shipped_weights_are_found_from_any_folder_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    Picture::new(64, 64, [90, 100, 110]).write_png(&at("a.png")).expect("a picture");
    Picture::new(64, 64, [93, 104, 110]).write_png(&at("b.png")).expect("a picture");
    let there = |arguments: &[&str], variable: &str| -> Output {
        Command::new(env!("CARGO_BIN_EXE_deepsim"))
            .args(arguments)
            .env("DEEPSIM_BOX", variable)
            .current_dir(folder.path())
            .output()
            .expect("the program starts")
    };
    let output = there(&["compare", "a.png", "b.png"], "");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (space, file) in [
        ("exemplar-cnn CONV3 feature space", "(of the norm; weights exemplar-cnn.safetensors)"),
        (
            "efficientnet-lite0 HEAD feature space",
            "(of the norm; weights efficientnet-lite0.safetensors)",
        ),
    ] {
        let line = printed.lines().find(|line| line.contains(space)).expect(space);
        assert!(line.ends_with(file), "{line}");
    }
    // A run is judged by it too: crops of 64 pixels are enlarged before the network.
    let run = at("run");
    std::fs::create_dir(&run).expect("a folder");
    Autoencoder::new(AutoencoderConfig::default(), 3, &Device::Cpu)
        .and_then(|net| net.save(&run.join("generator.safetensors")))
        .expect("a generator");
    let space = "error.spaces=efficientnet-lite0:STAGE5,efficientnet-lite0:HEAD";
    let eval = ["eval", "error", "--run", "run", "--limit", "4", "--set", space];
    let output = there(&eval, "");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The beginning of a note is printed, and all of it is in the file.
    let notes = std::fs::read_to_string(run.join("eval/error.json")).expect("results");
    for (space, numbers) in [("STAGE5", "11200 numbers"), ("HEAD", "32000 numbers")] {
        let name = format!("efficientnet-lite0 {space} feature space");
        let line = printed.lines().find(|line| line.contains(&name)).expect(&name);
        assert!(line.ends_with("(weights efficientnet-lite0.safetensors)"), "{line}");
        assert!(notes.contains(numbers), "{notes}");
    }
    // Without --data there are photographs.
    let output = there(&["plan", "autoencoder-se"], "");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("name = \"photographs\""), "{printed}");
    // Another box comes first, and what is wrong with it is said.
    let other = at("box");
    let broken = other.join("weights/exemplar-cnn.safetensors");
    std::fs::create_dir_all(other.join("weights")).expect("a folder");
    std::fs::write(&broken, "no weights").expect("a file");
    let output = there(&["compare", "a.png", "b.png"], text(&other));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(text(&broken)), "{message}");
    std::fs::create_dir(other.join("photos")).expect("a folder");
    let output = there(&["plan", "autoencoder-se"], text(&other));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains(text(&other)), "{message}");
}

#[test]
fn photographs_are_compared_as_people_see_them() {
    let fixture = |name: &str| Path::new("../deepsim-eval/tests/fixtures").join(name);
    let error = |a: &str, b: &str| -> f64 {
        let printed = compared(&fixture(a), &fixture(b), &[]);
        let line = printed.lines().find(|line| line.contains("root mean square")).expect("a line");
        line.split_whitespace().nth(4).and_then(|word| word.parse().ok()).expect(line)
    };
    // A JPEG beside a PNG; one that the camera's EXIF data turns.
    assert!((0.0..3.0).contains(&error("photo.png", "photo.jpg")));
    assert!((0.0..3.0).contains(&error("photo.png", "turned.jpg")));
    // What is transparent is white, whatever colours are hidden under it.
    assert_eq!(error("alpha-a.png", "alpha-b.png"), 0.0);
    assert!(error("photo.png", "alpha-a.png") > 50.0);
}

#[test]
fn tiny_pictures_are_compared_and_what_needs_larger_ones_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
    for (height, width) in [(1, 1), (3, 2), (17, 17)] {
        Picture::new(height, width, [90, 100, 110]).write_png(&a).expect("a picture");
        Picture::new(height, width, [93, 104, 110]).write_png(&b).expect("a picture");
        let printed = compared(&a, &b, &["--random-weights"]);
        for words in
            ["2.8868 grey levels", "squeezenet FIRE9: expected sides of at least 21 pixels"]
        {
            assert!(printed.contains(words), "{words} is not in {printed}");
        }
    }
    // Of the measures that are named, those that fit are printed, and the program fails.
    let two = ["--measure", "feature:squeezenet:FIRE9", "--measure", "lpips-squeeze"];
    let output =
        deepsim(&[&["compare", text(&a), text(&b), "--random-weights"], &two[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("  CONV1 "), "the layers of LPIPS: {printed}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "error: squeezenet FIRE9: expected sides of at least 21 pixels, found 17\n";
    assert_eq!(message, words);
}

#[test]
fn two_pictures_are_measured_and_the_difference_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (a, b, map) = (path("a.png"), path("b.png"), path("map.png"));
    let mut picture = Picture::new(40, 56, [90, 100, 110]);
    picture.write_png(&a).expect("a picture");
    picture.paste(&Picture::new(12, 12, [220, 40, 10]), 4, 40);
    picture.write_png(&b).expect("a picture");
    fn compare<'a>(pair: [&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
        [&["compare", pair[0], pair[1]], more].concat()
    }
    let pair = [text(&a), text(&b)];

    let lpips = ["--measure", "lpips-squeeze", "--random-weights", "--map", text(&map)];
    let output = deepsim(&compare(pair, &lpips));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["lpips-squeeze", "FIRE9", "random weights (seed 0), heads of 1", "map.png"] {
        assert!(printed.contains(word), "{word} is not in {printed}");
    }
    let drawn = Picture::read_png(&map).expect("a picture");
    assert_eq!((drawn.height, drawn.width), (40, 56));
    let red = |y: usize, x: usize| drawn.rgb[3 * (y * 56 + x)];
    // Random deep features spread the difference; it is still strongest where it is.
    assert!(red(8, 46) > red(30, 8) + 50, "bright where the pictures differ");

    let two = ["--measure", "lpips-alex", "--measure", "feature:alexnet:CONV1,CONV2"];
    let output = deepsim(&compare(pair, &[&two[..], &["--random-weights"]].concat()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cases: [(&[&str], &str); 6] = [
        (
            &["--measure", "lpips-alex"],
            "alexnet-torchvision.safetensors and lpips-alex.safetensors",
        ),
        (&["--measure", "feature:alexnet:CONV1"], "expected weights of alexnet"),
        (&["--measure", "fid"], "lpips-alex, lpips-squeeze, lpips-vgg, feature:NET:TAP"),
        (&["--measure", "feature:lenet:CONV1"], "feature:lenet:CONV1"),
        (&["--map", "map.png"], "--measure"),
        (
            &[&two[..], &["--random-weights", "--map", text(&map)]].concat(),
            "one --measure, found 2",
        ),
    ];
    for (more, words) in cases {
        let (code, message) = failure(&compare(pair, more));
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn bad_arguments_exit_with_2_and_missing_things_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = text(folder.path());
    let cases: [(&[&str], i32, &str); 9] = [
        (&["eval", "error", "--run", "/no/such/run"], 1, "run /no/such/run: no such folder"),
        (&["eval", "error", "--run", empty], 1, "generator.safetensors"),
        (&["eval", "fid", "--run", empty], 2, "unknown measure `fid`; known are error, svm"),
        (&["eval", "--run", empty], 2, "measure"),
        (&["eval", "error"], 2, "--run"),
        (&["eval", "error", "--run", empty, "--space", "lenet:CONV1"], 2, "lenet:CONV1"),
        (
            &["eval", "svm", "--run", empty, "--set", "svm.drwas=2"],
            2,
            "nearest: draws), found drwas",
        ),
        (&["eval", "error", "--run", empty, "--data", "/no/such/data"], 1, "/no/such/data"),
        (&["report", "--run", "SE", "--target", "table3", "--out", empty], 2, "LABEL=DIR"),
    ];
    for (arguments, wanted, words) in cases {
        let (code, message) = failure(arguments);
        assert_eq!(code, Some(wanted), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
    let nothing = format!("SE={empty}");
    let out = folder.path().join("report");
    let (code, message) =
        failure(&["report", "--run", &nothing, "--target", "table3", "--out", text(&out)]);
    assert_eq!(code, Some(1));
    assert!(message.contains("nothing was measured for table3"), "{message}");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_is_refused_clearly_by_a_program_built_without_it() {
    let cases: [&[&str]; 2] = [
        &["eval", "error", "--run", ".", "--device", "cuda"],
        &["compare", "a", "b", "--device", "cuda"],
    ];
    for arguments in cases {
        let (code, message) = failure(arguments);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains("-p deepsim --features cuda"), "{message}");
    }
}

#[test]
fn help_says_what_there_is_what_is_measured_and_how_it_exits() {
    let help = |words: &[&str]| {
        let output = deepsim(words);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = help(&["--help"]);
    assert_eq!(all, help(&["help"]));
    for words in ["Train:\n  train ", "Measure:\n  eval ", "compare", "report", "Exit codes"] {
        assert!(all.contains(words), "{words} is not in {all}");
    }
    let eval = help(&["eval", "--help"]);
    for measure in deepsim_eval::measure::all() {
        let line = format!("  {:12} {}", measure.name(), measure.about());
        assert!(eval.contains(&line), "{line} is not in {eval}");
        for option in measure.options() {
            let option = format!("{}.{}={}", measure.name(), option.key, option.value);
            assert!(eval.contains(&option), "{option} is not in {eval}");
        }
    }
    for flag in ["--train-limit <N>", "--svm-draws <N>", "--svm-input <INPUT>", "--space <NET:TAP>"]
    {
        assert!(eval.contains(flag), "{flag} is not in {eval}");
    }
    assert!(eval.contains("Exit codes"), "{eval}");
}
