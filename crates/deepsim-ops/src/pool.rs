//! Pooling.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::cpu::pool::{PoolShape, max_backward, max_forward};
use crate::glue::{input, like, slice, with};

/// Numbers of a 2-d pooling. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dConfig {
    /// Size of the window.
    pub kernel: (usize, usize),
    /// Step of the window.
    pub stride: (usize, usize),
    /// Padding on each side, never chosen as maximum.
    pub padding: (usize, usize),
    /// Rounds the number of windows up, as Caffe does, instead of down: the last window may hang
    /// over the border, but must start inside the image or its left padding.
    pub ceil_mode: bool,
}

impl Pool2dConfig {
    /// Square windows without padding, rounded down.
    pub const fn new(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (0, 0),
            ceil_mode: false,
        }
    }

    /// Rounds up, as Caffe does.
    pub const fn ceil(self) -> Self {
        Self { ceil_mode: true, ..self }
    }

    fn output(size: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> usize {
        let span = size - (kernel - 2 * padding);
        let count = if ceil { span.div_ceil(stride) } else { span / stride } + 1;
        // A window that would start beyond the image and its left padding sees nothing.
        if ceil && (count - 1) * stride >= size + padding { count - 1 } else { count }
    }
}

/// Max-pooling; overlapping windows are fine.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C, (H + 2 ph - kh) / sh + 1, ..)`, rounded down or up by `ceil_mode`
///
/// # Errors
/// If the window is larger than the padded input, the padding larger than half the window, or the
/// tensor not `f32` on the CPU.
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
    let &[_, _, h, w] = x.dims() else {
        bail!("{MAX}: wanted (N, C, H, W), got {:?}", x.dims());
    };
    let Pool2dConfig { kernel, stride, padding, ceil_mode } = config;
    let fits = |size: usize, kernel: usize, stride: usize, padding: usize| {
        kernel > 0 && stride > 0 && padding <= kernel / 2 && size >= kernel - 2 * padding
    };
    if x.elem_count() == 0
        || !fits(h, kernel.0, stride.0, padding.0)
        || !fits(w, kernel.1, stride.1, padding.1)
    {
        bail!("{MAX}: {config:?} does not fit an input {:?}", x.dims());
    }
    let oh = Pool2dConfig::output(h, kernel.0, stride.0, padding.0, ceil_mode);
    let ow = Pool2dConfig::output(w, kernel.1, stride.1, padding.1, ceil_mode);
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::max_pool(x, kernel, stride, padding, (oh, ow));
    }
    let shape = PoolShape { h, w, oh, ow, kernel, stride, padding };
    input(MAX, x)?.apply_op1(MaxPool { shape, from: OnceLock::new() })
}

const MAX: &str = "max_pool2d";

struct MaxPool {
    shape: PoolShape,
    from: OnceLock<Vec<u32>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        MAX
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, from) = max_forward(&self.shape, slice(MAX, x, layout)?);
        self.from.get_or_init(|| from);
        let dims = layout.dims();
        Ok((CpuStorage::F32(y), (dims[0], dims[1], self.shape.oh, self.shape.ow).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(from) = self.from.get() else { bail!("{MAX}: backward before forward") };
        let dx = with(MAX, &dy.contiguous()?, |dy| Ok(max_backward(&self.shape, from, dy)))?;
        Ok(Some(like(dx, x)?))
    }
}

/// Mean over all positions.
///
/// # Shapes
/// `(N, C, H, W) -> (N, C)`
///
/// # Errors
/// If the tensor has another rank or is not `f32` on the CPU.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 || x.elem_count() == 0 {
        bail!("{AVG}: wanted a non-empty (N, C, H, W), got {:?}", x.dims());
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::global_avg_pool(x);
    }
    input(AVG, x)?.apply_op1(GlobalAvgPool)
}

const AVG: &str = "global_avg_pool2d";

struct GlobalAvgPool;

impl CustomOp1 for GlobalAvgPool {
    fn name(&self) -> &'static str {
        AVG
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dims = layout.dims();
        let plane = dims[2] * dims[3];
        let mean = |plane: &[f32]| {
            (plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64) as f32
        };
        let y = slice(AVG, x, layout)?.chunks_exact(plane).map(mean).collect();
        Ok((CpuStorage::F32(y), (dims[0], dims[1]).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let plane = x.dims()[2] * x.dims()[3];
        let dx = with(AVG, &dy.contiguous()?, |dy| {
            let spread = |dy: &f32| std::iter::repeat_n(dy / plane as f32, plane);
            Ok(dy.iter().flat_map(spread).collect())
        })?;
        Ok(Some(like(dx, x)?))
    }
}
