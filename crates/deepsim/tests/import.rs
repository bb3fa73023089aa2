//! `deepsim import`: what it prints, and its exit codes.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    command.current_dir(folder).arg("import").args(arguments).output().expect("the program runs")
}

fn fixture(name: &str) -> String {
    format!("{}/../deepsim-import/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_was_used_is_printed_for_people_and_for_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&[&fixture("lpips-alex.pth")], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("used     lin0.model.1.weight [1, 64, 1, 1] as lin0.weight [64]"));
    assert!(folder.path().join("data/weights/lpips-alex.safetensors").exists());

    let out = folder.path().join("half.safetensors");
    let out = out.to_str().expect("a path");
    let arguments = [&fixture("lpips-alex.pth"), "--report", "json", "--f16", "--out", out];
    let output = run(&arguments, folder.path());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["net"], &report["format"]), (&"lpips-alex".into(), &"torch-legacy".into()));
    assert_eq!(report["lines"][4]["fate"]["used"][0], "lin4.weight");
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn a_list_writes_nothing_and_means_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&["--list", &fixture("mini.onnx")], folder.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("conv1_w_0 [2, 3, 2, 2]"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let output = run(&[&fixture("mean.binaryproto"), "--out", "."], folder.path());
    assert!(text(&output.stdout).contains("means of the channels ["), "{}", text(&output.stdout));
    // Sums in single precision lose the fraction.
    let big = folder.path().join("big.binaryproto");
    let mut bytes = vec![0x08, 1, 0x10, 3, 0x18, 0x80, 0x02, 0x20, 0x80, 0x02, 0x2a];
    bytes.extend([0x80, 0x80, 0x30]);
    bytes.extend((0..3 * 65536).flat_map(|_| 300.125f32.to_le_bytes()));
    std::fs::write(&big, bytes).expect("a file");
    let output = run(&[big.to_str().expect("a path"), "--out", "."], folder.path());
    let printed = text(&output.stdout);
    assert!(printed.contains("[300.125, 300.125, 300.125]"), "{printed}");
}

#[test]
fn exit_codes_tell_broken_files_from_bad_arguments() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code, words) in [
        (vec!["none.pth"], 1, "none.pth"),
        (vec![&*fixture("evil.pth")], 1, "nothing is run"),
        (vec![&*fixture("bomb.pth")], 1, "compressed"),
        (vec![&*fixture("new.caffemodel"), "--net", "caffenet"], 1, "conv1.weight: expected shape"),
        (vec![&*fixture("new.caffemodel")], 1, "fit no network"),
        (
            vec![&*fixture("new.caffemodel"), "--net", "resnet"],
            2,
            "unknown network `resnet`, expected one of `alexnet`",
        ),
        (vec![], 2, "Usage"),
    ] {
        let output = run(&arguments, folder.path());
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "no `{words}` in {errors}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is written"
    );
}

#[test]
fn a_missing_file_is_named_with_its_cause_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["nothing.onnx"][..], &["--list", "nothing.pth"]] {
        let output = run(arguments, folder.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("nothing.") && error.matches("os error").count() == 1, "{error}");
    }
}

#[expect(clippy::print_stderr, reason = "says that it is skipped")]
#[test]
fn the_shared_mean_of_ilsvrc_has_the_known_channels() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, std::path::PathBuf::from);
    let path = shared.join("data/weights/ilsvrc12_imagenet_mean.binaryproto");
    if !path.is_file() {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&[path.to_str().expect("a path"), "--out", "."], folder.path());
    let printed = text(&output.stdout);
    assert!(printed.contains("means of the channels [104.007, 116.669, 122.679]"), "{printed}");
}
