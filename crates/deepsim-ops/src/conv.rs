//! Convolution and transposed convolution.

use candle_core::{Result, Tensor, bail};

use crate::cpu::conv::ConvShape;
use crate::glue::OpName;
use crate::sequence::{Step, run};

/// Hyper-parameters of a 2-d convolution. Pairs are (vertical, horizontal).
///
/// Padding is the same on opposite sides.
///
/// ```
/// use deepsim_ops::Conv2dConfig;
/// // Same size as the image, for 3x3 kernels that span 5x5 pixels.
/// let dilated = Conv2dConfig::new(1, 2).with_dilation(2);
/// assert_eq!(dilated.output_size((8, 8), (3, 3)), Some((8, 8)));
/// // Twice the size of the image, for 3x3 kernels.
/// let up = Conv2dConfig::new(2, 1).with_output_padding(1);
/// assert_eq!(up.transposed_output_size((8, 8), (3, 3)), Some((16, 16)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// Step of the kernel; the up-sampling factor of a transposed convolution.
    pub stride: (usize, usize),
    /// Zeros on each side.
    pub padding: (usize, usize),
    /// Pixels from one value of the kernel to the next; 1 for a dense kernel.
    pub dilation: (usize, usize),
    /// Rows and columns that a transposed convolution adds at the bottom and the right, fewer than its
    /// stride or its dilation. A convolution has none.
    pub output_padding: (usize, usize),
    /// Number of groups of channels, each convolved by itself.
    pub groups: usize,
    /// Slope of a leaky ReLU applied to the result in the same pass, 0 for a plain ReLU.
    pub leaky: Option<f32>,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self::new(1, 0)
    }
}

impl Conv2dConfig {
    /// Creates a configuration that is equal for both axes, with one group, a dense kernel and no output padding.
    pub const fn new(stride: usize, padding: usize) -> Self {
        Self {
            stride: (stride, stride),
            padding: (padding, padding),
            dilation: (1, 1),
            output_padding: (0, 0),
            groups: 1,
            leaky: None,
        }
    }

    /// Sets the dilation of both axes.
    pub const fn with_dilation(self, dilation: usize) -> Self {
        Self { dilation: (dilation, dilation), ..self }
    }

    /// Sets the output padding of both axes.
    pub const fn with_output_padding(self, output_padding: usize) -> Self {
        Self { output_padding: (output_padding, output_padding), ..self }
    }

    /// Sets the number of groups.
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Applies a leaky ReLU with this slope to the result, a plain one for 0.
    pub const fn with_leaky(self, slope: f32) -> Self {
        Self { leaky: Some(slope), ..self }
    }

    /// Returns height and width of the result of a convolution, given those of the image and of the kernel; `None` if
    /// the kernel is larger than the padded image, or a stride or a dilation is 0.
    ///
    /// ```
    /// use deepsim_ops::Conv2dConfig;
    /// assert_eq!(Conv2dConfig::new(2, 1).output_size((5, 8), (3, 3)), Some((3, 4)));
    /// assert_eq!(Conv2dConfig::new(1, 1).output_size((2, 2), (7, 7)), None);
    /// ```
    pub fn output_size(
        &self,
        image: (usize, usize),
        kernel: (usize, usize),
    ) -> Option<(usize, usize)> {
        let (kh, kw) = self.extent(kernel)?;
        let axis = |size: usize, kernel, stride, padding: usize| {
            let padded = size.checked_add(padding.checked_mul(2)?)?;
            padded.checked_sub(kernel)?.checked_div(stride)?.checked_add(1)
        };
        let Self { stride, padding, .. } = self;
        Some((axis(image.0, kh, stride.0, padding.0)?, axis(image.1, kw, stride.1, padding.1)?))
    }

    /// Returns height and width of the result of a transposed convolution; `None` if the padding leaves nothing of it.
    ///
    /// ```
    /// use deepsim_ops::Conv2dConfig;
    /// assert_eq!(Conv2dConfig::new(2, 1).transposed_output_size((8, 4), (4, 4)), Some((16, 8)));
    /// ```
    pub fn transposed_output_size(
        &self,
        image: (usize, usize),
        kernel: (usize, usize),
    ) -> Option<(usize, usize)> {
        let (kh, kw) = self.extent(kernel)?;
        let axis = |size: usize, kernel, stride, padding: usize, more| {
            let whole = size.checked_sub(1)?.checked_mul(stride)?.checked_add(kernel)?;
            let whole = whole.checked_add(more)?;
            whole.checked_sub(padding.checked_mul(2)?).filter(|rest| *rest > 0)
        };
        let Self { stride, padding, output_padding: more, .. } = self;
        let height = axis(image.0, kh, stride.0, padding.0, more.0)?;
        Some((height, axis(image.1, kw, stride.1, padding.1, more.1)?))
    }

    /// Returns the pixels that a kernel spans, the gaps of its dilation included.
    fn extent(&self, kernel: (usize, usize)) -> Option<(usize, usize)> {
        let axis = |kernel: usize, dilation: usize| {
            let gaps = kernel.checked_sub(1)?.checked_mul(dilation)?;
            gaps.checked_add(1).filter(|_| dilation > 0)
        };
        Some((axis(kernel.0, self.dilation.0)?, axis(kernel.1, self.dilation.1)?))
    }
}

/// Convolution (cross-correlation) with an optional bias and leaky ReLU.
///
/// Gradients are computed only for those of `x`, `weight` and `bias` that are tracked.
///
/// # Shapes
/// `x (N, C, H, W)`, `weight (O, C/groups, kh, kw)`, `bias (O)` ->
/// `(N, O, (H + 2 ph - eh) / sh + 1, (W + 2 pw - ew) / sw + 1)`, rounded down, where a kernel spans
/// `eh = dh (kh - 1) + 1` rows and `ew = dw (kw - 1) + 1` columns
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::{Conv2dConfig, conv2d};
/// let x = Tensor::ones((1, 2, 5, 5), DType::F32, &Device::Cpu)?;
/// let w = Tensor::ones((4, 2, 3, 3), DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x, &w, None, Conv2dConfig::new(2, 1))?;
/// assert_eq!(y.dims(), [1, 4, 3, 3]);
/// assert_eq!(y.max_all()?.to_scalar::<f32>()?, 18.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<Tensor> {
    let (weight, bias) = (weight.clone(), bias.cloned());
    run("conv2d", x, &[Step::Conv2d { weight, bias, config }])
}

/// Transposed convolution, the adjoint of [`conv2d`], with an optional bias and leaky ReLU: the
/// paper's up-convolution.
///
/// # Shapes
/// `x (N, C, H, W)`, `weight (C, O/groups, kh, kw)`, `bias (O)` ->
/// `(N, O, (H - 1) sh - 2 ph + eh + oph, (W - 1) sw - 2 pw + ew + opw)`, where a kernel spans
/// `eh = dh (kh - 1) + 1` rows and `ew = dw (kw - 1) + 1` columns
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::{Conv2dConfig, conv_transpose2d};
/// let x = Tensor::ones((1, 2, 8, 8), DType::F32, &Device::Cpu)?;
/// let w = Tensor::ones((2, 3, 4, 4), DType::F32, &Device::Cpu)?;
/// let y = conv_transpose2d(&x, &w, None, Conv2dConfig::new(2, 1))?;
/// assert_eq!(y.dims(), [1, 3, 16, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<Tensor> {
    let (weight, bias) = (weight.clone(), bias.cloned());
    run("conv_transpose2d", x, &[Step::ConvTranspose2d { weight, bias, config }])
}

/// Returns the sizes of the convolution with `weight` and `bias` for images `x (N, C, H, W)`.
///
/// # Errors
/// As for [`conv2d`].
pub(crate) fn shape(
    op: OpName,
    x: [usize; 4],
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<ConvShape> {
    let (n, c_in, h, w, kh, kw) = sizes(op, x, weight, config)?;
    check_bias(op, bias, weight.dims()[0])?;
    let (c_out, group_in) = (weight.dims()[0], weight.dims()[1]);
    let groups = config.groups;
    if !c_out.is_multiple_of(groups) {
        bail!("{op}: {groups} groups do not divide the outputs of weight {:?}", weight.dims());
    }
    if !c_in.is_multiple_of(groups) || c_in / groups != group_in {
        bail!(
            "{op}: weight {:?} with {groups} groups expects {} input channels, found {:?}",
            weight.dims(),
            group_in.saturating_mul(groups),
            x
        );
    }
    let Conv2dConfig { stride: (sh, sw), padding: (ph, pw), dilation: (dh, dw), .. } = config;
    if config.output_padding != (0, 0) {
        bail!("{op}: expected no output padding, found {:?}", config.output_padding);
    }
    let Some((oh, ow)) = config.output_size((h, w), (kh, kw)) else {
        let dilation = match (dh, dw) {
            (1, 1) => String::new(),
            dilation => format!(" with dilation {dilation:?}"),
        };
        let padding = (ph, pw);
        bail!(
            "{op}: kernel {kh}x{kw}{dilation} is larger than the input {x:?} with padding {padding:?}"
        );
    };
    limit(op, config, [c_in, h + 2 * ph, w + 2 * pw])?;
    limit(op, config, [c_out, oh, ow])?;
    Ok(ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow })
}

/// Returns the sizes of the convolution whose adjoint [`conv_transpose2d`] computes: from our output to our input.
///
/// # Errors
/// As for [`conv_transpose2d`].
pub(crate) fn transposed_shape(
    op: OpName,
    x: [usize; 4],
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<ConvShape> {
    let (n, channels, oh, ow, kh, kw) = sizes(op, x, weight, config)?;
    let groups = config.groups;
    if !channels.is_multiple_of(groups) {
        bail!("{op}: {groups} groups do not divide the channels of an input {:?}", x);
    }
    if weight.dims()[0] != channels {
        bail!(
            "{op}: weight {:?} expects {} input channels, found {:?}",
            weight.dims(),
            weight.dims()[0],
            x
        );
    }
    let Conv2dConfig { stride, padding: (ph, pw), dilation, output_padding: more, .. } = config;
    let ((sh, sw), (dh, dw)) = (stride, dilation);
    if more.0 >= sh.max(dh) || more.1 >= sw.max(dw) {
        bail!("{op}: expected an output padding less than stride or dilation, found {config:?}");
    }
    let axis = |size: usize, kernel: usize, stride, dilation, more| {
        (size - 1) * stride + (kernel - 1) * dilation + 1 + more
    };
    let (h, w) = (axis(oh, kh, sh, dh, more.0), axis(ow, kw, sw, dw, more.1));
    if h <= 2 * ph || w <= 2 * pw {
        bail!("{op}: padding {:?} leaves nothing of the output {h}x{w}", config.padding);
    }
    let out = weight.dims()[1] * groups;
    check_bias(op, bias, out)?;
    limit(op, config, [out, h, w])?;
    let (h, w) = (h - 2 * ph, w - 2 * pw);
    // The engine describes it as the convolution from our output to our input.
    let (c_in, c_out) = (out, channels);
    Ok(ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow })
}

fn check_bias(op: OpName, bias: Option<&Tensor>, out: usize) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [out] => {
            bail!("{op}: expected a bias [{out}], found {:?}", bias.dims())
        }
        _ => Ok(()),
    }
}

fn sizes(
    op: OpName,
    x: [usize; 4],
    weight: &Tensor,
    config: Conv2dConfig,
) -> Result<(usize, usize, usize, usize, usize, usize)> {
    let ([n, c, h, w], &[_, _, kh, kw]) = (x, weight.dims()) else {
        bail!("{op}: expected a weight of four axes, found {:?}", weight.dims());
    };
    if x[1..].contains(&0) || weight.elem_count() == 0 {
        bail!("{op}: expected non-empty tensors, found {x:?} and {:?}", weight.dims());
    }
    if config.leaky.is_some_and(|slope| !(0.0..1.0).contains(&slope)) {
        bail!("{op}: expected a slope 0 <= s < 1 of the leaky ReLU, found {:?}", config.leaky);
    }
    let Conv2dConfig { stride, padding, dilation, output_padding: more, groups, .. } = config;
    if stride.0 == 0 || stride.1 == 0 || groups == 0 {
        bail!("{op}: expected strides and groups of at least 1, found {config:?}");
    }
    if dilation.0 == 0 || dilation.1 == 0 {
        bail!("{op}: expected dilations of at least 1, found {config:?}");
    }
    let numbers = [stride, padding, dilation, more].map(|(a, b)| a.max(b));
    if numbers.iter().any(|&number| number > LARGEST) {
        bail!(
            "{op}: expected strides, dilations and paddings of at most {LARGEST}, found {config:?}"
        );
    }
    Ok((n, c, h, w, kh, kw))
}

/// Strides, dilations and paddings beyond this are mistakes, and their sums and products might overflow.
const LARGEST: usize = u16::MAX as usize;

/// Refuses images, padded or computed, whose positions do not fit the engines' 32-bit offsets.
fn limit(op: OpName, config: Conv2dConfig, image: [usize; 3]) -> Result<()> {
    let values = image.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if values.is_none_or(|values| values > i32::MAX as usize) {
        bail!("{op}: {config:?} makes an image {image:?} of more than {} values", i32::MAX);
    }
    Ok(())
}
