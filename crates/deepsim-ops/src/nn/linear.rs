//! Fully connected layer.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder, init::DEFAULT_KAIMING_NORMAL};

use super::Unsupported;

/// Fully connected layer, computed by [`linear`](crate::linear).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Layer with a weight `(O, I)` and a bias `(O)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `(O, I)`
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(O)`
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

/// `(.., I) -> (.., O)` with any axes before the last.
impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::linear(x, &self.weight, self.bias.as_ref())
    }
}

/// The same tensors, not copies of them.
impl TryFrom<candle_nn::Linear> for Linear {
    type Error = Unsupported;

    fn try_from(layer: candle_nn::Linear) -> std::result::Result<Self, Unsupported> {
        Unsupported::unless_f32("linear", layer.weight())?;
        Ok(Self::new(layer.weight().clone(), layer.bias().cloned()))
    }
}

/// Creates a fully connected layer, whose tensors `weight` and `bias` are asked for, or initialised, as by
/// [`candle_nn::linear()`].
///
/// # Errors
/// If the tensors do not fit.
pub fn linear(in_dim: usize, out_dim: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let layer = linear_no_bias(in_dim, out_dim, vb.clone())?;
    let bound = 1.0 / (in_dim as f64).sqrt();
    let bias = vb.get_with_hints(out_dim, "bias", Init::Uniform { lo: -bound, up: bound })?;
    Ok(Linear { bias: Some(bias), ..layer })
}

/// Creates a fully connected layer without a bias, as [`candle_nn::linear_no_bias`] does.
///
/// # Errors
/// If the tensors do not fit.
pub fn linear_no_bias(in_dim: usize, out_dim: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let weight = vb.get_with_hints((out_dim, in_dim), "weight", DEFAULT_KAIMING_NORMAL)?;
    Ok(Linear::new(weight, None))
}

/// Creates a fully connected layer with or without a bias, as [`candle_nn::linear_b`] does.
///
/// # Errors
/// If the tensors do not fit.
pub fn linear_b(in_dim: usize, out_dim: usize, bias: bool, vb: VarBuilder<'_>) -> Result<Linear> {
    if bias { linear(in_dim, out_dim, vb) } else { linear_no_bias(in_dim, out_dim, vb) }
}
