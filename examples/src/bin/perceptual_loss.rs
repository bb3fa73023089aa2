//! A network of candle-nn that takes the noise out of photographs, trained with a feature loss beside an absolute error.
//!
//! `cargo run --release -p deepsim-examples --bin perceptual_loss [STEPS]`

use anyhow::Result;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{AdamW, Conv2d, Conv2dConfig, Init, Optimizer, ParamsAdamW, VarMap, conv2d};
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
use deepsim_loss::{PerceptualDistance, TapDistance, terms};
use deepsim_nets::{ComparatorKind, Images, PixelFormat, shipped};
use deepsim_ops::nn::{init, named_vars};

const SIDE: usize = 64;

/// Adds what three convolutions make of an image.
struct Denoiser([Conv2d; 3]);

impl Denoiser {
    fn new(vars: &VarMap) -> candle_core::Result<Self> {
        let vb = init::var_builder(vars, 0, DType::F32, &Device::Cpu);
        let same = Conv2dConfig { padding: 1, ..Default::default() };
        let layer = |name, from, to| conv2d(from, to, 3, same, vb.pp(name));
        Ok(Self([layer("conv1", 3, 24)?, layer("conv2", 24, 24)?, layer("conv3", 24, 3)?]))
    }
}

impl Module for Denoiser {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [conv1, conv2, conv3] = &self.0;
        let y = conv2.forward(&conv1.forward(x)?.relu()?)?.relu()?;
        x + (conv3.forward(&y)? * 0.1)?
    }
}

/// Trains for some steps; returns the loss of each.
fn train(steps: usize, batch: usize) -> Result<Vec<f32>> {
    let device = Device::Cpu;
    let data = Dataset::open(shipped::photos().as_deref(), 0)?;
    let config = LoaderConfig { batch, crop: Crop::Random(SIDE), ..Default::default() };
    let loader = Loader::new(data.unlabeled, config, Cursor::default())?;

    // Any comparator, and any of its taps.
    let comparator = ComparatorKind::exemplar_cnn().open_shipped(&device)?;
    let distance = PerceptualDistance::new(comparator, vec![TapDistance::deepsim("CONV2", 1.0)])?;

    let vars = VarMap::new();
    let net = Denoiser::new(&vars)?;
    let rates = ParamsAdamW { lr: 3e-3, weight_decay: 0.0, ..Default::default() };
    // In the order of their names, which that of candle's map is not.
    let all = named_vars(&vars).into_iter().map(|(_, var)| var).collect();
    let mut optimiser = AdamW::new(all, rates)?;

    let (mut losses, mut weights) = (Vec::new(), None);
    for batch in loader.take(steps) {
        let batch = batch?;
        let photos =
            Images::from_u8(&batch.pixels, batch.n, SIDE, SIDE, PixelFormat::UNIT, &device)?;
        let drawn = Init::Randn { mean: 0.0, stdev: 0.1 };
        let noise = init::draw(drawn, photos.tensor().shape(), losses.len() as u64, "noise")?;
        let noisy = (photos.tensor() + noise)?;
        // The output has the pixel format of the photographs, and its graph.
        let output = photos.with_tensor(net.forward(&noisy)?)?;

        let targets = distance.targets(&photos)?;
        let feature = distance.loss(&output, &targets)?;
        let absolute = terms::absolute_error(&output, &photos)?;
        // Both are sums over an image: here each counts as 1 in the first step.
        let (of_feature, of_absolute) = match weights {
            Some(weights) => weights,
            None => *weights.insert((1.0 / value(&feature)?, 1.0 / value(&absolute)?)),
        };
        let loss = ((feature * of_feature)? + (absolute * of_absolute)?)?;
        optimiser.backward_step(&loss)?;
        losses.push(loss.to_scalar()?);
    }
    Ok(losses)
}

fn value(loss: &Tensor) -> Result<f64> {
    Ok(f64::from(loss.to_scalar::<f32>()?))
}

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
fn main() -> Result<()> {
    let steps = std::env::args().nth(1).map_or(Ok(50), |steps| steps.parse())?;
    for (step, loss) in train(steps, 8)?.iter().enumerate() {
        println!("step {:3}: loss {loss:.3}", step + 1);
    }
    Ok(())
}

#[test]
fn the_loss_falls() -> Result<()> {
    let losses = train(12, 4)?;
    assert_eq!(losses[0], 2.0);
    assert!(losses[6..].iter().all(|loss| *loss < 1.95), "{losses:?}");
    Ok(())
}
