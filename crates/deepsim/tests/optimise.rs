//! `deepsim optimise`: what it prints, writes and exits with.
#![cfg(feature = "cli")]

#[path = "../../deepsim-eval/tests/stl10/mod.rs"]
mod stl10;

use std::path::Path;
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use serde_json::Value;

/// Shape of the weights of AlexNet's first layer.
const CONV1: [usize; 4] = [96, 3, 11, 11];

#[test]
fn one_bad_picture_is_left_out_of_the_means_and_said() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (data, out) = (folder.path(), folder.path().join("out"));
    // All weights are positive and black is below the mean: rectified, its features are zero.
    let weights = data.join("weights");
    std::fs::create_dir(&weights)?;
    let positive = Tensor::full(0.01f32, &CONV1, &Device::Cpu)?;
    let bias = Tensor::zeros(96, candle_core::DType::F32, &Device::Cpu)?;
    let tensors =
        [("conv1.weight", positive), ("conv1.bias", bias)].map(|(k, v)| (k.to_owned(), v));
    candle_core::safetensors::save(&tensors.into(), weights.join("alexnet.safetensors"))?;
    let photo = |i: usize| {
        let (c, y, x) = (i / (96 * 96), i / 96 % 96, i % 96);
        ((y * 5 + x * 3 + c * 40 + (y / 6 + x / 5) % 2 * 60) % 256) as u8
    };
    let size = 3 * stl10::SIDE * stl10::SIDE;
    let (photo, faint): (Vec<u8>, Vec<u8>) =
        (0..size).map(|i| (photo(i), 120 + photo(i) / 16)).unzip();
    let pictures = [photo, vec![128; size], faint, vec![0; size]];
    stl10::write(data, &pictures)?;
    let run = |more: &[&str]| {
        let arguments = ["--tap", "CONV1", "--iterations", "20", "--data"];
        let (data, weights) = (data.to_str().expect("UTF-8"), weights.to_str().expect("UTF-8"));
        optimise(&out, &[&arguments[..], &[data, "--weights", weights], more].concat())
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let reason = "target features are all zero: normalised error undefined";
    for words in ["1 of 4 left out, not finite", &format!("picture 3 is left out: {reason}")] {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
    let file = std::fs::read(out.join("mahendran-vedaldi-CONV1.json"))?;
    let file: Value = serde_json::from_slice(&file)?;
    assert_eq!(file["left_out"], serde_json::json!([{ "picture": 3, "reason": reason }]));
    for row in 0..3 {
        assert!(file["rows"][row]["value"].as_f64().is_some_and(|value| value > 0.0), "{file}");
        assert_eq!(file["rows"][row]["samples"], 3);
    }
    // Found again, it says the same.
    let again = String::from_utf8_lossy(&run(&[]).stdout).into_owned();
    assert!(again.contains("measured before") && again.contains(reason), "{again}");

    // Nothing but black: no number, a reason, and no success.
    stl10::write(data, &vec![vec![0; 3 * 96 * 96]; 2])?;
    for _ in 0..2 {
        let output = run(&[]);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            message
                .contains(&format!("inversion of CONV1: no value is defined: picture 0: {reason}")),
            "{message}"
        );
    }
    Ok(())
}

fn optimise(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    // Weights of this machine, beside the run, must not be found.
    let data = out.with_file_name("data");
    std::fs::create_dir_all(data.join("weights")).expect("a folder");
    command.env("DEEPSIM_DATA", data);
    command.arg("optimise").arg("--out").arg(out).args(arguments);
    command.output().expect("the program starts")
}

#[test]
fn the_program_measures_draws_and_does_nothing_twice() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let arguments = ["--tap", "CONV1", "--tap", "CONV2", "--limit", "3", "--pairs", "5"];
    let arguments = [&arguments[..], &["--random-weights"]].concat();
    let run = |more: &[&str]| -> String {
        let output = optimise(&out, &[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let printed = run(&["--iterations", "4"]);
    for words in ["image space", "alexnet CONV2 feature space", "relative objective", "s  (4 steps"]
    {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
    let read = |name: &str| std::fs::read(out.join(name));
    let file: Value = serde_json::from_slice(&read("mahendran-vedaldi-CONV2.json")?)?;
    assert_eq!(file["job"]["settings"]["tv"], 10.0);
    assert_eq!(file["job"]["weights"], "random weights (seed 0)");
    assert_eq!((&file["job"]["pictures"], &file["job"]["pairs"]), (&3.into(), &5.into()));
    assert_eq!(file["rows"][0]["name"], "image space");
    assert!(file["rows"][1]["value"].as_f64().is_some_and(|error| error > 0.0));
    let sheet = Picture::read_png(&out.join("mahendran-vedaldi.png"))?;
    assert_eq!((sheet.height, sheet.width), (3 * 98 - 2, 3 * 98 - 2));

    // Again: nothing is computed. Another batch: the same pictures and numbers. Another seed: others.
    let (numbers, strip) = (read("mahendran-vedaldi-CONV2.json")?, "mahendran-vedaldi-CONV2.png");
    let pixels = read(strip)?;
    assert_eq!(run(&["--iterations", "4"]).matches("measured before").count(), 2);
    assert_eq!(read("mahendran-vedaldi-CONV2.json")?, numbers);
    std::fs::write(out.join("mahendran-vedaldi-CONV2.json"), "{")?;
    let printed = run(&["--iterations", "4", "--batch", "2"]);
    assert_eq!(printed.matches("measured before").count(), 1, "{printed}");
    assert_eq!(read(strip)?, pixels);
    let again: Value = serde_json::from_slice(&read("mahendran-vedaldi-CONV2.json")?)?;
    for row in 0..3 {
        assert_eq!(again["rows"][row], file["rows"][row]);
    }
    assert!(!run(&["--iterations", "4", "--seed", "1"]).contains("measured before"));
    assert_ne!(read(strip)?, pixels);
    Ok(())
}

#[test]
fn bad_arguments_of_the_program_exit_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().to_str().expect("a path in UTF-8");
    let random = "--random-weights";
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--tap", "CONV9", random], 2, "alexnet has no tap `CONV9`; it has CONV1"),
        (&["--tap", "CONV1", "--net", "lenet"], 2, "unknown network `lenet`"),
        (&["--tap", "CONV1", "--prior", "tv"], 2, "unknown prior `tv`"),
        (&[], 2, "--tap"),
        (&["--tap", "CONV1", "--limit", "0", random], 2, "one picture or more, found 0 of"),
        (
            &["--tap", "CONV1"],
            2,
            "expected weights of alexnet, or --random-weights, found none in ",
        ),
        (&["--tap", "CONV1", "--weights", empty], 2, "expected weights of alexnet"),
        (&["--tap", "CONV1", "--data", "/no/such/data"], 1, "/no/such/data"),
    ];
    for (arguments, wanted, words) in cases {
        let output = optimise(&folder.path().join("out"), arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(wanted), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
}

#[test]
fn weights_of_the_data_folder_are_found_where_none_are_named()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("data/weights");
    std::fs::create_dir_all(&weights)?;
    std::fs::write(weights.join("alexnet.safetensors"), "no weights")?;
    let arguments = ["--tap", "CONV1", "--limit", "1"];
    let output = optimise(&folder.path().join("out"), &arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("data/weights/alexnet.safetensors"), "{message}");
    Ok(())
}

#[test]
fn addresses_of_the_hub_are_refused_by_a_program_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = "hf://owner/name/alexnet.safetensors";
    if cfg!(not(feature = "hub")) {
        let arguments = ["--tap", "CONV1", "--weights", address];
        let output = optimise(&folder.path().join("out"), &arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("built without the feature `hub`"), "{message}");
    }
}
