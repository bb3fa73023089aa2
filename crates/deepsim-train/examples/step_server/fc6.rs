//! The training step of the generator that inverts FC6 (paper v2, Table 1), with AlexNet's pool5 as
//! comparator and the discriminator for ImageNet. Its codes are drawn, not encoded.

use std::collections::HashMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var, safetensors};
use deepsim_loss::{Term, objective, terms};
use deepsim_nets::init::Filler;
use deepsim_nets::random::{normal, stream};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use deepsim_ops::{
    AdamStep, Conv2dConfig, Moments, adam_update, conv_transpose2d, conv2d, dropout,
    global_avg_pool2d, leaky_relu, linear, relu,
};

use crate::serve::Result;
use crate::{Training, comparator};

/// What the generator draws, and the square in its middle that is compared.
const SIDE: usize = 256;
const CROP: usize = 227;
const SLOPE: f64 = 0.3;

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
    decay: f64,
}

impl Weights {
    fn new(rows: &[Row], mut channels: usize, coeff: f64, decay: f64) -> Result<Self> {
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
        Ok(Self { names, vars, moments, updates: 0, decay })
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
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: self.decay,
            t: self.updates + 1,
        };
        for ((name, var), moments) in self.names.iter().zip(&self.vars).zip(&mut self.moments) {
            let gradient = gradients.get(var).ok_or_else(|| format!("no gradient for {name}"))?;
            adam_update(var, gradient, moments, step)?;
        }
        Ok(())
    }
}

/// Runs a convolutional row with its activation.
fn convolve(
    x: &Tensor,
    kind: Kind,
    weights: &mut impl Iterator<Item = Tensor>,
    leaky: Option<f32>,
) -> Result<Tensor> {
    let mut next = || weights.next().ok_or("a weight is missing");
    let weight = next()?;
    Ok(match kind {
        Kind::Linear => linear(x, &weight, Some(&next()?))?,
        Kind::Up => {
            let config = Conv2dConfig { leaky, ..Conv2dConfig::new(2, 1) };
            conv_transpose2d(x, &weight, None, config)?
        }
        Kind::Conv { stride, padding, bias, .. } => {
            let config = Conv2dConfig { leaky, ..Conv2dConfig::new(stride, padding) };
            let bias = if bias { Some(next()?) } else { None };
            conv2d(x, &weight, bias.as_ref(), config)?
        }
    })
}

fn generate(weights: Vec<Tensor>, codes: &Tensor) -> Result<Images> {
    let (mut weights, mut x) = (weights.into_iter(), codes.clone());
    for (name, kind, _) in GENERATOR {
        let leaky = if name == "deconv0" { None } else { Some(SLOPE as f32) };
        x = convolve(&x, kind, &mut weights, leaky)?;
        if let Kind::Linear = kind {
            x = leaky_relu(&x, SLOPE)?;
        }
        if name == "defc5" {
            x = x.reshape(((), 256, 4, 4))?;
        }
    }
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
}

/// The three passes through the discriminator; each draws its own dropout masks.
#[derive(Clone, Copy)]
enum Pass {
    Real,
    Generated,
    Fool,
}

impl Inversion {
    fn discriminate(&self, images: &Images, pass: Pass) -> Result<Tensor> {
        let mut rng = stream(0, "dropout", 3 * self.steps + pass as u64);
        let frozen = matches!(pass, Pass::Fool);
        let mut weights = self.discriminator.tensors(frozen).into_iter();
        let mut x = images.tensor().clone();
        for (name, kind, _) in DISCRIMINATOR {
            if let Kind::Linear = kind {
                x = if name == "fc1" { global_avg_pool2d(&x)? } else { relu(&x)? };
                x = dropout(&x, self.dropout, &mut rng)?;
            }
            x = convolve(&x, kind, &mut weights, Some(0.0))?;
        }
        Ok(x)
    }
}

impl Training for Inversion {
    fn new(folder: &Path, batch: usize, check: bool) -> Result<Self> {
        let path = folder.join("codes.safetensors");
        let codes = if check {
            let values = normal(&mut stream(0, "codes", 0), batch * 4096, 1.0);
            let codes = Tensor::from_vec(values, (batch, 4096), &Device::Cpu)?.relu()?;
            safetensors::save(&HashMap::from([("codes", codes.clone())]), &path)?;
            codes
        } else {
            let mut tensors = safetensors::load(&path, &Device::Cpu)?;
            tensors.remove("codes").ok_or("no codes in the file")?
        };
        Ok(Self {
            generator: Weights::new(&GENERATOR, 4096, 0.9, 0.0)?,
            discriminator: Weights::new(&DISCRIMINATOR, 3, 0.3, 4e-4)?,
            dropout: if check { 0.0 } else { 0.5 },
            comparator: comparator::open(ComparatorKind::CaffeNet, folder, check)?,
            codes,
            images: comparator::images(batch, CROP, folder, check)?,
            steps: 0,
        })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.generator.save(&folder.join("generator.safetensors"))?;
        self.discriminator.save(&folder.join("discriminator.safetensors"))
    }

    fn counts(&self) -> [usize; 2] {
        [self.generator.count(), self.discriminator.count()]
    }

    fn step(&mut self) -> Result<[f64; 5]> {
        let real = self.images.clone();
        let output = generate(self.generator.tensors(false), &self.codes)?;
        let generated = output.with_tensor(output.tensor().detach())?;
        let on_real = self.discriminate(&real, Pass::Real)?;
        let on_real = terms::discriminator_real(&on_real)?;
        let on_generated = self.discriminate(&generated, Pass::Generated)?;
        let on_generated = terms::discriminator_generated(&on_generated)?;
        self.discriminator.update(&(&on_real + &on_generated)?.backward()?)?;

        let wanted = self.comparator.features(&real, "CONV5")?;
        let adversarial = |images: &Images| {
            let logits = self.discriminate(images, Pass::Fool);
            terms::adversarial(&logits.map_err(|e| candle_core::Error::Msg(e.to_string()))?)
        };
        let feature =
            |images: &Images| terms::feature(&self.comparator.features(images, "CONV5")?, &wanted);
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
        let value = |term: usize| evaluated.terms[term].value;
        Ok([scalar(&on_real)?, scalar(&on_generated)?, value(0), value(1), value(2)])
    }
}
