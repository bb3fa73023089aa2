//! Convolution layer.

use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, VarBuilder, init::DEFAULT_KAIMING_NORMAL};

use super::conv_layer::convolution_layer;

convolution_layer!(
    /// Convolution layer, computed by [`conv2d`](crate::conv2d()).
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use deepsim_ops::nn::Conv2d;
    /// let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    /// let layer = Conv2d::try_from(candle_nn::conv2d(3, 8, 5, Default::default(), vb)?)?;
    /// assert_eq!(layer.weight().dims(), [8, 3, 5, 5]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    Conv2d,
    "conv2d",
    "(O, C/groups, kh, kw)",
    crate::conv2d
);

/// The preferred algorithm of cuDNN is ignored.
impl From<candle_nn::Conv2dConfig> for crate::Conv2dConfig {
    fn from(config: candle_nn::Conv2dConfig) -> Self {
        let candle_nn::Conv2dConfig { padding, stride, dilation, groups, cudnn_fwd_algo: _ } =
            config;
        Self::new(stride, padding).with_dilation(dilation).with_groups(groups)
    }
}

/// Creates a convolution layer with square kernels, whose tensors `weight` and `bias` are asked for, or
/// initialised, as by [`candle_nn::conv2d`].
///
/// # Errors
/// If the tensors do not fit, or the groups do not divide the channels.
pub fn conv2d(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    config: candle_nn::Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let layer = conv2d_no_bias(in_channels, out_channels, kernel_size, config, vb.clone())?;
    let bound = 1.0 / (in_channels as f64).sqrt();
    let bias = vb.get_with_hints(out_channels, "bias", Init::Uniform { lo: -bound, up: bound })?;
    Ok(Conv2d { bias: Some(bias), ..layer })
}

/// Creates a convolution layer without a bias, as [`candle_nn::conv2d_no_bias`] does.
///
/// # Errors
/// As for [`conv2d`].
pub fn conv2d_no_bias(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    config: candle_nn::Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let groups = config.groups;
    if groups == 0 || !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
        bail!(
            "conv2d: expected groups that divide {in_channels} and {out_channels} channels, found {groups}"
        );
    }
    let shape = (out_channels, in_channels / groups, kernel_size, kernel_size);
    let weight = vb.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?;
    Ok(Conv2d::new(weight, None, config.into()))
}
