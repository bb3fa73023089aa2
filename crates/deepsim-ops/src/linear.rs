//! Fully connected layers.

use candle_core::{Result, Tensor, bail};

use crate::glue::input;
use crate::sequence::run_by;
use crate::{Conv2dConfig, Step};

/// Computes `x Wᵀ + b` as a 1x1 convolution, and only the gradients that are needed.
///
/// # Shapes
/// `x (.., I)` with any axes before the last, `weight (O, I)`, `bias (O)` -> `(.., O)`
///
/// # Errors
/// If shapes do not fit, `x` is a scalar, or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::linear;
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[3f32, 4.0], [5.0, 6.0]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0f32, 1.0], &Device::Cpu)?;
/// assert_eq!(linear(&x, &weight, Some(&bias))?.to_vec2::<f32>()?, [[11.0, 18.0]]);
/// let tokens = Tensor::zeros((2, 5, 2), candle_core::DType::F32, &Device::Cpu)?;
/// assert_eq!(linear(&tokens, &weight, None)?.dims(), [2, 5, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (Some((&inputs, before)), &[outputs, wanted]) = (x.dims().split_last(), weight.dims())
    else {
        bail!(
            "linear: expected an input (.., I) and a weight (O, I), found {:?} and {:?}",
            x.dims(),
            weight.dims()
        );
    };
    if inputs != wanted {
        bail!("linear: weight {:?} expects {wanted} inputs, found {:?}", weight.dims(), x.dims());
    }
    if inputs * outputs == 0 {
        bail!("linear: expected inputs and outputs, found a weight {:?}", weight.dims());
    }
    if let Some(bias) = bias.filter(|bias| bias.dims() != [outputs]) {
        bail!("linear: expected a bias [{outputs}], found {:?}", bias.dims());
    }
    let rows = before.iter().product::<usize>();
    let flat = input("linear", "x", x)?.reshape((rows, inputs, 1, 1))?;
    let weight = input("linear", "weight", weight)?;
    let bias = bias.map(|bias| input("linear", "bias", bias)).transpose()?;
    let kernel = weight.reshape((outputs, inputs, 1, 1))?;
    // Known to the graph as it is: a gradient would be copied on its way through another shape.
    let step = Step::Conv2d { weight: kernel, bias, config: Conv2dConfig::default() };
    run_by("linear", &flat, &[step], Some(weight))?.reshape([before, &[outputs]].concat())
}
