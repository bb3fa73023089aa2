//! Errors as people read them: each cause once, no backtrace, and a refusal before anything is written.

use std::backtrace::Backtrace;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Output};

use deepsim_data::Dataset;
use deepsim_data::picture::Picture;
use deepsim_eval::EvalError;
use deepsim_loss::LossError;
use deepsim_nets::NetError;
use deepsim_run::recipe::AnyRecipe;
use deepsim_train::TrainError;

use crate::programs::{TINY, deepsim, errors, folder_with_recipe};

/// The program in a folder, with backtraces asked for.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(deepsim());
    command.current_dir(folder).args(arguments).env("RUST_BACKTRACE", "1");
    command.output().expect("the program runs")
}

#[test]
fn every_command_says_once_why_a_file_is_missing() {
    let folder = folder_with_recipe(TINY);
    std::fs::create_dir(folder.path().join("run")).expect("a folder");
    std::fs::write(folder.path().join("samples.jpg"), "no picture").expect("a file");
    let weights = "feature.weights=nothing.safetensors";
    let commands: [&[&str]; 19] = [
        &["train", "nothing.toml", "--out", "out"],
        &["train", "recipe.toml", "--out", "out", "--data", "nothing"],
        &["train", "recipe.toml", "--out", "out", "--set", weights],
        &["train", "recipe.toml", "--out", "recipe.toml/out"],
        &["plan", "nothing.toml"],
        &["plan", "recipe.toml", "--data", "nothing"],
        &["replay", "nothing"],
        &["eval", "error", "--run", "run", "--data", "nothing"],
        &["eval", "error", "--run", "run"],
        &["compare", "nothing.png", "nothing.png"],
        &["probe", "pixels", "--data", "nothing"],
        &["sample", "--run", "run"],
        &["optimise", "--tap", "CONV1", "--data", "nothing", "--out", "out"],
        &["curves", "a=nothing", "--out", "curves.html"],
        &["report", "--run", "a=nothing", "--target", "table3", "--out", "out"],
        &["invert", "nothing.jpg", "--run", "run"],
        &["diff-runs", "nothing", "run"],
        &["import", "nothing.pth"],
        &["download", "stl10", "--registry", "nothing.toml", "--to", "out"],
    ];
    let mut causes = 0;
    for arguments in commands {
        let output = run(folder.path(), arguments);
        let text = errors(&output);
        assert!(!output.status.success() && text.starts_with("error: "), "{arguments:?}: {text}");
        let times = text.matches("os error").count();
        assert!(times <= 1, "{arguments:?}: {text}");
        assert!(!text.contains("backtrace") && !text.contains("candle_core::"), "{text}");
        assert!(!folder.path().join("out").exists(), "{arguments:?}: something was written");
        causes += times;
    }
    assert!(causes >= 8, "only {causes} commands named a cause of the system");
}

/// The error and all that led to it, as `anyhow` writes them in one line.
fn chain(error: impl Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[test]
fn errors_of_every_crate_name_their_cause_once() {
    let nothing = Path::new("no/such/folder");
    let data = Dataset::open(Some(nothing), 0).err().expect("no folder");
    let net = deepsim_nets::params::read(nothing).expect_err("no file");
    let wrapped = || Picture::read_png(nothing).expect_err("no file");
    let all = [
        chain(data),
        chain(net),
        chain(wrapped()),
        chain(EvalError::from(wrapped())),
        chain(AnyRecipe::read(nothing, &[]).expect_err("no file")),
        chain(TrainError::from(deepsim_nets::params::read(nothing).expect_err("no file"))),
    ];
    for text in all {
        assert_eq!(text.matches("os error").count(), 1, "{text}");
        assert!(text.contains("no/such/folder"), "{text}");
    }
}

#[test]
fn messages_of_tensor_operations_have_no_backtrace() {
    let error = || candle_core::Error::WithBacktrace {
        inner: Box::new(candle_core::Error::Msg("conv2d: no".into())),
        backtrace: Box::new(Backtrace::force_capture()),
    };
    assert!(error().to_string().lines().count() > 1, "candle writes it below the message");
    for text in [
        chain(NetError::from(error())),
        chain(LossError::from(error())),
        chain(LossError::from(NetError::from(error()))),
        chain(TrainError::from(error())),
        chain(EvalError::from(error())),
    ] {
        assert_eq!(text, "conv2d: no");
    }
}

#[test]
fn what_a_plan_can_know_is_refused_before_a_run_folder_is_written() {
    let folder = folder_with_recipe(TINY);
    let cases: [(&str, &str); 10] = [
        ("crop=32", "crop: discriminator: expected sides of at least 35 pixels, found 32"),
        ("crop=104", "crop: expected at most 96, the least side of the training images"),
        ("feature.tap=FC6", "crop: alexnet FC6: expected sides of"),
        ("feature.tap=CONV9", "feature.tap: expected one of alexnet's taps CONV1"),
        ("batch=0", "batch: expected at least 1, found 0"),
        ("adversarial.weight=nan", "adversarial.weight: expected a number >= 0, found NaN"),
        ("adam.beta1=1", "adam.beta1: expected 0 <= beta < 1, found 1"),
        ("adam.epsilon=0", "adam.epsilon: expected at least 1.17"),
        ("generator.slope=2", "generator.slope: expected 0 <= slope < 1, found 2"),
        ("adversarial.discriminator.stride=70000", "crop: discriminator: expected sides of"),
    ];
    for (set, words) in cases {
        let train = ["train", "recipe.toml", "--out", "out", "--set", set];
        let plan = ["plan", "recipe.toml", "--measure", "0", "--set", set];
        for arguments in [&train[..], &plan[..]] {
            let output = run(folder.path(), arguments);
            let text = errors(&output);
            assert_eq!(output.status.code(), Some(2), "{set}: {text}");
            assert!(text.contains(words), "{set}: {text}");
            assert!(!text.contains("backtrace"), "{set}: {text}");
            assert!(!folder.path().join("out").exists(), "{set}: a run folder was begun");
        }
    }
}

#[test]
fn data_that_is_no_data_set_is_said_to_be_what_it_is() -> anyhow::Result<()> {
    let folder = folder_with_recipe(TINY);
    for name in ["photos/cats/a.JPG", "photos/cats/b.png", "photos/dogs/c.jpeg", "photos/notes.txt"]
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder"))?;
        std::fs::write(path, "no picture, but called one")?;
    }
    std::fs::create_dir(folder.path().join("empty"))?;
    for (data, words) in [
        ("empty", "empty: expected a folder with STL-10 in its binary format, with ILSVRC-2012"),
        ("empty", "0 folders, 0 files, none of these"),
        ("recipe.toml", "found a file"),
        ("nothing", "opening nothing: "),
    ] {
        let train = ["train", "recipe.toml", "--out", "out", "--data", data];
        let probe = ["probe", "pixels", "--data", data];
        for arguments in [&train[..], &probe[..]] {
            let output = run(folder.path(), arguments);
            let text = errors(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains(words), "{arguments:?}: no `{words}` in: {text}");
        }
        assert!(!folder.path().join("out").exists(), "a run folder was begun");
    }
    // Files with the names of pictures are taken for pictures, until they are decoded.
    for (arguments, code, words) in [
        (
            &["train", "recipe.toml", "--out", "out", "--data", "photos"][..],
            1,
            "expected a JPEG or PNG file",
        ),
        (
            &["probe", "pixels", "--data", "photos"],
            2,
            "probe: expected labelled training and test pictures in folds",
        ),
        (&["probe", "pixels", "--data", "photos", "--test", "empty"], 1, "empty: expected"),
        (
            &["probe", "pixels", "--data", "photos", "--test-share", "1.5"],
            1,
            "a share above 0 and below 1, found 1.5",
        ),
        (
            &["probe", "pixels", "--data", "scenes", "--test-share", "0.5"],
            1,
            "none for data that have their own",
        ),
    ] {
        let output = run(folder.path(), arguments);
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(words), "{arguments:?}: no `{words}` in: {text}");
    }
    Ok(())
}
