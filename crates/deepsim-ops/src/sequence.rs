//! A chain of operations as one node of candle's graph.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod parameters;

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::conv::{self, Conv2dConfig};
use crate::cpu::conv::ConvShape;
use crate::cpu::pool::PoolShape;
use crate::glue::{OpName, check, first_order, input, slice, with};
use crate::norm::{self, LrnConfig};
use crate::pool::{self, Pool2dConfig};
use cpu::Saved;
use parameters::Parameters;

/// One operation of a [`sequence`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::{Conv2dConfig, LrnConfig, Pool2dConfig, Step, sequence};
/// let weight = Tensor::ones((4, 3, 4, 4), DType::F32, &Device::Cpu)?;
/// let up = Tensor::ones((4, 3, 4, 4), DType::F32, &Device::Cpu)?;
/// let steps = [
///     Step::Conv2d { weight, bias: None, config: Conv2dConfig::new(2, 1) },
///     Step::LeakyRelu(0.3),
///     Step::LocalResponseNorm(LrnConfig::default()),
///     Step::ConvTranspose2d { weight: up, bias: None, config: Conv2dConfig::new(2, 1) },
///     Step::MaxPool2d(Pool2dConfig::new(2, 2)),
///     Step::GlobalAvgPool2d,
/// ];
/// let x = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
/// assert_eq!(sequence(&x, &steps)?.dims(), [2, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Step {
    /// Convolution, [`conv2d`](crate::conv2d).
    Conv2d {
        /// `(O, C/groups, kh, kw)`
        weight: Tensor,
        /// `(O)`
        bias: Option<Tensor>,
        /// Stride, padding, dilation, groups and rectifier.
        config: Conv2dConfig,
    },
    /// Transposed convolution, [`conv_transpose2d`](crate::conv_transpose2d).
    ConvTranspose2d {
        /// `(C, O/groups, kh, kw)`
        weight: Tensor,
        /// `(O)`
        bias: Option<Tensor>,
        /// Stride, padding, dilation, groups and rectifier.
        config: Conv2dConfig,
    },
    /// Leaky ReLU with a slope `0 <= s < 1`, [`leaky_relu`](crate::leaky_relu).
    LeakyRelu(f32),
    /// Max pooling, [`max_pool2d`](crate::max_pool2d).
    MaxPool2d(Pool2dConfig),
    /// Local response normalisation, [`local_response_norm`](crate::local_response_norm).
    LocalResponseNorm(LrnConfig),
    /// Mean of each channel, [`global_avg_pool2d`](crate::global_avg_pool2d); must be the last
    /// step.
    GlobalAvgPool2d,
}

impl Step {
    /// Returns the name of the function that does the same alone.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::ConvTranspose2d { .. } => "conv_transpose2d",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::LocalResponseNorm(_) => "local_response_norm",
            Self::GlobalAvgPool2d => "global_avg_pool2d",
        }
    }
}

/// Applies operations one after the other, faster than one by one.
///
/// Between the operations, images stay in the layout that the engine computes in (channels last),
/// gradients are passed on without candle's additions, and the gradient of an activation is computed
/// together with that of the operation after it. Values and gradients are those of the operations
/// applied one by one, up to rounding.
///
/// # Shapes
/// `x (N, C, H, W)` -> as the last operation gives
///
/// # Errors
/// If shapes do not fit or a tensor is not `f32` on the CPU (with `cuda`: or a GPU). The message names the
/// step, counted from 1: `sequence, step 2 (conv2d): ...`. A batch of no images has a result without values and
/// gradients of 0 on the CPU, and is an error on a GPU.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::{Conv2dConfig, Pool2dConfig, Step, sequence};
/// let x = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((8, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// let relu = Conv2dConfig::new(1, 1).with_leaky(0.0);
/// let steps = [
///     Step::Conv2d { weight, bias: None, config: relu },
///     Step::MaxPool2d(Pool2dConfig::new(2, 2)),
/// ];
/// assert_eq!(sequence(&x, &steps)?.dims(), [2, 8, 8, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn sequence(x: &Tensor, steps: &[Step]) -> Result<Tensor> {
    run(SEQUENCE, x, steps)
}

const SEQUENCE: &str = "sequence";

/// Applies [`sequence`] under the name of the operation that the caller asked for.
pub(crate) fn run(op: &'static str, x: &Tensor, steps: &[Step]) -> Result<Tensor> {
    run_by(op, x, steps, None)
}

/// Does as [`run`]; on the CPU, the graph knows the first parameter by `first`, which has its values in another shape.
pub(crate) fn run_by(
    op: &'static str,
    x: &Tensor,
    steps: &[Step],
    first: Option<Tensor>,
) -> Result<Tensor> {
    let &[n, c, h, w] = x.dims() else {
        bail!("{op}: expected an input (N, C, H, W), found {:?}", x.dims());
    };
    let x = input(op, "x", x)?;
    let mut map = [n, c, h, w];
    let mut flat = false;
    let (mut layers, mut tensors) = (Vec::with_capacity(steps.len()), Vec::new());
    for (number, step) in (1..).zip(steps) {
        let place = OpName { op, step: (op == SEQUENCE).then(|| (number, step.name())) };
        if flat {
            bail!("{place}: nothing can follow global average pooling in a sequence");
        }
        let (kind, output) = Kind::plan(place, step, map, &mut tensors)?;
        flat = matches!(kind, Kind::Mean);
        layers.push(Layer { kind, input: map, output });
        map = output;
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        if n == 0 {
            bail!("{op}: expected an image on a GPU, found {:?}", x.dims());
        }
        return cuda::run(op, x, &layers, &tensors);
    }
    if let (Some(first), Some(place)) = (first, tensors.first_mut()) {
        *place = first;
    }
    let parameters = Parameters::new(op, tensors)?;
    let keep = x.track_op() || parameters.tracked();
    let token = parameters.token()?;
    let node = Sequence { op, layers, parameters, flat, keep, saved: Mutex::new(None) };
    x.apply_op2(&token, node)
}

/// Layer with its sizes, `(N, C, H, W)`.
struct Layer {
    kind: Kind,
    input: [usize; 4],
    output: [usize; 4],
}

/// Operation of a layer; parameters are given by number.
enum Kind {
    Conv {
        shape: ConvShape,
        transposed: bool,
        weight: usize,
        bias: Option<usize>,
        slope: Option<f32>,
    },
    LeakyRelu(f32),
    MaxPool(PoolShape),
    Lrn(LrnConfig),
    Mean,
}

impl Kind {
    /// Checks a step and returns the size of its output.
    fn plan(
        op: OpName,
        step: &Step,
        x: [usize; 4],
        tensors: &mut Vec<Tensor>,
    ) -> Result<(Self, [usize; 4])> {
        let mut add = |name: &str, tensor: &Tensor| -> Result<usize> {
            check(op, name, tensor)?;
            tensors.push(tensor.clone());
            Ok(tensors.len() - 1)
        };
        let mut add_both = |weight: &Tensor, bias: &Option<Tensor>| -> Result<_> {
            let weight = add("weight", weight)?;
            Ok((weight, bias.as_ref().map(|bias| add("bias", bias)).transpose()?))
        };
        Ok(match step {
            Step::Conv2d { weight, bias, config } => {
                let shape = conv::shape(op, x, weight, bias.as_ref(), *config)?;
                let (weight, bias) = add_both(weight, bias)?;
                let slope = config.leaky;
                let output = [shape.n, shape.c_out, shape.oh, shape.ow];
                (Self::Conv { shape, transposed: false, weight, bias, slope }, output)
            }
            Step::ConvTranspose2d { weight, bias, config } => {
                let shape = conv::transposed_shape(op, x, weight, bias.as_ref(), *config)?;
                let (weight, bias) = add_both(weight, bias)?;
                let slope = config.leaky;
                let output = [shape.n, shape.c_in, shape.h, shape.w];
                (Self::Conv { shape, transposed: true, weight, bias, slope }, output)
            }
            Step::LeakyRelu(slope) => {
                if !(0.0..1.0).contains(slope) {
                    bail!("{op}: expected a slope 0 <= s < 1 of the leaky ReLU, found {slope}");
                }
                (Self::LeakyRelu(*slope), x)
            }
            Step::MaxPool2d(config) => {
                let shape = pool::shape(op, x, *config)?;
                (Self::MaxPool(shape), [x[0], x[1], shape.oh, shape.ow])
            }
            Step::LocalResponseNorm(config) => {
                norm::check(op, x, *config)?;
                (Self::Lrn(*config), x)
            }
            Step::GlobalAvgPool2d => {
                if x[1..].contains(&0) {
                    bail!("{op}: expected a non-empty input, found {x:?}");
                }
                (Self::Mean, [x[0], x[1], 1, 1])
            }
        })
    }

    /// Returns the slope of the rectifier at the layer's end.
    fn slope(&self) -> Option<f32> {
        match self {
            Self::Conv { slope, .. } => *slope,
            Self::LeakyRelu(slope) => Some(*slope),
            _ => None,
        }
    }
}

/// Node of candle's graph. Its second input stands for all parameters.
struct Sequence {
    op: &'static str,
    layers: Vec<Layer>,
    parameters: Parameters,
    /// True if the result is `(N, C)`.
    flat: bool,
    /// True if there will be a backward pass.
    keep: bool,
    saved: Mutex<Option<Saved>>,
}

impl CustomOp2 for Sequence {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _token: &CpuStorage,
        _token_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        // Runs all parallel loops of the chain from a thread of the pool, because waking the pool
        // for each would cost more than some of them take.
        let x = slice(self.op, x, layout)?;
        let (y, saved) = match x.len() {
            0 => (Vec::new(), None),
            _ => rayon::scope(|_| self.forward(x))?,
        };
        if let Ok(mut kept) = self.saved.lock() {
            *kept = saved;
        }
        let dims = self.layers.last().map_or_else(|| layout.dims().to_vec(), |l| l.output.to_vec());
        let dims = if self.flat { &dims[..2] } else { &dims[..] };
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        token: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        first_order(self.op)?;
        if x.elem_count() == 0 {
            self.parameters.leave_zeros()?;
            let through = token.track_op().then(|| token.zeros_like()).transpose()?;
            return Ok((x.track_op().then(|| x.zeros_like()).transpose()?, through));
        }
        let saved = self.saved.lock();
        let Ok(Some(saved)) = saved.as_deref() else {
            bail!("{}: backward before forward", self.op);
        };
        let dy = dy.contiguous()?;
        let wanted = x.track_op();
        let dx = with(self.op, &dy, |dy| rayon::scope(|_| self.backward(saved, dy, wanted)))?;
        let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        // The token needs a gradient, or candle would not call its backward pass.
        let through = if token.track_op() { Some(token.zeros_like()?) } else { None };
        Ok((dx, through))
    }
}
