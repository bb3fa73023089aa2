//! Convolution and transposed convolution.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::cpu::conv::{self, ConvShape, Finish};
use crate::cpu::elementwise;
use crate::glue::{input, like, slice, with};

/// Numbers of a 2-d convolution. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// Step of the kernel; the up-sampling factor of a transposed convolution.
    pub stride: (usize, usize),
    /// Zeros on each side.
    pub padding: (usize, usize),
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Slope of a leaky ReLU applied to the result in the same pass, 0 for a plain ReLU.
    pub leaky: Option<f32>,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), groups: 1, leaky: None }
    }
}

impl Conv2dConfig {
    /// Equal numbers for both axes, one group.
    pub const fn new(stride: usize, padding: usize) -> Self {
        Self { stride: (stride, stride), padding: (padding, padding), groups: 1, leaky: None }
    }

    /// Sets the number of groups.
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Applies a leaky ReLU with this slope to the result, a plain one for 0.
    pub const fn with_leaky(self, slope: f32) -> Self {
        Self { leaky: Some(slope), ..self }
    }
}

/// Convolution (cross-correlation) with an optional bias and leaky ReLU.
///
/// Gradients are computed only for those of `x`, `weight` and `bias` that are tracked.
///
/// # Shapes
/// `x (N, C, H, W)`, `weight (O, C/groups, kh, kw)`, `bias (O)` ->
/// `(N, O, (H + 2 ph - kh) / sh + 1, (W + 2 pw - kw) / sw + 1)`, rounded down
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU.
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
    const OP: &str = "conv2d";
    let (n, c_in, h, w, kh, kw) = sizes(OP, x, weight, config)?;
    let (c_out, group_in) = (weight.dims()[0], weight.dims()[1]);
    let groups = config.groups;
    if !c_out.is_multiple_of(groups) {
        bail!("{OP}: {groups} groups do not divide the outputs of weight {:?}", weight.dims());
    }
    if !c_in.is_multiple_of(groups) || c_in / groups != group_in {
        bail!(
            "{OP}: weight {:?} with {groups} groups wants {} input channels, got {:?}",
            weight.dims(),
            group_in.saturating_mul(groups),
            x.dims()
        );
    }
    let ((sh, sw), (ph, pw)) = (config.stride, config.padding);
    if h + 2 * ph < kh || w + 2 * pw < kw {
        bail!("{OP}: kernel {kh}x{kw} is larger than the padded input {:?}", x.dims());
    }
    let (oh, ow) = ((h + 2 * ph - kh) / sh + 1, (w + 2 * pw - kw) / sw + 1);
    limit(OP, config, [c_in, h + 2 * ph, w + 2 * pw])?;
    limit(OP, config, [c_out, oh, ow])?;
    let shape = ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, groups, oh, ow };
    apply(OP, x, weight, bias, c_out, ConvOp { shape, transposed: false, leaky: config.leaky })
}

/// Transposed convolution, the adjoint of [`conv2d`], with an optional bias and leaky ReLU: the
/// paper's up-convolution.
///
/// # Shapes
/// `x (N, C, H, W)`, `weight (C, O/groups, kh, kw)`, `bias (O)` ->
/// `(N, O, (H - 1) sh - 2 ph + kh, (W - 1) sw - 2 pw + kw)`
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU.
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
    const OP: &str = "conv_transpose2d";
    let (n, channels, oh, ow, kh, kw) = sizes(OP, x, weight, config)?;
    let groups = config.groups;
    if !channels.is_multiple_of(groups) {
        bail!("{OP}: {groups} groups do not divide the channels of an input {:?}", x.dims());
    }
    if weight.dims()[0] != channels {
        bail!(
            "{OP}: weight {:?} wants {} input channels, got {:?}",
            weight.dims(),
            weight.dims()[0],
            x.dims()
        );
    }
    let ((sh, sw), (ph, pw)) = (config.stride, config.padding);
    let (h, w) = ((oh - 1) * sh + kh, (ow - 1) * sw + kw);
    if h <= 2 * ph || w <= 2 * pw {
        bail!("{OP}: padding {:?} leaves nothing of the output {h}x{w}", config.padding);
    }
    let out = weight.dims()[1] * groups;
    limit(OP, config, [out, h, w])?;
    let (h, w) = (h - 2 * ph, w - 2 * pw);
    // In the engine's words: the convolution from our output to our input.
    let shape =
        ConvShape { n, c_in: out, h, w, c_out: channels, kh, kw, sh, sw, ph, pw, groups, oh, ow };
    apply(OP, x, weight, bias, out, ConvOp { shape, transposed: true, leaky: config.leaky })
}

fn sizes(
    op: &str,
    x: &Tensor,
    weight: &Tensor,
    config: Conv2dConfig,
) -> Result<(usize, usize, usize, usize, usize, usize)> {
    let (&[n, c, h, w], &[_, _, kh, kw]) = (x.dims(), weight.dims()) else {
        bail!(
            "{op}: wanted an input (N, C, H, W) and a weight of four axes, got {:?} and {:?}",
            x.dims(),
            weight.dims()
        );
    };
    if x.elem_count() == 0 || weight.elem_count() == 0 {
        bail!("{op}: wanted non-empty tensors, got {:?} and {:?}", x.dims(), weight.dims());
    }
    if config.leaky.is_some_and(|slope| !(0.0..1.0).contains(&slope)) {
        bail!("{op}: wanted a slope 0 <= s < 1 of the leaky ReLU, got {:?}", config.leaky);
    }
    let Conv2dConfig { stride, padding, groups, .. } = config;
    if stride.0 == 0 || stride.1 == 0 || groups == 0 {
        bail!("{op}: wanted strides and groups of at least 1, got {config:?}");
    }
    if [stride.0, stride.1, padding.0, padding.1].iter().any(|&number| number > LARGEST) {
        bail!("{op}: wanted strides and paddings of at most {LARGEST}, got {config:?}");
    }
    Ok((n, c, h, w, kh, kw))
}

/// Strides and paddings beyond this are mistakes, and their sums and products might overflow.
const LARGEST: usize = u16::MAX as usize;

/// Refuses images, padded or computed, whose positions do not fit the engines' 32-bit offsets.
fn limit(op: &str, config: Conv2dConfig, image: [usize; 3]) -> Result<()> {
    let values = image.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if values.is_none_or(|values| values > i32::MAX as usize) {
        bail!("{op}: {config:?} makes an image {image:?} of more than {} values", i32::MAX);
    }
    Ok(())
}

fn apply(
    op: &'static str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    out: usize,
    conv: ConvOp,
) -> Result<Tensor> {
    let (x, weight) = (input(op, x)?, input(op, weight)?);
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::conv(&x, &weight, bias, &conv.shape, conv.transposed, conv.leaky);
    }
    match bias {
        Some(bias) if bias.dims() != [out] => {
            bail!("{op}: wanted a bias [{out}], got {:?}", bias.dims())
        }
        Some(bias) => x.apply_op3(&weight, &input(op, bias)?, conv),
        None => x.apply_op2(&weight, conv),
    }
}

#[derive(Clone, Copy)]
struct ConvOp {
    shape: ConvShape,
    transposed: bool,
    leaky: Option<f32>,
}

impl ConvOp {
    fn op(&self) -> &'static str {
        if self.transposed { "conv_transpose2d" } else { "conv2d" }
    }

    fn run(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let s = &self.shape;
        let dims =
            if self.transposed { (s.n, s.c_in, s.h, s.w) } else { (s.n, s.c_out, s.oh, s.ow) };
        let mut out = vec![0f32; dims.0 * dims.1 * dims.2 * dims.3];
        let finish = Finish { bias, leaky: self.leaky };
        if self.transposed {
            conv::backward_data(s, x, w, finish, &mut out);
        } else {
            conv::forward(s, x, w, finish, &mut out);
        }
        (CpuStorage::F32(out), dims.into())
    }

    /// The gradient before the leaky ReLU, whose output `y` has the sign of its input.
    fn before_leaky(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (op, dy) = (self.op(), dy.contiguous()?);
        let Some(slope) = self.leaky else { return Ok(dy) };
        let gate = |y: f32, dy: f32| if y > 0.0 { dy } else { dy * slope };
        let values = with(op, y, |y| with(op, &dy, |dy| Ok(elementwise::zip(y, dy, gate))))?;
        like(values, &dy)
    }

    /// Gradients to the input and to the weight, each only where it is tracked.
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (op, s) = (self.op(), &self.shape);
        let mut dx = None;
        if x.track_op() {
            let mut values = vec![0f32; x.elem_count()];
            with(op, dy, |dy| {
                with(op, w, |w| {
                    if self.transposed {
                        conv::forward(s, dy, w, Finish::default(), &mut values);
                    } else {
                        conv::backward_data(s, dy, w, Finish::default(), &mut values);
                    }
                    Ok(())
                })
            })?;
            dx = Some(like(values, x)?);
        }
        let mut dw = None;
        if w.track_op() {
            let values = with(op, dy, |dy| {
                with(op, x, |x| {
                    let (from, to) = if self.transposed { (dy, x) } else { (x, dy) };
                    Ok(conv::backward_weight(s, from, to))
                })
            })?;
            dw = Some(like(values, w)?);
        }
        Ok((dx, dw))
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        self.op()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.op();
        Ok(self.run(slice(op, x, x_layout)?, slice(op, w, w_layout)?, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, &self.before_leaky(y, dy)?)
    }
}

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        self.op()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.op();
        let bias = slice(op, b, b_layout)?;
        Ok(self.run(slice(op, x, x_layout)?, slice(op, w, w_layout)?, Some(bias)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = self.before_leaky(y, dy)?;
        let (dx, dw) = self.gradients(x, w, &dy)?;
        let mut db = None;
        if b.track_op() {
            let (channels, plane) = (dy.dims()[1], dy.dims()[2] * dy.dims()[3]);
            let sums = with(self.op(), &dy, |dy| Ok(conv::backward_bias(dy, channels, plane)))?;
            db = Some(like(sums, b)?);
        }
        Ok((dx, dw, db))
    }
}
