//! A classifier written for candle-nn, whose layers and optimiser are deepsim-ops': two lines are changed for the
//! layers, and one for the optimiser. `cargo run --release -p deepsim-ops --features nn --example nn_classifier`

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};
// Changed, the optimiser. Was: use candle_nn::AdamW;
use deepsim_ops::nn::AdamW;
// Changed, layers, 1 of 2. Was: use candle_nn::{Conv2d, Conv2dConfig, Linear, conv2d, linear};
use deepsim_ops::nn::{Conv2d, Conv2dConfig, Linear, conv2d, linear};

struct Net {
    c1: Conv2d,
    c2: Conv2d,
    f1: Linear,
}

impl Net {
    fn new(vb: VarBuilder) -> Result<Self> {
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        Ok(Self {
            c1: conv2d(1, 8, 3, padded, vb.pp("c1"))?,
            c2: conv2d(8, 16, 3, padded, vb.pp("c2"))?,
            f1: linear(16 * 3 * 3, 2, vb.pp("f1"))?,
        })
    }
}

fn pool(x: &Tensor) -> Result<Tensor> {
    // Changed, layers, 2 of 2. Was: x.max_pool2d(2)
    x.apply(&deepsim_ops::nn::max_pool2d(2))
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = pool(&self.c1.forward(x)?.relu()?)?;
        let x = pool(&self.c2.forward(&x)?.relu()?)?;
        self.f1.forward(&x.flatten_from(1)?)
    }
}

/// 32 images of stripes, which are horizontal in those of class 0 and vertical in those of class 1.
fn stripes(device: &Device) -> Result<(Tensor, Tensor)> {
    let stripe =
        |i: usize, y: usize, x: usize| (if i.is_multiple_of(2) { y } else { x } + i / 2) % 4 < 2;
    let pixel = |at: usize| f32::from(stripe(at / 144, at / 12 % 12, at % 12));
    let images = Tensor::from_vec((0..32 * 144).map(pixel).collect(), (32, 1, 12, 12), device)?;
    let labels: Vec<u32> = (0..32).map(|i| i % 2).collect();
    Ok((images, Tensor::new(labels, device)?))
}

/// Losses of all steps.
pub(crate) fn train(vars: &VarMap, vb: VarBuilder, steps: usize) -> Result<Vec<f32>> {
    let (images, labels) = stripes(vb.device())?;
    let net = Net::new(vb)?;
    let params = ParamsAdamW { lr: 0.01, ..Default::default() };
    let mut optimiser = AdamW::new(vars.all_vars(), params)?;
    let mut losses = Vec::new();
    for _ in 0..steps {
        let loss = loss::cross_entropy(&net.forward(&images)?, &labels)?;
        optimiser.backward_step(&loss)?;
        losses.push(loss.to_scalar()?);
    }
    Ok(losses)
}

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
#[cfg_attr(test, allow(dead_code, reason = "a test includes this file for `train`"))]
fn main() -> Result<()> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    for (step, loss) in train(&vars, vb, 40)?.into_iter().enumerate() {
        println!("step {step}: loss {loss:.4}");
    }
    Ok(())
}
