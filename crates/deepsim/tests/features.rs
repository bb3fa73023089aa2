//! `deepsim features`, `generate` and `optimise --generator`: what they print, write and exit with.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_eval::features::Features;
use deepsim_nets::{ComparatorKind, Inverter, InverterConfig};

/// Side of the pictures that the generator of these tests draws.
const SIDE: usize = 16;
/// Options of `features` for pictures of this side.
const NET: [&str; 8] =
    ["--net", "exemplar-cnn", "--tap", "CONV2", "--resize", "16", "--crop", "16"];

type Checked = Result<(), Box<dyn std::error::Error>>;

/// A folder with two photographs and an untrained generator for Exemplar-CNN's CONV2.
fn folder() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let photos = folder.path().join("photos");
    std::fs::create_dir_all(&photos)?;
    for (name, grey) in [("owl.png", 60), ("pug.png", 160)] {
        let mut photo = Picture::new(20, 24, [grey; 3]);
        photo.paste(&Picture::new(9, 7, [200, grey, 30]), 4, 6);
        photo.write_png(&photos.join(name))?;
    }
    let config = InverterConfig::new(ComparatorKind::exemplar_cnn(), "CONV2", &[128, 4, 4], SIDE);
    let net = Inverter::new(config, 3, &Device::Cpu)?;
    net.params().save(&folder.path().join("g.safetensors"), &net.spec())?;
    Ok(folder)
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    // Weights of this machine must not be found.
    command.current_dir(folder).env("DEEPSIM_DATA", folder.join("nothing")).args(arguments);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the program starts")
}

/// Runs a command that succeeds; returns what it prints.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn features_of_photographs_become_pictures_again() -> Checked {
    let folder = folder()?;
    let at = |name: &str| folder.path().join(name);
    let features =
        |more: &[&str]| printed(folder.path(), &[&["features", "photos"], &NET[..], more].concat());
    let text = features(&["-o", "f.npy", "--statistics", "s.safetensors", "--per-channel"]);
    for words in
        ["2 photographs stretched to 16x16", "CONV2  [2, 128, 4, 4]", "f.npy", "s.safetensors"]
    {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    features(&["-o", "f.safetensors"]);
    assert_eq!(Features::read(&at("f.safetensors"))?.origin.pictures, ["owl.png", "pug.png"]);
    // The same numbers in both files, so the same pictures under other names.
    let generate = ["generate", "--generator", "g.safetensors", "--features"];
    let text = printed(folder.path(), &[&generate[..], &["f.npy", "-o", "a"]].concat());
    assert!(text.contains("re-encoded features, exemplar-cnn CONV2"), "{text}");
    printed(folder.path(), &[&generate[..], &["f.safetensors", "-o", "b"]].concat());
    for (a, b) in [("0000", "owl"), ("0001", "pug")] {
        let read = |folder, name| std::fs::read(at(folder).join(format!("{name}.png")));
        assert_eq!(read("a", a)?, read("b", b)?);
    }
    assert!(at("a/sheet.png").is_file() && at("a/numbers.json").is_file());
    // A generator by its name among the weights.
    let named =
        ["generate", "--generator", "g", "--weights", ".", "--features", "f.npy", "-o", "c"];
    printed(folder.path(), &named);
    Ok(())
}

#[test]
fn the_input_of_a_generator_is_optimised_to_a_photograph_and_to_a_unit() -> Checked {
    let folder = folder()?;
    let at = |name: &str| folder.path().join(name);
    let statistics = ["-o", "f.npy", "--statistics", "s.safetensors"];
    printed(folder.path(), &[&["features", "photos"], &NET[..], &statistics].concat());
    let optimise =
        ["optimise", "--generator", "g.safetensors", "--net", "exemplar-cnn", "--iterations", "8"];
    let target = [
        "--target",
        "photos",
        "--tap",
        "CONV1,CONV3=0.5",
        "--bounds",
        "s.safetensors",
        "-o",
        "out",
    ];
    let text = printed(folder.path(), &[&optimise[..], &target].concat());
    for words in ["exemplar-cnn CONV1 at the start", "exemplar-cnn CONV3 at the end"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let sheet = Picture::read_png(&at("out/sheet.png"))?;
    assert_eq!((sheet.height, sheet.width), (3 * SIDE + 4, 2 * SIDE + 2));
    for file in ["owl.png", "pug.png", "inputs.safetensors", "numbers.json"] {
        assert!(at("out").join(file).is_file(), "{file}");
    }
    // The same aim from a file of features: the same bytes.
    let both = ["--net", "exemplar-cnn", "--tap", "CONV1,CONV3", "--resize", "16", "--crop", "16"];
    printed(
        folder.path(),
        &[&["features", "photos"], &both[..], &["-o", "t.safetensors"]].concat(),
    );
    let target = [
        "--target",
        "t.safetensors",
        "--tap",
        "CONV1,CONV3=0.5",
        "--bounds",
        "s.safetensors",
        "-o",
        "same",
    ];
    printed(folder.path(), &[&optimise[..], &target].concat());
    assert_eq!(std::fs::read(at("same/owl.png"))?, std::fs::read(at("out/owl.png"))?);
    let unit = [
        "--unit",
        "CONV3:7",
        "--unit",
        "exemplar-cnn:CONV3:9",
        "--start",
        "f.npy",
        "--out",
        "units",
    ];
    let text = printed(folder.path(), &[&optimise[..], &unit].concat());
    assert!(text.contains("exemplar-cnn CONV3 unit 7 at the end"), "{text}");
    assert!(at("units/CONV3-7.png").is_file() && at("units/CONV3-9.png").is_file());
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_signal_to_stop_writes_the_best_so_far() -> Checked {
    use std::io::{BufRead, BufReader, Read};
    let folder = folder()?;
    let arguments =
        ["optimise", "--generator", "g.safetensors", "--net", "exemplar-cnn", "--unit", "CONV3:7"];
    let long = ["--iterations", "100000000", "--out", "out"];
    let mut command = command(folder.path(), &[&arguments[..], &long].concat());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn()?;
    let mut errors = BufReader::new(child.stderr.take().ok_or("no stderr")?);
    let mut line = String::new();
    while !line.contains("Ctrl-C writes the best so far") {
        line.clear();
        assert!(errors.read_line(&mut line)? > 0, "it ended before it began");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success());
    let mut rest = String::new();
    errors.read_to_string(&mut rest)?;
    assert_eq!(child.wait()?.code(), Some(130), "{rest}");
    assert!(rest.contains("the best inputs so far are written, of 1 of 1 pictures"), "{rest}");
    assert!(folder.path().join("out/CONV3-7.png").is_file());
    Ok(())
}

#[test]
fn bad_arguments_and_files_are_refused_before_anything_is_written() -> Checked {
    let folder = folder()?;
    let flat = Tensor::zeros((2, 9000), candle_core::DType::F32, &Device::Cpu)?;
    flat.write_npy(folder.path().join("wrong.npy"))?;
    let nan = Tensor::full(f32::NAN, (1, 2048), &Device::Cpu)?;
    nan.write_npy(folder.path().join("nan.npy"))?;
    std::fs::write(folder.path().join("text.npy"), "1, 2, 3")?;
    let features = [&["features", "photos"], &NET[..]].concat();
    let generate = ["generate", "--generator", "g.safetensors", "-o", "out", "--features"];
    let optimise =
        ["optimise", "--generator", "g.safetensors", "--net", "exemplar-cnn", "--out", "out"];
    let cases: [(&[&str], &[&str], i32, &str); 14] = [
        (
            &features,
            &["-o", "f.csv"],
            1,
            "f.csv: expected a name that ends in .npy or .safetensors",
        ),
        (
            &features,
            &["--tap", "CONV1", "-o", "f.npy"],
            1,
            "f.npy: expected one tap, or a .safetensors file",
        ),
        (&features, &[], 2, "--out"),
        (
            &["features", "photos", "--tap", "CONV5", "-o", "f.npy"],
            &[],
            2,
            "expected weights of alexnet in",
        ),
        (
            &["features", "photos", "--net", "exemplar-cnn", "--tap", "CONV9", "-o", "f.npy"],
            &[],
            2,
            "no tap `CONV9`",
        ),
        (
            &generate,
            &["wrong.npy"],
            1,
            "expected features of shape (n, 128, 4, 4) for CONV2, found (2, 9000)",
        ),
        (&generate, &["nan.npy"], 1, "nan.npy: expected finite numbers, found NaN in picture 0"),
        (
            &generate,
            &["text.npy"],
            1,
            "text.npy: expected a .npy or .safetensors file, found neither (not a valid safetensors",
        ),
        (
            &["generate", "--run", "nowhere", "--features", "nan.npy", "-o", "out"],
            &[],
            2,
            "nowhere: expected a run folder",
        ),
        (
            &optimise,
            &["--tap", "CONV3"],
            2,
            "expected --target with --tap, or --unit, found neither",
        ),
        (
            &optimise,
            &["--tap", "CONV3=0", "--target", "photos"],
            2,
            "expected a weight above 0, found `0`",
        ),
        (
            &optimise,
            &["--unit", "CONV3"],
            2,
            "--unit: expected [NET:]TAP:UNIT, e.g. fc8:281, found `CONV3`",
        ),
        (
            &optimise,
            &["--unit", "CONV3:999"],
            2,
            "expected a unit below 256 at exemplar-cnn CONV3, found 999",
        ),
        (&optimise, &["--unit", "CONV3:1", "--prior", "l2"], 2, "cannot be used with"),
    ];
    for (first, more, code, words) in cases {
        let output = run(folder.path(), &[first, more].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words}: {message}");
        assert!(message.contains(words), "{words}: {message}");
        for file in ["f.csv", "f.npy", "out"] {
            assert!(!folder.path().join(file).exists(), "{words}: {file}");
        }
    }
    Ok(())
}
