//! Super-resolution by two in a candle program: squared error, features of the Exemplar-CNN in the box, and an
//! adversary, on images in 0..=1.
//!
//! ```sh
//! cargo run --release -p deepsim-examples --bin super_resolution -- [STEPS]
//! ```
//!
//! The generator is written twice, with candle-nn's layers and with those of `deepsim_ops::nn`; the only difference is
//! the line that imports them. The program trains with the second, and times a step of both in turn.

#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW, VarBuilder, VarMap};
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig, read_range};
use deepsim_loss::term::{Inputs, from_fn};
use deepsim_loss::{
    Balance, BalanceRule, PerceptualDistance, TapDistance, balance, calibrate, objective, terms,
};
use deepsim_nets::random::streams;
use deepsim_nets::{ComparatorKind, Discriminator, DiscriminatorConfig, Images, PixelFormat};
use deepsim_ops::nn::{AdamW, init};

/// Declares the generator with the layers of a crate.
macro_rules! generator {
    ($module:ident, $($layers:tt)+) => {
        mod $module {
            use candle_core::{Module, Result, Tensor};
            use candle_nn::VarBuilder;
            use candle_nn::ops::leaky_relu;
            use candle_nn::{Conv2dConfig, ConvTranspose2dConfig};
            use $($layers)+::{Conv2d, ConvTranspose2d, conv2d, conv_transpose2d};

            pub(crate) struct Enlarger {
                c1: Conv2d,
                c2: Conv2d,
                up: ConvTranspose2d,
                out: Conv2d,
            }

            impl Enlarger {
                pub(crate) fn new(vb: VarBuilder) -> Result<Self> {
                    let padded = |padding| Conv2dConfig { padding, ..Default::default() };
                    let doubled = ConvTranspose2dConfig { stride: 2, padding: 1, ..Default::default() };
                    Ok(Self {
                        c1: conv2d(3, 32, 5, padded(2), vb.pp("c1"))?,
                        c2: conv2d(32, 32, 3, padded(1), vb.pp("c2"))?,
                        up: conv_transpose2d(32, 32, 4, doubled, vb.pp("up"))?,
                        out: conv2d(32, 3, 3, padded(1), vb.pp("out"))?,
                    })
                }
            }

            /// `(N, 3, H, W) -> (N, 3, 2 H, 2 W)`: the image enlarged without interpolation, and a correction, which
            /// is small before training.
            impl Module for Enlarger {
                fn forward(&self, x: &Tensor) -> Result<Tensor> {
                    let y = leaky_relu(&self.c1.forward(x)?, 0.1)?;
                    let y = leaky_relu(&self.c2.forward(&y)?, 0.1)?;
                    let y = leaky_relu(&self.up.forward(&y)?, 0.1)?;
                    let (_, _, h, w) = x.dims4()?;
                    (self.out.forward(&y)? * 0.1)? + x.upsample_nearest2d(2 * h, 2 * w)?
                }
            }
        }
    };
}

generator!(candle, candle_nn);
generator!(ours, deepsim_ops::nn);

/// Peak signal-to-noise ratio in dB, of images in 0..=1.
fn psnr(a: &Tensor, b: &Tensor) -> Result<f32> {
    let error = (a.clamp(0f32, 1f32)? - b)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    Ok(-10.0 * error.log10())
}

/// Quality of some enlarged test images.
#[derive(Clone, Copy, Debug)]
struct Quality {
    /// Peak signal-to-noise ratio in dB.
    psnr: f32,
    /// Distance in the comparator's features.
    features: f32,
}

fn quality(distance: &PerceptualDistance, images: &Images, test: &Images) -> Result<Quality> {
    let features = distance.per_sample(images, test)?.mean_all()?.to_scalar()?;
    Ok(Quality { psnr: psnr(images.tensor(), test.tensor())?, features })
}

/// Trains for some steps; returns the quality without and with the network.
fn train(steps: u64, batch: usize) -> Result<[Quality; 2]> {
    let device = Device::Cpu;
    // Procedural scenes; `Dataset::open(Some(folder), 0)` reads pictures.
    let data = Dataset::open(None, 0)?;
    let config = LoaderConfig { batch, crop: Crop::Random(64), mirror: true, ..Default::default() };
    let loader = Loader::new(data.unlabeled.clone(), config, Cursor::default())?;
    let images = |pixels: &[u8], n| Images::from_u8(pixels, n, 64, 64, PixelFormat::UNIT, &device);
    let test = read_range(&*data.test.images, 0..16, Crop::Center(64))?;
    let test = images(&test.pixels, test.n)?;
    let low = test.tensor().avg_pool2d(2)?;

    // The generator's variables, in the map of candle-nn.
    let vars = VarMap::new();
    let net = ours::Enlarger::new(init::var_builder(&vars, 0, DType::F32, &device))?;
    let adam = |lr| ParamsAdamW { lr, weight_decay: 0.0, ..Default::default() };
    let mut optimiser = AdamW::of_varmap(&vars, adam(1e-3))?;

    // The adversary and the comparator.
    let config = DiscriminatorConfig { slope: 0.2, ..Default::default() };
    let judge = Discriminator::new(config, None, 0, &device)?;
    let judged: Vec<Var> = judge.params().iter().map(|(_, var)| var.clone()).collect();
    let mut judge_optimiser = AdamW::new(judged, adam(2e-4))?;
    let comparator = ComparatorKind::exemplar_cnn().open_shipped(&device)?;
    // Squared error and features count alike.
    let features = calibrate::pair_energy(&comparator.features(&test, "CONV2")?)?;
    let feature_weight =
        calibrate::feature_weight(features, 1.0, calibrate::pair_energy(test.tensor())?, 1.0)?;
    let distance = PerceptualDistance::new(comparator, vec![TapDistance::deepsim("CONV2", 1.0)])?;
    let before = test.with_tensor(low.upsample_nearest2d(64, 64)?)?;
    let before = quality(&distance, &before, &test)?;

    let mut rule = Balance::default();
    for (step, batch) in (0..steps).zip(loader) {
        let batch = batch?;
        let photos = images(&batch.pixels, batch.n)?;
        let output = photos.with_tensor(net.forward(&photos.tensor().avg_pool2d(2)?)?)?;
        let dropout = |pass: &str| streams(0, pass, step, 0..batch.n);

        let fake = output.with_tensor(output.tensor().detach())?;
        let real = judge.forward(&photos, None, Some(&mut dropout("real")))?;
        let real = terms::discriminator_real(&real)?;
        let generated = judge.forward(&fake, None, Some(&mut dropout("generated")))?;
        let generated = terms::discriminator_generated(&generated)?;
        if rule.train_discriminator {
            judge_optimiser.backward_step(&(&real + &generated)?)?;
        }

        // Every term by itself, then the generator once.
        let (frozen, targets) = (judge.frozen(), distance.targets(&photos)?);
        let image = from_fn("image", 1.0, |x: &Images| terms::squared_error(x, &photos));
        let feature = from_fn("feature", feature_weight, |x: &Images| distance.loss(x, &targets));
        let adversarial = from_fn("adversarial", 2.0, |x: &Images| {
            terms::adversarial(&frozen.forward(x, None, Some(&mut dropout("adversarial")))?)
        });
        let objective =
            objective::evaluate(&[&image, &feature, &adversarial], &Inputs::new(&output, &photos))?;
        let numbers = objective.read()?;
        if rule.train_generator {
            optimiser.step(&objective::backward_from(output.tensor(), &objective.gradient)?)?;
        }
        let scalar = |tensor: &Tensor| tensor.to_scalar::<f32>().map(f64::from);
        let adversary = numbers.last().context("three terms")?.value;
        rule.update(
            BalanceRule::Code,
            balance::ratio(scalar(&real)?, scalar(&generated)?, adversary),
        );
        if step % 20 == 0 {
            let term = |n: &deepsim_loss::TermReport| format!("{} {:.2}", n.name, n.weighted());
            println!("step {step}: {}", numbers.iter().map(term).collect::<Vec<_>>().join(", "));
        }
    }
    let after = quality(&distance, &test.with_tensor(net.forward(&low)?)?, &test)?;
    Ok([before, after])
}

/// Median times of a forward and backward pass of both generators, in turn, with the same weights.
fn times(rounds: usize, batch: usize) -> Result<[Duration; 2]> {
    let device = Device::Cpu;
    let vars = VarMap::new();
    let vb = || VarBuilder::from_varmap(&vars, DType::F32, &device);
    let nets: [Box<dyn Module>; 2] =
        [Box::new(candle::Enlarger::new(vb())?), Box::new(ours::Enlarger::new(vb())?)];
    let x = Tensor::arange(0f32, (batch * 3 * 32 * 32) as f32, &device)?;
    let x = (x * 0.37)?.sin()?.reshape((batch, 3, 32, 32))?;
    let mut all = [Vec::new(), Vec::new()];
    let mut gradients: [Vec<Tensor>; 2] = Default::default();
    for _ in 0..rounds {
        for (net, (times, gradients)) in nets.iter().zip(all.iter_mut().zip(&mut gradients)) {
            let start = Instant::now();
            let store = net.forward(&x)?.sqr()?.sum_all()?.backward()?;
            times.push(start.elapsed());
            let named = deepsim_ops::nn::named_vars(&vars);
            *gradients = named.iter().filter_map(|(_, var)| store.get(var).cloned()).collect();
        }
    }
    for (a, b) in gradients[0].iter().zip(&gradients[1]) {
        let norm = |tensor: &Tensor| tensor.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>();
        let apart = norm(&(a - b)?)? / norm(a)?;
        // candle-nn draws weights without a seed: in some, rounding decides about a ReLU.
        anyhow::ensure!(apart < 1e-3, "gradients are {apart} apart");
    }
    Ok(all.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    }))
}

fn main() -> Result<()> {
    deepsim_ops::keep_freed_memory();
    let steps = std::env::args().nth(1).map_or(Ok(100), |steps| steps.parse())?;
    let [before, after] = train(steps, 16)?;
    for (what, q) in [("enlarged without a network", before), ("with the network", after)] {
        println!("{what}: PSNR {:.2} dB, feature distance {:.1}", q.psnr, q.features);
    }
    let [candle, ours] = times(7, 16)?.map(|time| time.as_secs_f64() * 1e3);
    let ratio = candle / ours;
    println!(
        "generator, forward and backward: candle {candle:.0} ms, ours {ours:.0} ms, {ratio:.1} times"
    );
    Ok(())
}

#[test]
fn a_few_steps_bring_images_nearer_in_the_features() -> Result<()> {
    let [before, after] = train(20, 8)?;
    assert!(after.features < before.features, "{before:?} {after:?}");
    times(1, 2)?;
    Ok(())
}
