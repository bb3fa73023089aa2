//! Fully connected layers.

use candle_core::{Result, Tensor, bail};

use crate::glue::input;
use crate::{Conv2dConfig, conv2d};

/// `x Wᵀ + b`, as a 1x1 convolution: the engine computes only the gradients that are needed.
///
/// # Shapes
/// `x (N, I)`, `weight (O, I)`, `bias (O)` -> `(N, O)`
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (&[n, inputs], &[outputs, wanted]) = (x.dims(), weight.dims()) else {
        bail!(
            "linear: wanted an input (N, I) and a weight (O, I), got {:?} and {:?}",
            x.dims(),
            weight.dims()
        );
    };
    if inputs != wanted {
        bail!("linear: weight {:?} wants {wanted} inputs, got {:?}", weight.dims(), x.dims());
    }
    if n * inputs * outputs == 0 {
        bail!("linear: wanted non-empty tensors, got {:?} and {:?}", x.dims(), weight.dims());
    }
    if let Some(bias) = bias.filter(|bias| bias.dims() != [outputs]) {
        bail!("linear: wanted a bias [{outputs}], got {:?}", bias.dims());
    }
    let x = input("linear", x)?.reshape((n, inputs, 1, 1))?;
    let weight = input("linear", weight)?.reshape((outputs, inputs, 1, 1))?;
    let bias = bias.map(|bias| input("linear", bias)).transpose()?;
    let bias = bias.as_ref();
    conv2d(&x, &weight, bias, Conv2dConfig::default())?.reshape((n, outputs))
}
