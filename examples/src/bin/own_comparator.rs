//! A network of one's own as a comparator, in two ways: as an implementation of [`Comparator`], and as a description
//! in a TOML file beside its weights, which recipes and commands take too.
//!
//! ```sh
//! cargo run --release -p deepsim-examples --bin own_comparator -- [STEPS]
//! ```
//!
//! The network is a classifier of procedural scenes that is trained here, with a `VarMap` and layers of
//! `deepsim_ops::nn`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};
use deepsim_data::{Crop, Dataset, read_range};
use deepsim_loss::term::{Inputs, from_fn};
use deepsim_loss::{PerceptualDistance, TapDistance, Upsampling, objective};
use deepsim_nets::{Comparator, ComparatorKind, Images, NetError, PixelFormat, WeightsOrigin};
use deepsim_ops::nn::{AdamW, Conv2d, Conv2dConfig, init, linear, max_pool2d};

/// The classifier's convolutions, each with a ReLU.
struct Trunk([Conv2d; 3]);

const TAPS: [&str; 3] = ["c1", "c2", "c3"];

impl Trunk {
    fn new(vb: &VarBuilder) -> candle_core::Result<Self> {
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        let conv = |inputs, out, name| deepsim_ops::nn::conv2d(inputs, out, 3, padded, vb.pp(name));
        Ok(Self([conv(3, 16, "c1")?, conv(16, 32, "c2")?, conv(32, 64, "c3")?]))
    }

    /// Outputs of all three.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let (mut x, mut all) = (x.clone(), Vec::new());
        for conv in &self.0 {
            let y = conv.forward(&x)?.relu()?;
            x = y.apply(&max_pool2d(2))?;
            all.push(y);
        }
        Ok(all)
    }
}

/// Trains the classifier on scenes of 32 pixels and saves it.
fn train(steps: usize, file: &Path) -> Result<()> {
    let (device, vars) = (Device::Cpu, VarMap::new());
    let vb = init::var_builder(&vars, 0, DType::F32, &device);
    let trunk = Trunk::new(&vb)?;
    let scores = linear(64, 10, vb.pp("scores"))?;
    let mut optimiser = AdamW::of_varmap(&vars, ParamsAdamW { lr: 3e-3, ..Default::default() })?;
    let scenes = Dataset::open(None, 0)?.train;
    for step in 0..steps {
        let range = step * 16 % scenes.images.len().saturating_sub(16);
        let range = range..range + 16;
        let batch = read_range(&*scenes.images, range.clone(), Crop::Center(64))?;
        let images = Images::from_u8(&batch.pixels, 16, 64, 64, PixelFormat::SYMMETRIC, &device)?;
        let features = trunk.forward(images.tensor())?;
        let mean = features[2].mean((2, 3))?;
        let labels = Tensor::new(&scenes.labels[range], &device)?;
        optimiser.backward_step(&loss::cross_entropy(&scores.forward(&mean)?, &labels)?)?;
    }
    // The comparator has no use for the scores.
    let kept = VarMap::new();
    for (name, var) in deepsim_ops::nn::named_vars(&vars) {
        if !name.starts_with("scores") {
            kept.data().lock().expect("no thread has failed").insert(name, var);
        }
    }
    Ok(kept.save(file)?)
}

/// The trunk as a comparator: its weights, and where they are from.
struct Mine {
    trunk: Trunk,
    origin: WeightsOrigin,
}

impl Mine {
    fn open(file: &Path) -> Result<Self> {
        // Tensors of a file are no variables, so no gradient is computed for them.
        let tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Ok(Self { trunk: Trunk::new(&vb)?, origin: WeightsOrigin::File(PathBuf::from(file)) })
    }
}

impl Comparator for Mine {
    fn name(&self) -> &str {
        "scenes"
    }

    fn format(&self) -> PixelFormat {
        PixelFormat::SYMMETRIC
    }

    fn taps(&self) -> Vec<String> {
        TAPS.map(str::to_owned).to_vec()
    }

    fn origin(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
        let all = self.trunk.forward(images.convert(self.format())?.tensor())?;
        let find = |tap: &&str| match TAPS.iter().position(|known| known == tap) {
            Some(at) => Ok(all[at].clone()),
            None => {
                let (net, wanted) = (self.name().into(), self.taps());
                Err(NetError::UnknownTap { net, wanted, got: (*tap).into() })
            }
        };
        taps.iter().map(find).collect()
    }
}

/// The same network as a table.
const DESCRIPTION: &str = r#"
name = "scenes"
pixels = "symmetric"
taps = { c1 = "relu1", c2 = "relu2", c3 = "relu3" }
layers = [
    { name = "c1", op = "conv", out = 16, kernel = 3, padding = 1 },
    { name = "relu1", op = "relu" },
    { name = "pool1", op = "max-pool", kernel = 2, stride = 2 },
    { name = "c2", op = "conv", out = 32, kernel = 3, padding = 1 },
    { name = "relu2", op = "relu" },
    { name = "pool2", op = "max-pool", kernel = 2, stride = 2 },
    { name = "c3", op = "conv", out = 64, kernel = 3, padding = 1 },
    { name = "relu3", op = "relu" },
]
"#;

/// Distances of some images and darker ones, and the largest gradient at the latter.
fn distances(net: impl Comparator + 'static) -> Result<(Vec<f32>, f32)> {
    let scenes = Dataset::open(None, 0)?.test;
    let batch = read_range(&*scenes.images, 0..8, Crop::Center(64))?;
    let images = Images::from_u8(&batch.pixels, 8, 64, 64, PixelFormat::UNIT, &Device::Cpu)?;
    let darker = images.with_tensor((images.tensor() * 0.8)?)?;

    let taps = vec![TapDistance::deepsim("c2", 1.0), TapDistance::deepsim("c3", 0.5)];
    let distance = PerceptualDistance::new(net, taps)?;
    let targets = distance.targets(&images)?;
    let between = distance.between(&darker, &targets)?;
    assert_eq!(between.map(Upsampling::Bilinear)?.dims(), [8, 1, 64, 64]);
    let term = from_fn("scenes", 0.1, |x: &Images| distance.loss(x, &targets));
    let objective = objective::evaluate(&[&term], &Inputs::new(&darker, &images))?;
    let largest = objective.gradient.abs()?.max_all()?.to_scalar()?;
    Ok((between.per_sample()?.to_vec1()?, largest))
}

/// Distances by the implementation and by the description of the same weights.
fn both(steps: usize, folder: &Path) -> Result<[(Vec<f32>, f32); 2]> {
    let file = folder.join("scenes.safetensors");
    train(steps, &file)?;
    let description = file.with_extension("toml");
    std::fs::write(&description, DESCRIPTION)?;
    let kind = ComparatorKind::read(&description)?;
    let described = kind.open(kind.find_weights(None).as_deref(), 0, &Device::Cpu)?;
    Ok([distances(Mine::open(&file)?)?, distances(described)?])
}

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
fn main() -> Result<()> {
    let steps = std::env::args().nth(1).map_or(Ok(200), |steps| steps.parse())?;
    let folder = std::env::temp_dir().join("own-comparator");
    std::fs::create_dir_all(&folder)?;
    let [implemented, described] = both(steps, &folder)?;
    println!("distances of 8 scenes and darker ones: {:.2?}", implemented.0);
    println!("by the description:                    {:.2?}", described.0);
    println!("for any recipe: feature.comparator = \"{}\"", folder.join("scenes.toml").display());
    Ok(())
}

#[test]
fn an_implementation_and_a_description_are_the_same_comparator() -> Result<()> {
    let [implemented, described] = both(3, tempfile::tempdir()?.path())?;
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-4 * a.abs();
    assert!(implemented.0.iter().zip(&described.0).all(|(a, b)| *a > 0.0 && near(*a, *b)));
    assert!(near(implemented.1, described.1));
    Ok(())
}
