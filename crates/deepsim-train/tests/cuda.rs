//! Training on a GPU against the CPU. Without a GPU every test says so and passes.
#![cfg(feature = "cuda")]

use std::path::Path;

use candle_core::Device;
use deepsim_data::Dataset;
use deepsim_loss::Balance;
use deepsim_nets::{Images, Params, PixelFormat};
use deepsim_run::files::{CHECKPOINT, GENERATOR, LOG};
use deepsim_run::plan::Plan;
use deepsim_run::recipe::Recipe;
use deepsim_train::TrainError;
use deepsim_train::run::plan;
use deepsim_train::run::{Outcome, Requests, RunOptions, run};
use deepsim_train::store::checkpoint;
use deepsim_train::trainer::{StepReport, Trainer};

/// All terms, with dropout; the paper's networks on a few small crops.
const RECIPE: &str = r#"
name = "tiny"
steps = 3
batch = 2
crop = 40

[image]
distance = "squared-error"
weight = 2.5e-5

[feature]
comparator = "alexnet"
tap = "CONV2"
rho = 2.0

[adversarial]
weight = 100.0

[output]
log_every = 1
grid_every = 100
checkpoint_every = 2
"#;

/// The first GPU; the reason why not is shown with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the reason for passing without a test")]
fn gpu() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            let error = error.to_string();
            assert!(std::env::var_os("DEEPSIM_NEEDS_GPU").is_none(), "no GPU: {error}");
            eprintln!("not tested, no GPU: {}", error.lines().next().unwrap_or_default());
            None
        }
    }
}

fn batch(seed: usize, device: &Device) -> Result<Images, TrainError> {
    let pixels: Vec<u8> =
        (0..2 * 3 * 40 * 40).map(|i| ((i + seed * 977) * (i / 7 + 3) % 251) as u8).collect();
    Ok(Images::from_u8(&pixels, 2, 40, 40, PixelFormat::CAFFE_BGR, device)?)
}

/// Overrides that make it a variational autoencoder.
const VARIATIONAL: [&str; 3] =
    ["vae.encoder=autoencoder", "vae.latent=8", "vae.divergence.weight=2"];

fn trainer(sets: &[&str], device: &Device) -> Result<(Plan, Trainer), TrainError> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let recipe = Recipe::parse(RECIPE, &sets)?;
    let dataset = Dataset::open(None, recipe.seed)?;
    let (plan, feature) = plan::settle(&recipe, &dataset, None, None, device)?;
    let trainer = Trainer::new(&plan.recipe, feature, device)?;
    Ok((plan, trainer))
}

/// The numbers of a report; those of a GPU should be near the CPU's.
fn numbers(report: &StepReport) -> Vec<f64> {
    let mut numbers = vec![report.learning_rate];
    for term in &report.terms {
        numbers.extend([term.value, term.weight, term.grad_norm]);
    }
    let adversary = report.adversary.expect("the recipe has a discriminator");
    numbers.extend([adversary.real, adversary.generated, adversary.accuracy, adversary.ratio]);
    numbers
}

#[track_caller]
fn assert_near(got: &StepReport, wanted: &StepReport, tolerance: f64) {
    for (i, (got, wanted)) in numbers(got).iter().zip(numbers(wanted)).enumerate() {
        let near = (got - wanted).abs() <= tolerance * wanted.abs();
        assert!(near, "number {i} of a step: expected {wanted}, found {got}");
    }
}

fn weights(params: &Params) -> Result<Vec<Vec<f32>>, TrainError> {
    params.iter().map(|(_, var)| Ok(var.flatten_all()?.to_vec1::<f32>()?)).collect()
}

#[test]
fn steps_are_those_of_the_cpu_and_a_checkpoint_goes_on_on_either_device() -> Result<(), TrainError>
{
    follows_the_cpu(&[])
}

#[test]
fn so_they_are_of_a_variational_autoencoder() -> Result<(), TrainError> {
    follows_the_cpu(&VARIATIONAL)
}

#[test]
fn so_they_are_with_clipped_gradients_and_a_relative_weight_of_patches() -> Result<(), TrainError> {
    let adversarial = "adversarial={loss=\"hinge\",adaptive=true,balance=\"off\",weight=0.5,discriminator={patch=true}}";
    follows_the_cpu(&[adversarial, "adam.clip=0.01", "adam.warm_up=3", "adam.cosine=10"])
}

fn follows_the_cpu(sets: &[&str]) -> Result<(), TrainError> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let trainer = |device: &Device| trainer(sets, device);
    let (plan, mut on_cpu) = trainer(&Device::Cpu)?;
    let (gpu_plan, mut on_gpu) = trainer(&gpu)?;
    let weight = |plan: &Plan| plan.recipe.feature.as_ref().and_then(|f| f.weight).unwrap_or(0.0);
    assert!((weight(&gpu_plan) / weight(&plan) - 1.0).abs() < 1e-4, "calibration");

    for (step, tolerance) in [(1, 1e-3), (2, 1e-2)] {
        let wanted = on_cpu.step(&batch(step, &Device::Cpu)?)?;
        assert_near(&on_gpu.step(&batch(step, &gpu)?)?, &wanted, tolerance);
    }

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(CHECKPOINT);
    let bytes = checkpoint::to_bytes(&on_gpu, Default::default(), &gpu_plan)?;
    std::fs::write(&path, bytes).expect("the checkpoint is written");
    let wanted = on_gpu.step(&batch(3, &gpu)?)?;
    let (_, mut again) = trainer(&gpu)?;
    checkpoint::load(&path, &mut again)?;
    assert_eq!(again.step(&batch(3, &gpu)?)?, wanted, "resumed on the GPU");
    let after = weights(on_gpu.generator().params())?;
    assert!(weights(again.generator().params())? == after, "weights resumed on the GPU");

    let (_, mut elsewhere) = trainer(&Device::Cpu)?;
    checkpoint::load(&path, &mut elsewhere)?;
    assert_near(&elsewhere.step(&batch(3, &Device::Cpu)?)?, &wanted, 1e-3);

    // What it draws of images, and of codes from the prior if there is one.
    let drawn = |trainer: &Trainer, device: &Device| -> Result<Vec<f32>, TrainError> {
        let mut values =
            trainer.reconstruct(&batch(4, device)?)?.tensor().flatten_all()?.to_vec1()?;
        if let Some(samples) = trainer.samples(2)? {
            values.extend(samples.tensor().flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(values)
    };
    checkpoint::load(&path, &mut elsewhere)?;
    checkpoint::load(&path, &mut again)?;
    let (got, wanted) = (drawn(&again, &gpu)?, drawn(&elsewhere, &Device::Cpu)?);
    let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert_eq!(got.len(), wanted.len());
    assert!(got.iter().zip(&wanted).all(|(got, wanted)| (got - wanted).abs() <= 1e-3 * largest));
    Ok(())
}

#[test]
fn steps_by_graphs_are_those_without() -> Result<(), TrainError> {
    by_graphs(&["average=0.9", "adversarial.balance=off"])
}

#[test]
fn so_they_are_with_noise_and_a_divergence() -> Result<(), TrainError> {
    by_graphs(&[&VARIATIONAL[..], &["adversarial.balance=off"]].concat())
}

fn by_graphs(sets: &[&str]) -> Result<(), TrainError> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let ((_, mut plain), (_, mut graphs)) = (trainer(sets, &gpu)?, trainer(sets, &gpu)?);
    graphs.set_graphs(true);
    // Of each kind of step the third is recorded and the fourth launched again; they take turns, and pictures
    // of another number of images are drawn in between.
    let (both, one) = (Balance::default(), |train_discriminator| Balance {
        train_discriminator,
        train_generator: !train_discriminator,
    });
    let kinds = [both, both, both, one(false), one(false), one(false), both, one(false)];
    for (step, balance) in (1..).zip(kinds) {
        for trainer in [&mut plain, &mut graphs] {
            trainer.set_balance(balance);
        }
        let images = batch(step, &gpu)?;
        assert_eq!(graphs.step(&images)?, plain.step(&images)?, "step {step}");
        if step == 6 {
            let image = images.with_tensor(images.tensor().narrow(0, 0, 1)?)?;
            graphs.reconstruct(&image)?;
        }
    }
    assert_eq!(graphs.graphs_refused(), None);
    let all = |trainer: &Trainer| -> Result<_, TrainError> {
        let adversary = trainer.adversary().expect("the recipe has a discriminator");
        let moments = adversary.adam.moments().iter().chain(trainer.generator_adam().moments());
        let moments: Vec<_> = moments.map(|moments| moments.first().to_vec()).collect();
        Ok((
            weights(trainer.generator().params())?,
            weights(trainer.product().params())?,
            weights(adversary.net.params())?,
            moments,
        ))
    };
    assert!(all(&graphs)? == all(&plain)?, "weights");

    // A step that cannot be ended is undone, and the next one is made as if it had not been.
    let bad = batch(9, &gpu)?;
    let bad = bad.with_tensor((bad.tensor() * f64::NAN)?)?;
    let before = all(&graphs)?;
    for trainer in [&mut graphs, &mut plain] {
        trainer.set_balance(both);
        assert!(matches!(trainer.step(&bad), Err(TrainError::NonFinite(_))));
        assert!(all(trainer)? == before, "after a step that was undone");
    }
    let images = batch(10, &gpu)?;
    assert_eq!(graphs.step(&images)?, plain.step(&images)?);
    assert!(all(&graphs)? == all(&plain)?, "weights after that");
    Ok(())
}

fn train(out: &Path, device: &Device, steps: u64) -> Result<Outcome, TrainError> {
    let recipe = Recipe::parse(RECIPE, &[format!("steps={steps}")])?;
    let options = RunOptions { resume: true, device: device.clone(), ..RunOptions::new(out) };
    run(&recipe, &options, &Requests::default())
}

#[test]
fn a_run_on_a_gpu_that_is_continued_has_the_bytes_of_one_that_is_not() -> Result<(), TrainError> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
    assert_eq!(train(&once, &gpu, 3)?, Outcome::Finished);
    train(&twice, &gpu, 2)?;
    assert_eq!(train(&twice, &gpu, 3)?, Outcome::Finished);
    for file in [GENERATOR, CHECKPOINT] {
        let bytes = |out: &Path| {
            let checkpoint = out.join("checkpoints/step-0000003");
            std::fs::read(checkpoint.join(file)).expect("the run wrote it")
        };
        assert!(bytes(&once) == bytes(&twice), "{file} differs");
    }
    assert!(once.join(LOG).exists() && once.join("grids/step-0000003.png").exists());
    Ok(())
}
