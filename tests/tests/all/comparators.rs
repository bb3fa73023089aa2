//! Training of comparators: the same promises as for generators.

use std::path::Path;

use deepsim_nets::{ComparatorKind, Images, PixelFormat};

use crate::programs::{
    assert_success, bytes, checkpoint, deepsim, errors, folder_with_recipe, newest, train,
};

/// An Exemplar-CNN on procedural scenes whose first two steps are made with two classes.
pub(crate) const EXEMPLAR: &str = r#"
name = "tiny"
steps = 5
batch = 6
[comparator.exemplar-cnn.classes]
number = 6
deformations = 8
first = 2
first_steps = 2
[sgd]
weight_decay = 0.004
schedule = [{ from = 0, rate = 0.01 }, { from = 3, rate = 0.001 }]
[output]
log_every = 1
checkpoint_every = 2
"#;

/// A network that tells pictures apart, whose first two steps are made with two of them.
const INSTANCES: &str = r#"
name = "tiny"
steps = 4
batch = 3
[comparator.instances]
network = "alexnet-instance"
tap = "relu5"
pictures = 6
first = 2
first_steps = 2
transforms = [{ random_resized_crop = { side = 64 } }, { mirror = {} }]
[sgd]
weight_decay = 5e-4
schedule = [{ from = 0, rate = 0.01 }]
[output]
log_every = 1
"#;

/// A VideoNet; its weights are many, so it makes few steps.
const VIDEO: &str = r#"
name = "tiny"
steps = 2
batch = 3
[comparator.videonet.pairs]
from = "stills"
side = 200
crop = 199
[sgd]
weight_decay = 5e-4
schedule = [{ from = 0, rate = 1e-3 }]
[output]
log_every = 1
"#;

fn assert_same(folder: &Path, a: &str, b: &str) {
    let [first, second] = [a, b].map(|out| folder.join(out));
    assert!(checkpoint(&first) == checkpoint(&second), "checkpoints of {a} and {b} differ");
    let file = "comparator.safetensors";
    assert!(bytes(&first, file) == bytes(&second, file), "{file} of {a} and {b} differ");
}

#[test]
fn parts_of_a_run_equal_the_whole_wherever_it_is_cut() {
    let folder = folder_with_recipe(EXEMPLAR);
    assert_success(&train(folder.path(), "whole", &["--threads", "1"]));
    // In the first phase, at its end, and in the second.
    for cut in 1..5 {
        let (out, steps) = (format!("cut-{cut}"), format!("steps={cut}"));
        assert_success(&train(folder.path(), &out, &["--set", &steps]));
        assert_success(&train(folder.path(), &out, &["--resume"]));
        assert_same(folder.path(), "whole", &out);
        let log = String::from_utf8(bytes(&folder.path().join(&out), "log.jsonl"));
        assert_eq!(log.expect("text").matches("\"step\":").count(), 5);
    }
    assert!(folder.path().join("whole/grids/step-0000005.png").exists());
}

#[test]
fn a_network_that_tells_pictures_apart_is_a_comparator() -> anyhow::Result<()> {
    let folder = folder_with_recipe(INSTANCES);
    assert_success(&train(folder.path(), "whole", &["--threads", "1"]));
    assert_success(&train(folder.path(), "halves", &["--set", "steps=1"]));
    assert_success(&train(folder.path(), "halves", &["--resume"]));
    assert_same(folder.path(), "whole", "halves");
    let kind = ComparatorKind::alexnet_instance();
    let path = folder.path().join("whole/comparator.safetensors");
    let net = kind.open(Some(&path), 0, &candle_core::Device::Cpu)?;
    assert_eq!(net.taps(), ["CONV1", "CONV2", "CONV3", "CONV4", "CONV5"]);
    let few = "comparator.instances.pictures=30000";
    let output = train(folder.path(), "few", &["--set", few]);
    let message = errors(&output);
    assert!(message.contains("expected at most the 20000 pictures of the data"), "{message}");
    Ok(())
}

#[test]
fn what_was_trained_is_a_comparator() -> anyhow::Result<()> {
    let folder = folder_with_recipe(EXEMPLAR);
    assert_success(&train(folder.path(), "run", &[]));
    let path = folder.path().join("run/comparator.safetensors");
    let device = candle_core::Device::Cpu;
    let net = ComparatorKind::exemplar_cnn().open(Some(&path), 0, &device)?;
    let images = Images::from_u8(&[7; 3 * 64 * 64], 1, 64, 64, PixelFormat::RGB_U8, &device)?;
    assert_eq!(net.features(&images, "CONV3")?.dims(), [1, 256, 16, 16]);
    assert_eq!(net.features(&images, "FC4")?.dims(), [1, 512, 9, 9]);

    // Curves of the run, with those of a number that is not minimised.
    let mut curves = std::process::Command::new(deepsim());
    curves.current_dir(folder.path()).args(["curves", "tiny=run", "--out", "curves.html"]);
    assert_success(&curves.output()?);
    let page = String::from_utf8(bytes(folder.path(), "curves.html"))?;
    assert!(page.contains("classification") && page.contains("<figcaption>accuracy"), "{page}");
    Ok(())
}

#[test]
fn a_videonet_trains_resumes_and_opens() -> anyhow::Result<()> {
    let folder = folder_with_recipe(VIDEO);
    assert_success(&train(folder.path(), "whole", &["--threads", "2"]));
    assert_success(&train(folder.path(), "cut", &["--set", "steps=1", "--threads", "1"]));
    assert_success(&train(folder.path(), "cut", &["--resume"]));
    assert_same(folder.path(), "whole", "cut");
    let path = folder.path().join("whole/comparator.safetensors");
    let device = candle_core::Device::Cpu;
    let net = ComparatorKind::videonet().open(Some(&path), 0, &device)?;
    assert_eq!(net.taps(), ComparatorKind::videonet().taps());
    Ok(())
}

#[test]
fn runs_are_not_mixed_and_errors_say_what_to_do() {
    let folder = folder_with_recipe(EXEMPLAR);
    let run = |arguments: &[&str]| train(folder.path(), "run", arguments);
    assert_success(&run(&["--set", "steps=1"]));
    for (arguments, code, words) in [
        (&["--set", "steps=2"][..], 1, "--resume"),
        (&["--resume", "--set", "comparator.exemplar-cnn.classes.number=5"], 1, "another plan"),
        (&["--resume", "--set", "sgd.weight_decay=0.1"], 1, "another plan"),
        (
            &["--set", "comparator.exemplar-cnn.classes.first=9"],
            2,
            "classes.first: expected 1 to 6",
        ),
        (&["--set", "comparator.squeezenet.x=1"], 2, "in `comparator`"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", errors(&output));
        assert!(errors(&output).contains(words), "no `{words}` in {}", errors(&output));
    }
    // Too many classes for the pictures that there are, and a precision that the CPU does not have.
    for (set, words) in [
        ("comparator.exemplar-cnn.classes.number=99999999", "expected 99999999 pictures"),
        ("precision=bf16", "bf16 need a GPU"),
    ] {
        let output = train(folder.path(), "other", &["--set", set]);
        assert!(errors(&output).contains(words), "{}", errors(&output));
        assert!(!folder.path().join("other").exists(), "nothing is written before the plan holds");
    }
    // A checkpoint cut short by a crash of the disk.
    let checkpoint = newest(&folder.path().join("run"), "checkpoint.safetensors");
    let whole = std::fs::read(&checkpoint).expect("a checkpoint");
    std::fs::write(&checkpoint, &whole[..whole.len() / 2]).expect("half a checkpoint");
    let output = run(&["--resume"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("checkpoint.safetensors"), "{}", errors(&output));
}

#[test]
fn a_step_that_is_not_finite_is_kept_and_replayed() {
    for (recipe, term) in [(EXEMPLAR, "classification"), (VIDEO, "ranking")] {
        let folder = folder_with_recipe(recipe);
        let wild = "sgd.schedule=[{ from = 0, rate = 1e30 }]";
        let output = train(folder.path(), "run", &["--set", wild]);
        assert_eq!(output.status.code(), Some(4), "{}", errors(&output));
        let said = errors(&output);
        assert!(said.contains("not finite") || said.contains(term), "{said}");
        let (_, kept) = said.split_once("deepsim replay ").expect("how to replay it");
        let mut replay = std::process::Command::new(deepsim());
        let again = replay.current_dir(folder.path()).args(["replay", kept.trim()]).output();
        let again = again.expect("deepsim runs");
        assert_eq!(again.status.code(), Some(4), "{}", errors(&again));
        let first = |text: &str| {
            text.lines().find(|line| line.starts_with("error: step")).map(str::to_owned)
        };
        assert!(first(&said).is_some() && first(&said) == first(&errors(&again)), "{said}");
    }
}

#[test]
fn the_shipped_exemplar_cnn_opens_and_is_small() -> anyhow::Result<()> {
    let folder = crate::programs::workspace().join("data/weights");
    let path = ComparatorKind::exemplar_cnn().find_weights(Some(&folder));
    let path = path.ok_or_else(|| anyhow::anyhow!("no weights in {}", folder.display()))?;
    assert!(std::fs::metadata(&path)?.len() <= 3_000_000);
    let device = candle_core::Device::Cpu;
    let net = ComparatorKind::exemplar_cnn().open(Some(&path), 0, &device)?;
    assert_eq!(net.taps(), ["CONV1", "CONV2", "CONV3"]);
    // The trained network differs from the one that training starts from.
    let images = Images::from_u8(&[200; 3 * 64 * 64], 1, 64, 64, PixelFormat::RGB_U8, &device)?;
    let mean = |net: &dyn deepsim_nets::Comparator| -> anyhow::Result<f32> {
        Ok(net.features(&images, "CONV3")?.mean_all()?.to_scalar()?)
    };
    let random = ComparatorKind::exemplar_cnn().open(None, 0, &device)?;
    assert!((mean(&*net)? - mean(&*random)?).abs() > 1e-3);
    Ok(())
}

#[test]
fn tracks_are_the_same_in_folders_shards_and_lists() -> anyhow::Result<()> {
    use deepsim_data::folder::ImageFolder;
    use deepsim_data::picture::Picture;
    use deepsim_data::shards::{Limits, copy};

    let recipe = VIDEO.replace("from = \"stills\"", "from = \"tracks\"");
    let recipe = recipe.replace("steps = 2", "steps = 1").replace("batch = 3", "batch = 2");
    let folder = folder_with_recipe(&recipe);
    let (tracks, shards) = (folder.path().join("tracks"), folder.path().join("shards"));
    let mut list = String::new();
    for track in 0..3u8 {
        std::fs::create_dir_all(tracks.join(format!("{track}")))?;
        for frame in 0..2u8 {
            let name = format!("{track}/{frame}.png");
            let pixels = (0..3 * 40 * 50).map(|i| (i as u8).wrapping_mul(7 + track) ^ frame);
            let picture = Picture { width: 50, height: 40, rgb: pixels.collect() };
            picture.write_png(&tracks.join(&name))?;
            list += &format!("tracks/{name} {track}\n");
        }
    }
    std::fs::write(folder.path().join("list.txt"), list)?;
    std::fs::create_dir(&shards)?;
    copy(&ImageFolder::open(&tracks)?, &shards, "tracks", Limits::default())?;
    for data in ["tracks", "shards", "list.txt"] {
        assert_success(&train(folder.path(), &format!("from-{data}"), &["--data", data]));
    }
    let weights = |out: &str| bytes(&folder.path().join(out), "comparator.safetensors");
    assert!(weights("from-tracks") == weights("from-shards"), "shards give other pairs");
    assert!(weights("from-tracks") == weights("from-list.txt"), "a list gives other pairs");

    let output = train(folder.path(), "nothing", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("needs --data"), "{}", errors(&output));
    Ok(())
}
