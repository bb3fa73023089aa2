//! Transposed convolution layer.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::conv_layer::convolution_layer;

convolution_layer!(
    /// Transposed convolution layer, computed by [`conv_transpose2d`](crate::conv_transpose2d()).
    ConvTranspose2d,
    "conv_transpose2d",
    "(C, O/groups, kh, kw)",
    crate::conv_transpose2d
);

impl From<candle_nn::ConvTranspose2dConfig> for crate::Conv2dConfig {
    fn from(config: candle_nn::ConvTranspose2dConfig) -> Self {
        let candle_nn::ConvTranspose2dConfig { padding, output_padding, stride, dilation } = config;
        Self::new(stride, padding).with_dilation(dilation).with_output_padding(output_padding)
    }
}

/// Creates a transposed convolution layer with square kernels, whose tensors `weight` and `bias` are asked
/// for, or initialised, as by [`candle_nn::conv_transpose2d`].
///
/// # Errors
/// If the tensors do not fit.
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
    let shape = (in_channels, out_channels, kernel_size, kernel_size);
    let weight = vb.get_with_hints(shape, "weight", initial(out_channels, kernel_size))?;
    Ok(ConvTranspose2d::new(weight, None, config.into()))
}

fn initial(out_channels: usize, kernel_size: usize) -> Init {
    let bound = 1.0 / (out_channels as f64).sqrt() / kernel_size as f64;
    Init::Uniform { lo: -bound, up: bound }
}
