//! Training of networks that invert an encoder's features.

use anyhow::{Context, Result};
use candle_core::Device;
use deepsim_nets::{ComparatorKind, Generator, Images, PixelFormat};
use deepsim_run::recipe::Recipe;
use deepsim_run::recipes;
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::Trainer;

use crate::programs::{
    assert_success, bytes, deepsim, errors, folder_with_recipe, train, trained_in_halves,
};
use crate::support::{shared, values};

/// The inversion of an untrained AlexNet on small crops.
pub(crate) const TINY: &str = r#"
name = "tiny-inversion"
steps = 4
batch = 2
resize = 72
crop = 64

[inversion]
encoder = "alexnet"
tap = "CONV3"

[image]
distance = "squared-error"
weight = 2.5e-5

[feature]
comparator = "alexnet"
tap = "CONV5"
rho = 2.0

[adversarial]
discriminator = { conditional = true }

[adam]
generator_decay = 4e-4

[output]
log_every = 1
grid_every = 2
checkpoint_every = 2
"#;

fn recipe(sets: &[&str]) -> Result<Recipe> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Ok(Recipe::parse(&TINY.replace("rho = 2.0", "weight = 0.01"), &sets)?)
}

fn trainer(recipe: &Recipe) -> Result<Trainer> {
    let fixed = FrozenNetworks::open(recipe, None, &Device::Cpu)?;
    Ok(Trainer::new(recipe, fixed, &Device::Cpu)?)
}

fn batch(n: usize, side: usize) -> Result<Images> {
    let pixels: Vec<u8> = (0..n * 3 * side * side).map(|i| (i * 31 % 251) as u8).collect();
    Ok(Images::from_u8(&pixels, n, side, side, PixelFormat::CAFFE_BGR, &Device::Cpu)?)
}

#[test]
fn a_run_resumes_to_the_same_bytes_and_is_measured() {
    let (_folder, whole) = trained_in_halves(TINY);

    let mut eval = std::process::Command::new(deepsim());
    let run = whole.to_str().expect("a name");
    eval.args(["eval", "error", "grid", "reencode", "interpolate", "--run", run, "--limit", "8"]);
    assert_success(&eval.output().expect("deepsim runs"));
    let error: serde_json::Value =
        serde_json::from_slice(&bytes(&whole, "eval/error.json")).expect("JSON");
    let image = error["rows"][0]["value"].as_f64().expect("a number");
    assert!(image > 10.0 && image < 1000.0, "image error {image} %");
    assert_eq!(error["rows"].as_array().map(Vec::len), Some(2));
    let name = error["rows"][1]["name"].as_str().unwrap_or_default();
    assert!(name.starts_with("alexnet CONV3 feature space"), "the inverted layer: {name}");

    // The first round is the reconstruction, whose errors are those of `error`.
    let rounds: serde_json::Value =
        serde_json::from_slice(&bytes(&whole, "eval/reencode.json")).expect("JSON");
    let value = |row: usize| rounds["rows"][row]["value"].as_f64().expect("a number");
    assert_eq!(rounds["rows"].as_array().map(Vec::len), Some(8));
    assert!((value(0) / image - 1.0).abs() < 1e-9, "{} and {image}", value(0));
    let feature = error["rows"][1]["value"].as_f64().expect("a number");
    assert!((value(4) / feature - 1.0).abs() < 1e-6, "{} and {feature}", value(4));
    // An original, seven mixtures and an original; the ends are the reconstructions.
    let read = |file: &str| {
        let path = whole.join("eval").join(file);
        deepsim_data::picture::Picture::read_png(&path).expect("a picture")
    };
    let (between, grid) = (read("interpolations.png"), read("reconstructions.png"));
    assert_eq!((between.height, between.width), (6 * 64, 9 * 64));
    let pixel = |picture: &deepsim_data::picture::Picture, y: usize, x: usize| {
        let start = 3 * (y * picture.width + x);
        picture.rgb[start..start + 3].to_vec()
    };
    assert_eq!(pixel(&between, 10, 64 + 20), pixel(&grid, 10, 20));
    assert_eq!(pixel(&between, 10, 7 * 64 + 20), pixel(&grid, 10, 64 + 20));
    assert_eq!(read("reencodings.png").height, 5 * 64);

    // Without the weights of the judge nothing is recognised, and that is said.
    let mut eval = std::process::Command::new(deepsim());
    let output = eval.args(["eval", "recognise", "--run", run, "--limit", "4"]).output();
    let output = output.expect("deepsim runs");
    assert!(errors(&output).contains("expected the weights of squeezenet"), "{}", errors(&output));
}

#[test]
fn encoder_and_comparator_of_the_same_weights_are_one_network() -> Result<()> {
    let images = batch(2, 64)?;
    let device = Device::Cpu;
    let alone = |tap: &str| -> Result<Vec<f32>> {
        let net = ComparatorKind::alexnet().open_to(tap, None, 0, &device)?;
        values(&net.features(&images, tap)?)
    };
    for (sets, shared) in [(&[][..], true), (&["feature.seed=1"], false)] {
        let fixed = FrozenNetworks::open(&recipe(sets)?, None, &device)?;
        let (encoder, feature) =
            (fixed.encoder.as_ref().context("encoder")?, fixed.feature.as_ref().context("term")?);
        assert_eq!(std::sync::Arc::ptr_eq(&encoder.net, &feature.comparator), shared);
        let found = fixed.encode(&images)?;
        assert_eq!(values(&found.inverted.context("features")?)?, alone("CONV3")?);
        let target = values(&found.target.context("target")?)?;
        assert_eq!(target == alone("CONV5")?, shared);
    }
    Ok(())
}

#[test]
fn terms_are_switched_off_one_by_one() -> Result<()> {
    for (sets, terms) in [
        (&[][..], &["adversarial", "feature", "image"][..]),
        (&["feature="], &["adversarial", "image"]),
        (&["adversarial="], &["feature", "image"]),
        (&["feature=", "adversarial=", "inversion.plain=true"], &["image"]),
        (&["image.weight=0"], &["adversarial", "feature", "image"]),
        (
            &["terms.total_variation.weight=1e-6"],
            &["adversarial", "feature", "image", "total_variation"],
        ),
    ] {
        let mut trainer = trainer(&recipe(sets)?)?;
        let report = trainer.step(&batch(2, 64)?)?;
        let names: Vec<_> = report.terms.iter().map(|term| term.name).collect();
        assert_eq!(names, terms, "{sets:?}");
        assert!(report.terms.iter().all(|term| term.value.is_finite()));
        let Generator::Inverter(net) = trainer.generator() else { anyhow::bail!("an inverter") };
        assert_eq!(net.config().features, [384, 3, 3]);
        assert_eq!(net.config().plain, sets.len() == 3);
    }
    Ok(())
}

#[test]
fn only_the_first_convolutions_decay() -> Result<()> {
    // Adam without a gradient but the penalty's moves weights by the whole learning rate.
    let sets = ["feature=", "adversarial=", "image.weight=0"];
    let mut trainer = trainer(&recipe(&sets)?)?;
    let weights = |trainer: &Trainer| -> Result<Vec<(String, Vec<f32>)>> {
        let params = trainer.generator().params().iter();
        params.map(|(name, var)| Ok((name.to_owned(), values(var)?))).collect()
    };
    let before = weights(&trainer)?;
    trainer.step(&batch(2, 64)?)?;
    for ((name, before), (_, after)) in before.iter().zip(weights(&trainer)?) {
        let decays = name.starts_with("Rconv") && name.ends_with(".weight");
        assert_eq!(*before != after, decays, "{name}");
    }
    Ok(())
}

#[test]
fn a_batch_in_parts_gives_the_gradient_of_the_whole() -> Result<()> {
    let sets = ["batch=4", "adversarial="];
    let whole = trainer(&recipe(&sets)?)?.step(&batch(4, 64)?)?;
    let parts = [sets[0], sets[1], "micro_batch=2"];
    let parts = trainer(&recipe(&parts)?)?.step(&batch(4, 64)?)?;
    for (a, b) in whole.gradients.iter().zip(&parts.gradients) {
        assert!((a.1 / b.1 - 1.0).abs() < 1e-4, "{a:?} {b:?}");
    }
    Ok(())
}

/// Overrides of [`TINY`] for several draws of each image, with all kinds of noise.
pub(crate) const DRAWS: [&str; 9] = [
    "inversion.small=true",
    "inversion.noise=2",
    "inversion.global_noise=3",
    "inversion.stage_noise=1",
    "inversion.scaled=true",
    "draws=2",
    "image.distance=energy-score",
    "adversarial.after=1",
    "average=0.5",
];

#[test]
fn several_draws_in_parts_give_the_gradient_of_the_whole() -> Result<()> {
    let step = |more: &[&str]| -> Result<_> {
        // The scale is measured on the data, of which there is none here.
        let sets = DRAWS.iter().filter(|set| !set.starts_with("inversion.scaled"));
        let sets: Vec<&str> = sets.chain(&["batch=4"]).chain(more).copied().collect();
        let mut trainer = trainer(&recipe(&sets)?)?;
        let first = trainer.step(&batch(4, 64)?)?;
        Ok((first, trainer.step(&batch(4, 64)?)?))
    };
    let (first, second) = step(&[])?;
    let names = |report: &deepsim_train::trainer::StepReport| -> Vec<&str> {
        report.terms.iter().map(|term| term.name).collect()
    };
    assert_eq!(names(&first), ["feature", "image"], "the discriminator comes later");
    assert_eq!(names(&second), ["adversarial", "feature", "image"]);
    assert!(first.adversary.is_none() && second.adversary.is_some());
    let (parts, second_in_parts) = step(&["micro_batch=2"])?;
    let both = first.terms.iter().chain(&second.terms);
    for (a, b) in both.zip(parts.terms.iter().chain(&second_in_parts.terms)) {
        assert!((a.value / b.value - 1.0).abs() < 2e-3, "{a:?} {b:?}");
    }
    for (a, b) in first.gradients.iter().zip(&parts.gradients) {
        assert!((a.1 / b.1 - 1.0).abs() < 1e-4, "{a:?} {b:?}");
    }
    Ok(())
}

#[test]
fn draws_without_noise_and_scores_of_one_draw_are_refused() {
    for (sets, words) in [
        (&["draws=2"][..], "draws: expected 1, or a generator that takes noise"),
        (&["draws=0"], "draws: expected at least 1, found 0"),
        (
            &["inversion.noise=1", "image.distance=energy-score"],
            "image.distance: expected at least 2 draws for energy-score, found 1",
        ),
        (&["inversion.stage_noise=1"], "`small` for noise at every stage"),
        (&["inversion.small=true", "inversion.plain=true"], "`plain` or `small`, not both"),
    ] {
        let message = recipe(sets).expect_err(words).to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_run_of_several_draws_resumes_to_the_same_bytes() {
    let set = |text: &str| {
        let (key, value) = text.split_once('=').expect("an override");
        let quoted = format!("\"{value}\"");
        (key.to_owned(), if value.contains('-') { quoted } else { value.to_owned() })
    };
    let mut table: toml::Table = TINY.parse().expect("TOML");
    for (key, value) in DRAWS.map(set) {
        let value: toml::Table = format!("value = {value}").parse().expect("TOML");
        let mut at = &mut table;
        let mut path: Vec<&str> = key.split('.').collect();
        let last = path.pop().expect("a key");
        for part in path {
            at = at[part].as_table_mut().expect("a table");
        }
        at.insert(last.into(), value["value"].clone());
    }
    let (_folder, whole) = trained_in_halves(&table.to_string());
    let plan = String::from_utf8(bytes(&whole, "plan.toml")).expect("text");
    assert!(plan.contains("\nscale = ["), "the scale of the features is kept: {plan}");
}

#[test]
fn what_cannot_be_inverted_is_named() {
    let folder = folder_with_recipe(TINY);
    for (set, words) in [
        ("inversion.tap=CONV9", "inversion.tap: expected one of alexnet's taps CONV1, CONV2"),
        ("crop=16", "crop: alexnet CONV3: expected sides of at least 23 pixels, found 16"),
        ("inversion=", "conditional: expected an [inversion]"),
        ("inversion.encodr=alexnet", "did you mean `encoder`?"),
    ] {
        let output = train(folder.path(), "out", &["--set", set]);
        assert!(!output.status.success(), "{set}");
        assert!(
            errors(&output).to_lowercase().contains(&words.to_lowercase()),
            "{}",
            errors(&output)
        );
        assert!(!folder.path().join("out/checkpoints").exists());
    }
}

#[test]
fn the_recipes_of_the_paper_are_valid() -> Result<()> {
    let mut found = 0;
    let of_the_paper = |name: &&str| name.starts_with("inversion") && *name != "inversion-small";
    for name in recipes::names().filter(of_the_paper) {
        let recipe = Recipe::parse(recipes::text(name).context(name)?, &[])?;
        assert_eq!((recipe.resize, recipe.crop, recipe.batch), (Some(256), 227, 64));
        found += 1;
    }
    assert_eq!(found, 7);
    Ok(())
}

#[test]
fn the_shared_stand_in_opens_beside_alexnets_convolutions() -> Result<()> {
    let Some(folder) = shared("weights/alexnet_head_imagenette10_f16.safetensors") else {
        return Ok(());
    };
    let folder = folder.parent().context("a folder")?;
    let device = Device::Cpu;
    let open = |kind: ComparatorKind, tap: &str| {
        kind.open_to(tap, kind.find_weights(Some(folder)).as_deref(), 0, &device)
    };
    let images = batch(1, 227)?;
    let stand_in = open(ComparatorKind::alexnet_stand_in(), "FC8")?;
    let features = stand_in.features_at(&images, &["CONV5", "FC6", "FC8"])?;
    assert_eq!((features[1].dims(), features[2].dims()), (&[1, 256][..], &[1, 10][..]));
    let alexnet = open(ComparatorKind::alexnet(), "CONV5")?.features(&images, "CONV5")?;
    assert_eq!(values(&features[0])?, values(&alexnet)?);
    Ok(())
}
