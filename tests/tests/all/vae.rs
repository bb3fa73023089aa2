//! Training, measuring and sampling of variational autoencoders.

use anyhow::{Context, Result};
use candle_core::Device;
use deepsim_nets::{ComparatorKind, Generator, Images, PixelFormat, Vae, VaeConfig, VaeEncoder};
use deepsim_run::recipe::Recipe;
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::Trainer;

use crate::programs::{
    assert_success, bytes, deepsim, errors, folder_with_recipe, train, trained_in_halves,
};
use crate::support::{Fixture, Weight, shared, values, write_weights};

/// A small one with every term.
pub(crate) const TINY: &str = r#"
name = "tiny-vae"
steps = 4
batch = 4
crop = 64

[vae]
encoder = "autoencoder"
latent = 24
divergence = { weight = 2.0, warm_up = 3 }

[image]
distance = "squared-error"
weight = 2.5e-5

[feature]
comparator = "alexnet"
tap = "CONV3"
rho = 2.0

[adversarial]
weight = 100.0

[output]
log_every = 1
grid_every = 2
checkpoint_every = 2
"#;

fn json(run: &std::path::Path, file: &str) -> serde_json::Value {
    serde_json::from_slice(&bytes(run, file)).expect("JSON")
}

#[test]
fn a_run_resumes_to_the_same_bytes_and_is_measured_and_sampled() {
    let (folder, whole) = trained_in_halves(TINY);

    // The weight of the divergence grows over three steps.
    let log = String::from_utf8(bytes(&whole, "log.jsonl")).expect("text");
    let weights: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|line| line["terms"]["divergence"]["weight"].as_f64())
        .collect();
    assert_eq!(weights.len(), 4, "{log}");
    for (weight, wanted) in weights.iter().zip([2.0 / 3.0, 4.0 / 3.0, 2.0, 2.0]) {
        assert!((weight - wanted).abs() < 1e-12, "{weights:?}");
    }
    // Originals, reconstructions, samples.
    let read = |file: &str| {
        let path = whole.join(file);
        deepsim_data::picture::Picture::read_png(&path).expect("a picture")
    };
    assert_eq!(read("grids/step-0000004.png").height, 3 * 64 + 2 * 2);

    let run = whole.to_str().expect("a name");
    let eval = |arguments: &[&str]| {
        let mut eval = std::process::Command::new(deepsim());
        eval.args(arguments).args(["--run", run]).output().expect("deepsim runs")
    };
    let measures = ["eval", "error", "grid", "interpolate", "latent", "samples", "--limit", "40"];
    assert_success(&eval(&measures));
    let latent = json(&whole, "eval/latent.json");
    let value = |row: usize| latent["rows"][row]["value"].as_f64().expect("a number");
    assert_eq!(latent["rows"][0]["name"], "divergence from the prior");
    assert!(value(0) > 0.0 && value(1) <= 24.0, "{latent}");
    let samples = json(&whole, "eval/samples.json");
    let names: Vec<_> = samples["rows"]
        .as_array()
        .map(|rows| rows.iter().filter_map(|row| row["name"].as_str()).collect())
        .unwrap_or_default();
    assert_eq!(
        names,
        [
            "high-frequency power of samples",
            "middle-frequency power of samples",
            "distance of samples' band powers",
            "Frechet distance, alexnet CONV5, random weights",
            "kernel distance, alexnet CONV5, random weights"
        ]
    );
    // Too few images for a Frechet distance in so many dimensions.
    let (frechet, kernel) = (&samples["rows"][3], &samples["rows"][4]);
    let note = frechet["note"].as_str().unwrap_or_default();
    assert!(frechet["value"].is_null() && note.contains("needs more than 512 images"), "{note}");
    let distance = kernel["value"].as_f64().expect("a number");
    assert!(distance > 0.0, "scenes and the samples of four steps are not alike: {distance}");
    assert_eq!(read("eval/samples.png").height, 8 * 64);

    // The same seed: the same bytes, and the first of more are the same pictures.
    let draw = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        let path = out.to_str().expect("a name");
        assert_success(&eval(&[&["sample", "--out", path], more].concat()));
        std::fs::read(&out).expect("a picture")
    };
    let one = draw("a.png", &["-n", "64", "--seed", "0"]);
    assert!(one == draw("b.png", &["--seed", "0"]));
    assert!(one == bytes(&whole, "eval/samples.png"));
    draw("few.png", &["-n", "3"]);
    let few = deepsim_data::picture::Picture::read_png(&folder.path().join("few.png"));
    let (few, all) = (few.expect("a picture"), read("eval/samples.png"));
    assert_eq!((few.height, few.width), (64, 3 * 64));
    let row = |picture: &deepsim_data::picture::Picture| picture.rgb[..3 * 3 * 64].to_vec();
    assert_eq!(row(&few), row(&all), "the first of more are the same pictures");
    assert!(one != draw("c.png", &["--seed", "1"]));
    assert!(one != draw("d.png", &["--truncation", "0.5"]));
    for nothing in [["-n", "0"], ["--columns", "0"]] {
        assert_eq!(eval(&[&["sample"][..], &nothing].concat()).status.code(), Some(2));
    }
    let refused = eval(&["sample", "--truncation", "0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains("truncation: expected a number of at least 0.01, found 0"));
}

#[test]
fn too_few_images_for_a_distance_are_said_to_be() {
    let folder = folder_with_recipe(TINY);
    let sets = ["--set", "steps=1", "--set", "feature=", "--set", "adversarial="];
    assert_success(&train(folder.path(), "run", &sets));
    let run = folder.path().join("run");
    let mut eval = std::process::Command::new(deepsim());
    eval.args(["eval", "samples", "latent", "--limit", "8", "--run"]).arg(&run);
    assert_success(&eval.output().expect("deepsim runs"));
    let samples = json(&run, "eval/samples.json");
    let row = samples["rows"].as_array().and_then(|rows| rows.last()).expect("a row");
    assert!(row["value"].is_null(), "{row}");
    assert!(row["note"].as_str().unwrap_or_default().contains("at least 40 test images, found 8"));
}

#[test]
fn a_generator_without_a_prior_is_not_sampled() {
    let folder = folder_with_recipe(TINY);
    let sets = ["--set", "vae=", "--set", "steps=1", "--set", "feature=", "--set", "adversarial="];
    assert_success(&train(folder.path(), "plain", &sets));
    for what in [&["sample"][..], &["eval", "samples"], &["eval", "latent"]] {
        let mut eval = std::process::Command::new(deepsim());
        let output = eval.args(what).arg("--run").arg(folder.path().join("plain")).output();
        let output = output.expect("deepsim runs");
        assert_eq!(output.status.code(), Some(2), "{what:?}");
        let told = errors(&output);
        assert!(told.contains("expected a variational autoencoder"), "{what:?}: {told}");
    }
}

#[test]
fn a_batch_in_parts_gives_the_gradient_of_the_whole() -> Result<()> {
    // With a discriminator the images are generated twice, from the same noise.
    let recipe = |parts: &str| -> Result<Recipe> {
        let sets = ["feature=", "adversarial.discriminator.dropout=0", parts].map(str::to_owned);
        Ok(Recipe::parse(TINY, &sets)?)
    };
    let pixels: Vec<u8> = (0..4 * 3 * 64 * 64).map(|i| (i * 31 % 251) as u8).collect();
    let images = Images::from_u8(&pixels, 4, 64, 64, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
    let step = |parts: &str| -> Result<_> {
        let recipe = recipe(parts)?;
        let fixed = FrozenNetworks::open(&recipe, None, &Device::Cpu)?;
        Ok(Trainer::new(&recipe, fixed, &Device::Cpu)?.step(&images)?)
    };
    let (whole, parts) = (step("seed=0")?, step("micro_batch=2")?);
    assert_eq!(whole.terms.len(), 3);
    for (a, b) in whole.terms.iter().zip(&parts.terms) {
        assert_eq!(a.name, b.name);
        assert!((a.value / b.value - 1.0).abs() < 1e-4, "{a:?} {b:?}");
    }
    for (a, b) in whole.gradients.iter().zip(&parts.gradients) {
        assert!((a.1 / b.1 - 1.0).abs() < 1e-3, "{a:?} {b:?}");
    }
    Ok(())
}

#[test]
fn an_encoder_begins_with_a_trained_network_and_its_fc6() -> Result<()> {
    let fixture = Fixture::open("networks.safetensors")?;
    let tables: std::collections::BTreeMap<String, Vec<Weight>> = fixture.note("weights")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("alexnet.safetensors");
    let trunk: Vec<Weight> =
        tables["alexnet"].iter().filter(|w| w.name.starts_with("conv")).cloned().collect();
    write_weights(&path, "alexnet", &trunk)?;
    let config = VaeConfig { encoder: VaeEncoder::AlexNet, latent: 16, side: 227 };
    let vae = Vae::new(config, 0, &Device::Cpu)?;
    let weight = |name: &str| values(vae.params().get(name).context("a weight")?.as_tensor());
    let mean = weight("encoder.mean.weight")?;
    vae.begin_with(&path)?;
    assert_eq!(mean, weight("encoder.mean.weight")?, "there is no fc6 in the file");

    // The encoder's maps are then the network's.
    let net = ComparatorKind::alexnet().open_to("CONV5", Some(&path), 0, &Device::Cpu)?;
    let pixels: Vec<u8> = (0..3 * 227 * 227).map(|i| (i * 31 % 251) as u8).collect();
    let images = Images::from_u8(&pixels, 1, 227, 227, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
    let features = net.features(&images, "CONV5")?.flatten_from(1)?;
    let matrix = vae.params().get("encoder.mean.weight").context("a weight")?.as_tensor().t()?;
    let wanted = values(&features.matmul(&matrix.contiguous()?)?)?;
    for (got, wanted) in values(&vae.encode(&images)?.mean)?.iter().zip(&wanted) {
        assert!((got - wanted).abs() <= 1e-3 * wanted.abs().max(1.0), "{got} {wanted}");
    }

    // One of the same width is taken over as the mean.
    let mut whole = trunk;
    for (name, shape) in [("fc6.weight", vec![16, 9216]), ("fc6.bias", vec![16])] {
        whole.push(Weight { name: name.into(), shape, amplitude: 0.01, offset: 0.0 });
    }
    write_weights(&path, "alexnet", &whole)?;
    vae.begin_with(&path)?;
    assert_ne!(mean, weight("encoder.mean.weight")?);
    Ok(())
}

#[test]
fn the_real_alexnet_is_found_in_the_shared_folder_of_weights() -> Result<()> {
    let Some(weights) = shared("weights") else { return Ok(()) };
    let recipe = TINY
        .replace("crop = 64", "crop = 227")
        .replace("encoder = \"autoencoder\"", "encoder = \"alexnet\"")
        .replace("rho = 2.0", "weight = 0.01");
    let first = |sets: &[&str]| -> Result<Vec<f32>> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let recipe = Recipe::parse(&recipe, &sets)?;
        let fixed = FrozenNetworks::open(&recipe, Some(&weights), &Device::Cpu)?;
        assert_eq!(
            fixed.initial_weights.is_some(),
            !recipe.vae.as_ref().is_some_and(|v| v.from_scratch)
        );
        let trainer = Trainer::new(&recipe, fixed, &Device::Cpu)?;
        let Generator::Vae(net) = trainer.generator() else { anyhow::bail!("a VAE") };
        assert_eq!((net.config().side, net.config().latent), (227, 24));
        values(net.params().get("encoder.conv1.weight").context("a weight")?.as_tensor())
    };
    // Whatever the seed, the encoder begins with AlexNet; from scratch it does not.
    let begun = first(&["seed=0"])?;
    assert!(begun == first(&["seed=1"])?);
    assert!(begun != first(&["vae.from_scratch=true"])?);
    Ok(())
}
