//! Pooling.

use candle_core::{Result, Tensor, bail};

use crate::cpu::bands::Bands;
use crate::cpu::pool::PoolShape;
use crate::glue::OpName;
use crate::resample;
use crate::sequence::{Step, run};

/// Hyper-parameters of a 2-d pooling. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dConfig {
    /// Size of the window.
    pub kernel: (usize, usize),
    /// Step of the window.
    pub stride: (usize, usize),
    /// Padding on each side: never chosen as maximum, zeros for a mean.
    pub padding: (usize, usize),
    /// Rounds the number of windows up, as Caffe does, instead of down: the last window may hang
    /// over the border, but must start inside the image or its left padding.
    pub ceil_mode: bool,
}

impl Pool2dConfig {
    /// Creates square windows without padding; their number is rounded down.
    pub const fn new(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (0, 0),
            ceil_mode: false,
        }
    }

    /// Rounds the number of windows up, as Caffe does.
    pub const fn ceil(self) -> Self {
        Self { ceil_mode: true, ..self }
    }

    /// Returns height and width of the result for an image of this height and width; `None` if no window fits or the
    /// configuration is invalid.
    ///
    /// ```
    /// use deepsim_ops::Pool2dConfig;
    /// assert_eq!(Pool2dConfig::new(3, 2).output_size((14, 2)), None);
    /// assert_eq!(Pool2dConfig::new(3, 2).ceil().output_size((14, 3)), Some((7, 1)));
    /// ```
    pub fn output_size(&self, image: (usize, usize)) -> Option<(usize, usize)> {
        let Self { kernel, stride, padding, ceil_mode: ceil } = *self;
        let height = Self::output(image.0, kernel.0, stride.0, padding.0, ceil)?;
        Some((height, Self::output(image.1, kernel.1, stride.1, padding.1, ceil)?))
    }

    /// Returns the number of windows along one axis; `None` if there are none or the configuration is invalid.
    fn output(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        ceil: bool,
    ) -> Option<usize> {
        let limit = i32::MAX as usize;
        if kernel == 0
            || stride == 0
            || padding > kernel / 2
            || kernel.max(stride).max(size) > limit
        {
            return None;
        }
        let span = (size + 2 * padding) as i64 - kernel as i64;
        let round = if ceil { stride as i64 - 1 } else { 0 };
        let count = usize::try_from((span + round).div_euclid(stride as i64) + 1).ok()?;
        // A window that would start beyond the image and its left padding covers no pixel.
        let beyond = ceil && count > 0 && (count - 1) * stride >= size + padding;
        Some(if beyond { count - 1 } else { count }).filter(|count| *count > 0)
    }
}

/// Takes the maximum over windows, which may overlap.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, (H + 2 ph - kh) / sh + 1, ..)`, rounded down or up by `ceil_mode`
///
/// # Errors
/// If the window is larger than the padded input, the padding larger than half the window, or the
/// tensor not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::{Pool2dConfig, max_pool2d};
/// let x = Tensor::ones((1, 1, 14, 14), DType::F32, &Device::Cpu)?;
/// assert_eq!(max_pool2d(&x, Pool2dConfig::new(3, 2))?.dims(), [1, 1, 6, 6]);
/// assert_eq!(max_pool2d(&x, Pool2dConfig::new(3, 2).ceil())?.dims(), [1, 1, 7, 7]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn max_pool2d(x: &Tensor, config: Pool2dConfig) -> Result<Tensor> {
    run("max_pool2d", x, &[Step::MaxPool2d(config)])
}

/// Returns the sizes of the pooling of images `x (N, C, H, W)`.
///
/// # Errors
/// As for [`max_pool2d`].
pub(crate) fn shape(op: OpName, x: [usize; 4], config: Pool2dConfig) -> Result<PoolShape> {
    let [_, channels, h, w] = x;
    let Pool2dConfig { kernel, stride, padding, .. } = config;
    let Some((oh, ow)) = config.output_size((h, w)) else {
        bail!("{op}: {config:?} does not fit an input {x:?}");
    };
    if x[1..].contains(&0) {
        bail!("{op}: expected a non-empty input, found {x:?}");
    }
    Ok(PoolShape { channels, h, w, oh, ow, kernel, stride, padding })
}

/// Takes the mean over all positions.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C)`
///
/// # Errors
/// If the tensor has another rank or is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::global_avg_pool2d;
/// let x = Tensor::from_vec(vec![1f32, 2.0, 3.0, 6.0], (1, 1, 2, 2), &Device::Cpu)?;
/// assert_eq!(global_avg_pool2d(&x)?.to_vec2::<f32>()?, [[3.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    run("global_avg_pool2d", x, &[Step::GlobalAvgPool2d])
}

/// Hyper-parameters of an average pooling.
///
/// ```
/// use deepsim_ops::{AvgPool2dConfig, Pool2dConfig};
/// assert!(AvgPool2dConfig::from(Pool2dConfig::new(3, 2)).count_include_pad);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dConfig {
    /// The windows.
    pub windows: Pool2dConfig,
    /// Divides by the pixels of the window within the image and its padding, as Caffe does; if false, by those
    /// within the image.
    pub count_include_pad: bool,
}

/// Padding counts, as in Caffe and by default in PyTorch.
impl From<Pool2dConfig> for AvgPool2dConfig {
    fn from(windows: Pool2dConfig) -> Self {
        Self { windows, count_include_pad: true }
    }
}

/// Takes the mean over windows, which may overlap.
///
/// A window that extends beyond the padding, as the last one may in ceil mode, is divided by its size within it, as in
/// PyTorch and Caffe.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, (H + 2 ph - kh) / sh + 1, ..)`, rounded down or up by `ceil_mode`
///
/// # Errors
/// If the window is larger than the padded input, the padding larger than half the window, or the
/// tensor not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::{Pool2dConfig, avg_pool2d};
/// let x = Tensor::new(&[[[[1f32, 3.0, 5.0]]]], &Device::Cpu)?;
/// let windows = Pool2dConfig { kernel: (1, 2), ..Pool2dConfig::new(1, 2) };
/// assert_eq!(avg_pool2d(&x, windows)?.flatten_all()?.to_vec1::<f32>()?, [2.0]);
/// assert_eq!(avg_pool2d(&x, windows.ceil())?.flatten_all()?.to_vec1::<f32>()?, [2.0, 5.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn avg_pool2d(x: &Tensor, config: impl Into<AvgPool2dConfig>) -> Result<Tensor> {
    const OP: &str = "avg_pool2d";
    let AvgPool2dConfig { windows, count_include_pad } = config.into();
    let &[n, c, h, w] = x.dims() else {
        bail!("{OP}: expected an input (N, C, H, W), found {:?}", x.dims());
    };
    let shape = shape(OpName { op: OP, step: None }, [n, c, h, w], windows)?;
    let Pool2dConfig { kernel, stride, padding, .. } = windows;
    let axis = |size: usize, kernel: usize, stride, padding, count| {
        let window = |o: usize| {
            let start: usize = o * stride;
            let end = (start + kernel).min(size + 2 * padding);
            let inside = start.max(padding)..end.min(size + padding);
            let count = if count_include_pad { end - start } else { inside.len() };
            (inside.start - padding, vec![1.0 / count as f32; inside.len()])
        };
        Bands::new(size, (0..count).map(window))
    };
    let down = axis(h, kernel.0, stride.0, padding.0, shape.oh);
    let across = axis(w, kernel.1, stride.1, padding.1, shape.ow);
    resample::apply(OP, x, down, across)
}
