//! Convolution layer.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder, init::DEFAULT_KAIMING_NORMAL};

use super::Unsupported;
use crate::sequence::Step;

/// Convolution layer, computed by [`conv2d`](crate::conv2d).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: crate::Conv2dConfig,
}

impl Conv2d {
    /// Layer with a weight `(O, C/groups, kh, kw)` and a bias `(O)`.
    ///
    /// The configuration is that of the operation, with strides and paddings for each axis. For candle-nn's, convert
    /// candle-nn's layer with `try_from`.
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

    /// `(O, C/groups, kh, kw)`
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(O)`
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    pub(super) fn step(&self) -> Step {
        let Self { weight, bias, config } = self.clone();
        Step::Conv2d { weight, bias, config }
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::conv2d(x, &self.weight, self.bias.as_ref(), self.config)
    }
}

/// The preferred algorithm of cuDNN is ignored.
impl TryFrom<candle_nn::Conv2dConfig> for crate::Conv2dConfig {
    type Error = Unsupported;

    fn try_from(config: candle_nn::Conv2dConfig) -> std::result::Result<Self, Unsupported> {
        let candle_nn::Conv2dConfig { padding, stride, dilation, groups, cudnn_fwd_algo: _ } =
            config;
        Unsupported::unless(dilation == 1, "conv2d", "dilation", "1", dilation)?;
        Ok(Self::new(stride, padding).with_groups(groups))
    }
}

/// The same tensors, not copies of them.
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
impl TryFrom<candle_nn::Conv2d> for Conv2d {
    type Error = Unsupported;

    fn try_from(layer: candle_nn::Conv2d) -> std::result::Result<Self, Unsupported> {
        Unsupported::unless_f32("conv2d", layer.weight())?;
        let config = (*layer.config()).try_into()?;
        Ok(Self::new(layer.weight().clone(), layer.bias().cloned(), config))
    }
}

/// Creates a convolution layer with square kernels, whose tensors `weight` and `bias` are asked for, or
/// initialised, as by [`candle_nn::conv2d`].
///
/// # Errors
/// If the tensors do not fit, the groups do not divide the channels, or the configuration has a dilation.
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
    let config = crate::Conv2dConfig::try_from(config)?;
    let groups = config.groups;
    if groups == 0 || !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
        bail!(
            "conv2d: expected groups that divide {in_channels} and {out_channels} channels, found {groups}"
        );
    }
    let shape = (out_channels, in_channels / groups, kernel_size, kernel_size);
    let weight = vb.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?;
    Ok(Conv2d::new(weight, None, config))
}
