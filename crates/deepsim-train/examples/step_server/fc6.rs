//! The training step of the generator that inverts FC6 (paper v2, Table 1), with AlexNet's pool5 as
//! comparator and the discriminator for ImageNet. Its codes are drawn, not encoded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var, safetensors};
use deepsim_loss::{Term, objective, terms};
use deepsim_nets::init::Filler;
use deepsim_nets::random::{normal, stream};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use deepsim_ops::{
    AdamStep, Conv2dConfig, Moments, Step, adam_update_all, dropout, leaky_relu, linear, relu,
    sequence,
};

use crate::serve::Result;
use crate::{Arguments, Training, comparator};

/// What the generator draws, and the square in its middle that is compared.
const SIDE: usize = 256;
const CROP: usize = 227;
const SLOPE: f64 = 0.3;
const TAP: &str = "CONV5";

#[derive(Clone, Copy)]
enum Kind {
    Linear,
    Conv { kernel: usize, stride: usize, padding: usize, bias: bool },
    Up,
}

/// Name, kind, outputs.
type Row = (&'static str, Kind, usize);

const SAME: Kind = Kind::Conv { kernel: 3, stride: 1, padding: 1, bias: false };

const fn valid(kernel: usize, stride: usize) -> Kind {
    Kind::Conv { kernel, stride, padding: 0, bias: true }
}

const GENERATOR: [Row; 12] = [
    ("defc7", Kind::Linear, 4096),
    ("defc6", Kind::Linear, 4096),
    ("defc5", Kind::Linear, 4096), // 256 channels of 4x4
    ("deconv5", Kind::Up, 256),
    ("conv5_1", SAME, 512),
    ("deconv4", Kind::Up, 256),
    ("conv4_1", SAME, 256),
    ("deconv3", Kind::Up, 128),
    ("conv3_1", SAME, 128),
    ("deconv2", Kind::Up, 64),
    ("deconv1", Kind::Up, 32),
    ("deconv0", Kind::Up, 3),
];

const DISCRIMINATOR: [Row; 7] = [
    ("conv1", valid(7, 4), 32),
    ("conv2", valid(5, 1), 64),
    ("conv3", valid(3, 2), 128),
    ("conv4", valid(3, 1), 256),
    ("conv5", valid(3, 2), 256),
    ("fc1", Kind::Linear, 512),
    ("fc2", Kind::Linear, 2),
];

/// A network's variables with their optimiser.
struct Weights {
    names: Vec<String>,
    vars: Vec<Var>,
    moments: Vec<Moments>,
    updates: u64,
    learning_rate: f64,
    decay: f64,
}

impl Weights {
    fn new(
        rows: &[Row],
        mut channels: usize,
        coeff: f64,
        [learning_rate, decay]: [f64; 2],
    ) -> Result<Self> {
        let (mut names, mut vars, mut moments) = (vec![], vec![], vec![]);
        for &(name, kind, out) in rows {
            let (shape, bias) = match kind {
                Kind::Linear => (vec![out, channels], true),
                Kind::Conv { kernel, bias, .. } => (vec![out, channels, kernel, kernel], bias),
                Kind::Up => (vec![channels, out, 4, 4], false),
            };
            let values = Filler::Msra { coeff }.draw(&shape, &mut stream(0, name, 0));
            let mut add = |name: String, values: Vec<f32>, shape: &[usize]| -> Result<()> {
                let var = Var::from_vec(values, shape, &Device::Cpu)?;
                moments.push(Moments::zeros_like(&var)?);
                vars.push(var);
                names.push(name);
                Ok(())
            };
            add(format!("{name}.weight"), values, &shape)?;
            if bias {
                add(format!("{name}.bias"), vec![0.0; out], &[out])?;
            }
            channels = if name == "defc5" { 256 } else { out };
        }
        Ok(Self { names, vars, moments, updates: 0, learning_rate, decay })
    }

    fn count(&self) -> usize {
        self.vars.iter().map(|var| var.elem_count()).sum()
    }

    fn save(&self, path: &Path) -> Result<()> {
        let vars = self.vars.iter().map(|var| var.as_tensor().clone());
        let tensors: HashMap<_, _> = self.names.iter().cloned().zip(vars).collect();
        Ok(safetensors::save(&tensors, path)?)
    }

    fn tensors(&self, frozen: bool) -> Vec<Tensor> {
        let tensor = |var: &Var| if frozen { var.detach() } else { var.as_tensor().clone() };
        self.vars.iter().map(tensor).collect()
    }

    fn update(&mut self, gradients: &GradStore) -> Result<()> {
        self.updates += 1;
        let step = AdamStep {
            learning_rate: self.learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: self.decay,
            t: self.updates + 1,
        };
        let mut updates = Vec::new();
        for ((name, var), moments) in self.names.iter().zip(&self.vars).zip(&mut self.moments) {
            let gradient = gradients.get(var).ok_or_else(|| format!("no gradient for {name}"))?;
            updates.push((var, gradient, moments));
        }
        Ok(adam_update_all(updates, step)?)
    }
}

/// A convolutional row with its activation.
fn step(
    kind: Kind,
    weights: &mut impl Iterator<Item = Tensor>,
    leaky: Option<f32>,
) -> Result<Step> {
    let mut next = || weights.next().ok_or("a weight is missing");
    let weight = next()?;
    Ok(match kind {
        Kind::Up => {
            let config = Conv2dConfig { leaky, ..Conv2dConfig::new(2, 1) };
            Step::ConvTranspose2d { weight, bias: None, config }
        }
        Kind::Conv { stride, padding, bias, .. } => {
            let config = Conv2dConfig { leaky, ..Conv2dConfig::new(stride, padding) };
            let bias = if bias { Some(next()?) } else { None };
            Step::Conv2d { weight, bias, config }
        }
        Kind::Linear => return Err("a fully connected layer is no step".into()),
    })
}

fn generate(weights: Vec<Tensor>, codes: &Tensor) -> Result<Images> {
    let (mut weights, mut x, mut steps) = (weights.into_iter(), codes.clone(), vec![]);
    for (name, kind, _) in GENERATOR {
        if let Kind::Linear = kind {
            x = linear(&x, &weights.next().ok_or("no weight")?, weights.next().as_ref())?;
            x = leaky_relu(&x, SLOPE)?;
        } else {
            let leaky = if name == "deconv0" { None } else { Some(SLOPE as f32) };
            steps.push(step(kind, &mut weights, leaky)?);
        }
    }
    let x = sequence(&x.reshape(((), 256, 4, 4))?, &steps)?;
    let first = (SIDE - CROP) / 2;
    let x = x.narrow(2, first, CROP)?.narrow(3, first, CROP)?.contiguous()?;
    Ok(Images::new(x, PixelFormat::CAFFE_BGR)?)
}

pub(crate) struct Inversion {
    generator: Weights,
    discriminator: Weights,
    dropout: f64,
    comparator: Box<dyn Comparator>,
    codes: Tensor,
    images: Images,
    steps: u64,
    folder: PathBuf,
}

impl Inversion {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let Arguments { batch, folder, check, .. } = arguments;
        let (path, kind) = (folder.join("codes.safetensors"), ComparatorKind::CaffeNet);
        let codes = if *check {
            comparator::draw(kind, TAP, folder)?;
            let values = normal(&mut stream(0, "codes", 0), batch * 4096, 1.0);
            let codes = Tensor::from_vec(values, (*batch, 4096), &Device::Cpu)?.relu()?;
            comparator::save(&path, "codes", &codes)?;
            codes
        } else {
            let mut tensors = safetensors::load(&path, &Device::Cpu)?;
            tensors.remove("codes").ok_or("no codes in the file")?
        };
        let fixed = folder.join(comparator::FILE);
        let rate = comparator::learning_rate(*check);
        Ok(Self {
            generator: Weights::new(&GENERATOR, 4096, 0.9, [rate, 0.0])?,
            discriminator: Weights::new(&DISCRIMINATOR, 3, 0.3, [rate, 4e-4])?,
            dropout: if *check { 0.0 } else { 0.5 },
            comparator: kind.open_to(TAP, Some(&fixed), 0, &Device::Cpu)?,
            codes,
            images: comparator::images(*batch, CROP, folder, *check)?,
            steps: 0,
            folder: folder.clone(),
        })
    }

    /// `frozen` for the pass that trains the generator; each draws its own dropout masks.
    fn discriminate(&self, images: &Images, frozen: bool) -> Result<Tensor> {
        let mut rng = stream(0, "dropout", 2 * self.steps + u64::from(frozen));
        let mut weights = self.discriminator.tensors(frozen).into_iter();
        let mut steps = vec![];
        for (_, kind, _) in DISCRIMINATOR.iter().filter(|row| !matches!(row.1, Kind::Linear)) {
            steps.push(step(*kind, &mut weights, Some(0.0))?);
        }
        steps.push(Step::GlobalAvgPool2d);
        let x = sequence(images.tensor(), &steps)?;
        let mut linear = |x: Tensor| -> Result<Tensor> {
            let x = dropout(&x, self.dropout, &mut rng)?;
            Ok(linear(&x, &weights.next().ok_or("no weight")?, weights.next().as_ref())?)
        };
        let x = relu(&linear(x)?)?;
        linear(x)
    }
}

impl Training for Inversion {
    fn save(&self) -> Result<()> {
        self.generator.save(&self.folder.join("generator.safetensors"))?;
        self.discriminator.save(&self.folder.join("discriminator.safetensors"))
    }

    fn counts(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("generator", self.generator.count()),
            ("discriminator", self.discriminator.count()),
            ("fixed", comparator::count(ComparatorKind::CaffeNet, TAP)),
        ]
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f64)>> {
        let real = self.images.clone();
        let output = generate(self.generator.tensors(false), &self.codes)?;
        let generated = output.with_tensor(output.tensor().detach())?;
        let logits = self.discriminate(&real.followed_by(&generated)?, false)?;
        let on_real = terms::discriminator_real(&logits.narrow(0, 0, real.len())?)?;
        let on_generated = logits.narrow(0, real.len(), generated.len())?;
        let on_generated = terms::discriminator_generated(&on_generated)?;
        self.discriminator.update(&(&on_real + &on_generated)?.backward()?)?;

        let wanted = self.comparator.features(&real, TAP)?;
        let adversarial = |images: &Images| {
            let logits = self.discriminate(images, true);
            terms::adversarial(&logits.map_err(|e| candle_core::Error::Msg(e.to_string()))?)
        };
        let feature =
            |images: &Images| terms::feature(&self.comparator.features(images, TAP)?, &wanted);
        let image = |images: &Images| terms::squared_error(images, &real);
        let evaluated = objective::evaluate(
            &generated,
            &[
                Term::new("adversarial", 100.0, &adversarial),
                Term::new("feature", 0.01, &feature),
                Term::new("image", 2e-6, &image),
            ],
        )?;
        let gradients = objective::backward_from(output.tensor(), &evaluated.gradient)?;
        self.generator.update(&gradients)?;
        self.steps += 1;
        let scalar = |loss: &Tensor| -> Result<f64> { Ok(f64::from(loss.to_scalar::<f32>()?)) };
        let judged = [("real", scalar(&on_real)?), ("generated", scalar(&on_generated)?)];
        Ok(judged.into_iter().chain(evaluated.terms.iter().map(|t| (t.name, t.value))).collect())
    }
}
