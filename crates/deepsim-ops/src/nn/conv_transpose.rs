//! Transposed convolution layer.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::Unsupported;
use crate::sequence::Step;

/// Transposed convolution layer, computed by [`conv_transpose2d`](crate::conv_transpose2d).
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: crate::Conv2dConfig,
}

impl ConvTranspose2d {
    /// Layer with a weight `(C, O/groups, kh, kw)` and a bias `(O)`.
    ///
    /// The configuration is that of the operation, which has groups, and strides and paddings for each axis. For
    /// candle-nn's, convert candle-nn's layer with `try_from`.
    pub fn new(weight: Tensor, bias: Option<Tensor>, config: crate::Conv2dConfig) -> Self {
        Self { weight, bias, config }
    }

    /// Applies a leaky ReLU with this slope to the result in the same pass, a plain one for 0.
    #[must_use]
    pub fn with_leaky(self, slope: f32) -> Self {
        Self { config: self.config.with_leaky(slope), ..self }
    }

    /// Configuration of the operation.
    pub fn config(&self) -> &crate::Conv2dConfig {
        &self.config
    }

    /// `(C, O/groups, kh, kw)`
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(O)`
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    pub(super) fn step(&self) -> Step {
        let Self { weight, bias, config } = self.clone();
        Step::ConvTranspose2d { weight, bias, config }
    }
}

impl Module for ConvTranspose2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::conv_transpose2d(x, &self.weight, self.bias.as_ref(), self.config)
    }
}

impl TryFrom<candle_nn::ConvTranspose2dConfig> for crate::Conv2dConfig {
    type Error = Unsupported;

    fn try_from(
        config: candle_nn::ConvTranspose2dConfig,
    ) -> std::result::Result<Self, Unsupported> {
        const LAYER: &str = "conv_transpose2d";
        let candle_nn::ConvTranspose2dConfig { padding, output_padding, stride, dilation } = config;
        Unsupported::unless(dilation == 1, LAYER, "dilation", "1", dilation)?;
        Unsupported::unless(output_padding == 0, LAYER, "output_padding", "0", output_padding)?;
        Ok(Self::new(stride, padding))
    }
}

/// The same tensors, not copies of them.
impl TryFrom<candle_nn::ConvTranspose2d> for ConvTranspose2d {
    type Error = Unsupported;

    fn try_from(layer: candle_nn::ConvTranspose2d) -> std::result::Result<Self, Unsupported> {
        Unsupported::unless_f32("conv_transpose2d", layer.weight())?;
        let config = (*layer.config()).try_into()?;
        Ok(Self::new(layer.weight().clone(), layer.bias().cloned(), config))
    }
}

/// Creates a transposed convolution layer with square kernels, whose tensors `weight` and `bias` are asked
/// for, or initialised, as by [`candle_nn::conv_transpose2d`].
///
/// # Errors
/// If the tensors do not fit, or the configuration has a dilation or an output padding.
pub fn conv_transpose2d(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    config: candle_nn::ConvTranspose2dConfig,
    vb: VarBuilder<'_>,
) -> Result<ConvTranspose2d> {
    let layer =
        conv_transpose2d_no_bias(in_channels, out_channels, kernel_size, config, vb.clone())?;
    let bias = vb.get_with_hints(out_channels, "bias", initial(out_channels, kernel_size))?;
    Ok(ConvTranspose2d { bias: Some(bias), ..layer })
}

/// Creates a transposed convolution layer without a bias, as [`candle_nn::conv_transpose2d_no_bias`] does.
///
/// # Errors
/// As for [`conv_transpose2d`].
pub fn conv_transpose2d_no_bias(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    config: candle_nn::ConvTranspose2dConfig,
    vb: VarBuilder<'_>,
) -> Result<ConvTranspose2d> {
    let config = crate::Conv2dConfig::try_from(config)?;
    let shape = (in_channels, out_channels, kernel_size, kernel_size);
    let weight = vb.get_with_hints(shape, "weight", initial(out_channels, kernel_size))?;
    Ok(ConvTranspose2d::new(weight, None, config))
}

fn initial(out_channels: usize, kernel_size: usize) -> Init {
    let bound = 1.0 / (out_channels as f64).sqrt() / kernel_size as f64;
    Init::Uniform { lo: -bound, up: bound }
}
