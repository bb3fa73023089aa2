//! Rectifier layers.

use candle_core::{Module, Result, Tensor};

/// Leaky or plain ReLU, computed by [`leaky_relu`](crate::leaky_relu).
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu {
    pub(super) slope: f32,
}

impl Module for LeakyRelu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::leaky_relu(x, f64::from(self.slope))
    }
}

/// Creates a plain ReLU. Its gradient at 0 is 0, as PyTorch's; candle's is 1.
pub fn relu() -> LeakyRelu {
    leaky_relu(0.0)
}

/// Creates a leaky ReLU with this slope.
pub fn leaky_relu(slope: f32) -> LeakyRelu {
    LeakyRelu { slope }
}

/// `min(max(x, 0), 6)`, computed by [`relu6`](crate::relu6()).
#[derive(Clone, Copy, Debug)]
pub struct Relu6;

impl Module for Relu6 {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::relu6(x)
    }
}

/// Creates a ReLU that is cut off at 6. Its gradient at 0 and at 6 is 0, as PyTorch's.
pub fn relu6() -> Relu6 {
    Relu6
}
