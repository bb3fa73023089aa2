use std::time::{Duration, Instant};

use candle_core::{Module, Result, Tensor};
use candle_nn::{Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};

use deepsim_ops::nn::AdamW;
use deepsim_ops::nn::{Conv2d, Conv2dConfig, Linear, conv2d, linear};

use super::Size;

struct Net {
    c1: Conv2d,
    c2: Conv2d,
    c3: Conv2d,
    f1: Linear,
    f2: Linear,
}

impl Net {
    fn new(vb: VarBuilder, size: &Size) -> Result<Self> {
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        let Size { side, channels: [a, b, c], hidden, .. } = *size;
        Ok(Self {
            c1: conv2d(3, a, 3, padded, vb.pp("c1"))?,
            c2: conv2d(a, b, 3, padded, vb.pp("c2"))?,
            c3: conv2d(b, c, 3, padded, vb.pp("c3"))?,
            f1: linear(c * (side / 8) * (side / 8), hidden, vb.pp("f1"))?,
            f2: linear(hidden, 2, vb.pp("f2"))?,
        })
    }
}

fn pool(x: &Tensor) -> Result<Tensor> {
    x.apply(&deepsim_ops::nn::max_pool2d(2))
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = pool(&self.c1.forward(x)?.relu()?)?;
        let x = pool(&self.c2.forward(&x)?.relu()?)?;
        let x = pool(&self.c3.forward(&x)?.relu()?)?;
        let x = self.f1.forward(&x.flatten_from(1)?)?.relu()?;
        self.f2.forward(&x)
    }
}

pub(crate) struct Training {
    net: Net,
    optimiser: AdamW,
}

impl Training {
    pub(crate) fn new(vars: &VarMap, vb: VarBuilder, size: &Size) -> Result<Self> {
        let net = Net::new(vb, size)?;
        let params = ParamsAdamW { lr: size.learning_rate, ..Default::default() };
        Ok(Self { net, optimiser: AdamW::new(vars.all_vars(), params)? })
    }

    /// Loss, and the times of both passes together and of the update.
    pub(crate) fn step(&mut self, x: &Tensor, labels: &Tensor) -> Result<(f32, [Duration; 2])> {
        let start = Instant::now();
        let loss = loss::cross_entropy(&self.net.forward(x)?, labels)?;
        let gradients = loss.backward()?;
        let passes = start.elapsed();
        self.optimiser.step(&gradients)?;
        Ok((loss.to_scalar()?, [passes, start.elapsed() - passes]))
    }
}
