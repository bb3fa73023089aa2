//! Twenty iterations of generator and discriminator together, against PyTorch in double precision.
//!
//! Every iteration's losses, gradient norms and decisions are compared, and at the end every weight
//! and how far it has moved. Training amplifies rounding errors: `tests/fixtures/training.py` says
//! how much is left to PyTorch's own single precision, on which the tolerances rest.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use deepsim_loss::terms::{Divergence, FeatureTerm};
use deepsim_nets::{ComparatorKind, Generator, Images, Params, PixelFormat};
use deepsim_run::recipe::Recipe;
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::{StepReport, Trainer};
use serde::Deserialize;

use crate::parity_nets::comparator;
use crate::support::{Errors, Fixture, Weight, fill, indices, relative_norm, values};

/// Weights after twenty steps, relative to their norm.
const WEIGHTS: f64 = 1e-3;
/// Largest error of the change in twenty steps, relative to its norm: a few percent are chaos, more
/// is a mistake.
const CHANGE: f64 = 5e-2;
/// The same of a variational autoencoder, whose codes are drawn: kernels that add in another order, all of them right, differ
/// by up to 5.3e-2 in the first layer of its decoder.
const CHANGE_OF_CODES: f64 = 7e-2;
/// Losses, gradient norms and ratios, relative to the largest in the run: of the first step, of the
/// first five, of all. Already the first adversarial term sees an updated discriminator.
const LOSSES: [(usize, f64); 3] = [(1, 5e-5), (5, 2e-3), (20, 2e-2)];

#[derive(Deserialize)]
struct Run {
    name: String,
    comparator: ComparatorKind,
    tap: String,
    feature: f64,
    image: f64,
    adversarial: f64,
    distance: String,
    learning_rate: f64,
    batch: usize,
    start: BTreeMap<String, Vec<f32>>,
    /// Latent dimensions of a variational autoencoder.
    latent: Option<usize>,
    divergence: Option<f64>,
    warm_up: Option<u64>,
}

impl Run {
    fn recipe(&self, steps: usize) -> Result<Recipe> {
        let Self { name, distance, image, adversarial, learning_rate, batch, .. } = self;
        let vae = match (self.latent, self.divergence, self.warm_up) {
            (Some(latent), Some(weight), Some(warm_up)) => format!(
                "vae = {{ encoder = \"autoencoder\", latent = {latent}, divergence = {{ weight = \
                 {weight}, warm_up = {warm_up} }} }}"
            ),
            _ => String::new(),
        };
        // Other settings keep the defaults, which are the fixture's too.
        Ok(Recipe::parse(
            &format!(
                r#"
                name = "{name}"
                steps = {steps}
                batch = {batch}
                crop = 64
                image = {{ distance = "{distance}", weight = {image} }}
                adam = {{ learning_rate = {learning_rate} }}
                {vae}

                [adversarial]
                weight = {adversarial}
                discriminator = {{ dropout = 0.0 }}
                "#
            ),
            &[],
        )?)
    }

    fn trainer(&self, steps: usize, tables: &BTreeMap<String, Vec<Weight>>) -> Result<Trainer> {
        let feature = FeatureTerm {
            places: 1,
            comparator: comparator(&self.comparator, tables)?.into(),
            tap: self.tap.clone(),
            weight: self.feature,
        };
        let fixed = FrozenNetworks { feature: Some(feature), ..FrozenNetworks::default() };
        let trainer = Trainer::new(&self.recipe(steps)?, fixed, &Device::Cpu)?;
        for (_, net, params) in nets(&trainer)? {
            fill(params, net, &tables[net])?;
            for (name, var) in params.iter() {
                if let Some(start) = self.start.get(&format!("{net}/{name}")) {
                    var.set(&Tensor::from_slice(start, var.shape(), &Device::Cpu)?)?;
                }
            }
        }
        Ok(trainer)
    }
}

/// Role, network and weights of both.
fn nets(trainer: &Trainer) -> Result<[(&'static str, &'static str, &Params); 2]> {
    let adversary = trainer.adversary().context("no discriminator")?;
    let generator = match trainer.generator() {
        Generator::Vae(_) => "vae",
        _ => "autoencoder",
    };
    Ok([
        ("generator", generator, trainer.generator().params()),
        ("discriminator", "discriminator", adversary.net.params()),
    ])
}

/// The numbers of a step in the order of the fixture's columns.
fn row(report: &StepReport) -> Result<Vec<f64>> {
    let term = |name: &str| {
        report.terms.iter().find(|t| t.name == name).with_context(|| format!("no term {name}"))
    };
    let adversary = report.adversary.context("no discriminator")?;
    let (adversarial, feature, image) = (term("adversarial")?, term("feature")?, term("image")?);
    let mut row = vec![
        adversary.real,
        adversary.generated,
        adversarial.value,
        feature.value,
        image.value,
        adversarial.grad_norm,
        feature.grad_norm,
        image.grad_norm,
        adversary.ratio,
        adversary.accuracy,
        f64::from(u8::from(adversary.trained_discriminator)),
        f64::from(u8::from(adversary.trained_generator)),
    ];
    if let Ok(divergence) = term(Divergence::NAME) {
        row.extend([divergence.value, divergence.grad_norm]);
    }
    Ok(row)
}

fn start_values(trainer: &Trainer) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::new();
    for (_, _, params) in nets(trainer)? {
        for (_, var) in params.iter() {
            all.push(values(var)?);
        }
    }
    Ok(all)
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

fn compare(name: &str) -> Result<()> {
    let networks = Fixture::open("networks.safetensors")?;
    let mut tables: BTreeMap<String, Vec<Weight>> = networks.note("weights")?;
    let fixture = Fixture::open("training.safetensors")?;
    tables.extend(fixture.note::<BTreeMap<String, Vec<Weight>>>("weights")?);
    let (steps, samples): (usize, usize) = (fixture.note("steps")?, fixture.note("samples")?);
    let mut columns: Vec<String> = fixture.note("columns")?;
    let runs: Vec<Run> = fixture.note("runs")?;
    let run = runs.into_iter().find(|run| run.name == name).context("no such run")?;
    if run.latent.is_some() {
        columns.extend(fixture.note::<Vec<String>>("variational")?);
    }

    let mut trainer = run.trainer(steps, &tables)?;
    let start = start_values(&trainer)?;
    let images = fixture.images(&format!("{name}/rgb"), PixelFormat::CAFFE_BGR)?;
    let batches = images.len() / run.batch;
    let mut rows = Vec::with_capacity(steps);
    for step in 0..steps {
        let first = step % batches * run.batch;
        let batch = images.tensor().narrow(0, first, run.batch)?.contiguous()?;
        rows.push(row(&trainer.step(&Images::new(batch, PixelFormat::CAFFE_BGR)?)?)?);
    }

    let wanted = fixture.f64(&format!("{name}/rows.f64"))?;
    let wanted: Vec<&[f64]> = wanted.chunks_exact(columns.len()).collect();
    for (steps, tolerance) in LOSSES {
        let mut errors = Errors::below(tolerance);
        for (column, title) in columns.iter().enumerate() {
            let largest = wanted.iter().map(|row| row[column].abs()).fold(0.0, f64::max);
            for (step, (got, wanted)) in rows.iter().zip(&wanted).take(steps).enumerate() {
                let error = (got[column] - wanted[column]).abs() / largest;
                errors.add(format!("{title} of step {}", step + 1), error);
            }
        }
        errors.settle(&format!("{name}: losses of {steps} steps"));
    }

    let most = if run.latent.is_some() { CHANGE_OF_CODES } else { CHANGE };
    let (mut weights, mut change) = (Errors::below(WEIGHTS), Errors::below(most));
    let mut start = start.iter();
    for (role, _, params) in nets(&trainer)? {
        for (weight, var) in params.iter() {
            let key = format!("{name}/{role}/{weight}");
            let label = format!("{role} {weight}");
            let got = values(var)?;
            let start = start.next().context("as many weights as before")?;
            let moved: Vec<f32> = got.iter().zip(start).map(|(g, s)| g - s).collect();
            let at = indices(&key, samples, got.len());
            let pick = |values: &[f32]| at.iter().map(|&i| values[i]).collect::<Vec<_>>();
            // Samples see where each weight went, norms see all of them.
            let sampled = pick(&got);
            weights.add(&label, relative_norm(&sampled, fixture.f32(&format!("{key}/values"))?));
            change
                .add(&label, relative_norm(&pick(&moved), fixture.f32(&format!("{key}/change"))?));
            let wanted = fixture.f64(&format!("{key}/norm.f64"))?[0];
            weights.add(format!("norm of {label}"), (norm(&got) / wanted - 1.0).abs());
            let wanted = fixture.f64(&format!("{key}/change_norm.f64"))?[0];
            change.add(format!("norm of {label}"), (norm(&moved) / wanted - 1.0).abs());
        }
    }
    weights.settle(&format!("{name}: weights"));
    change.settle(&format!("{name}: change of weights"));
    Ok(())
}

#[test]
fn training_with_alexnet_follows_pytorch() -> Result<()> {
    compare("alexnet")
}

#[test]
fn training_with_exemplar_cnn_and_pauses_follows_pytorch() -> Result<()> {
    compare("exemplar")
}

#[test]
fn training_of_a_variational_autoencoder_follows_pytorch() -> Result<()> {
    compare("vae")
}
