//! Batch normalisation.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, Var, bail};

use crate::cpu::batch_norm::{Planes, combine, moments, products, scale};
use crate::cpu::simd::Isa;
use crate::glue::{check, first_order, input, slice, with};

/// Mean and variance that [`batch_norm2d`] normalises by.
#[derive(Clone, Copy, Debug)]
pub enum BatchNormStatistics<'a> {
    /// The batch's own, for training.
    Batch,
    /// The batch's own, for training; running ones move towards them.
    Update {
        /// `(C)`, replaced by `(1 - momentum) * mean + momentum * mean of the batch`.
        mean: &'a Var,
        /// `(C)`, likewise by the batch's unbiased variance, as in PyTorch.
        variance: &'a Var,
        /// `0..=1`; PyTorch's default is 0.1.
        momentum: f64,
    },
    /// Given ones, for inference. They are constants: no gradient reaches them.
    Fixed {
        /// `(C)`
        mean: &'a Tensor,
        /// `(C)`
        variance: &'a Tensor,
    },
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` for each channel, as PyTorch's `batch_norm`.
///
/// `affine` is weight and bias; without it they are 1 and 0. Sums are made in double precision. With statistics of
/// the batch, gradients take into account that these depend on `x`. A batch of no images changes no running
/// statistics.
///
/// # Shapes
/// `x (N, C, H, W)`, weight and bias `(C)` -> `(N, C, H, W)`
///
/// # Errors
/// If shapes do not fit, a tensor is not `f32` on the CPU (with `cuda`: or a GPU), `epsilon` is negative, a momentum is
/// not in `0..=1`, or batch statistics are asked for and the batch has one value a channel.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use deepsim_ops::{BatchNormStatistics, batch_norm2d};
/// let x = Tensor::new(&[[[[1f32, 3.0]]]], &Device::Cpu)?;
/// let (mean, variance) = (Var::new(&[0f32], &Device::Cpu)?, Var::new(&[1f32], &Device::Cpu)?);
/// let statistics = BatchNormStatistics::Update { mean: &mean, variance: &variance, momentum: 0.5 };
/// let y = batch_norm2d(&x, None, statistics, 0.0)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [-1.0, 1.0]);
/// assert_eq!((mean.to_vec1::<f32>()?, variance.to_vec1::<f32>()?), (vec![1.0], vec![1.5]));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn batch_norm2d(
    x: &Tensor,
    affine: Option<(&Tensor, &Tensor)>,
    statistics: BatchNormStatistics<'_>,
    epsilon: f64,
) -> Result<Tensor> {
    let &[n, c, h, w] = x.dims() else {
        bail!("{OP}: expected an input (N, C, H, W), found {:?}", x.dims());
    };
    if [c, h, w].contains(&0) {
        bail!("{OP}: expected channels and sides that are not 0, found {:?}", x.dims());
    }
    if !(0.0..f64::INFINITY).contains(&epsilon) {
        bail!("{OP}: expected an epsilon of at least 0, found {epsilon}");
    }
    let channels = |name: &str, tensor: &Tensor| {
        if tensor.dims() != [c] {
            bail!("{OP}: {name}: expected a shape [{c}], found {:?}", tensor.dims());
        }
        check(OP, name, tensor)
    };
    match statistics {
        BatchNormStatistics::Batch => {}
        BatchNormStatistics::Fixed { mean, variance } => {
            channels("mean", mean)?;
            channels("variance", variance)?;
        }
        BatchNormStatistics::Update { mean, variance, momentum } => {
            channels("mean", mean)?;
            channels("variance", variance)?;
            if !(0.0..=1.0).contains(&momentum) {
                bail!("{OP}: expected a momentum 0 <= m <= 1, found {momentum}");
            }
        }
    }
    let trains = !matches!(statistics, BatchNormStatistics::Fixed { .. });
    if trains && n * h * w == 1 {
        bail!("{OP}: expected more than one value a channel in training, found {:?}", x.dims());
    }
    let x = input(OP, "x", x)?;
    let (weight, bias) = match affine {
        Some((weight, bias)) => {
            channels("weight", weight)?;
            channels("bias", bias)?;
            (weight.contiguous()?, bias.contiguous()?)
        }
        None => {
            (Tensor::ones(c, DType::F32, x.device())?, Tensor::zeros(c, DType::F32, x.device())?)
        }
    };
    match x.device().is_cpu() {
        true => on_cpu(&x, &weight, &bias, statistics, epsilon),
        false => composed(&x, &weight, &bias, statistics, epsilon),
    }
}

const OP: &str = "batch_norm2d";

fn on_cpu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    statistics: BatchNormStatistics<'_>,
    epsilon: f64,
) -> Result<Tensor> {
    let (n, channels, h, w) = x.dims4()?;
    let planes = Planes { channels, plane: h * w };
    let count = (n * h * w) as f64;
    let wide = |tensor: &Tensor| -> Result<Vec<f64>> {
        with(OP, &tensor.contiguous()?, |values| Ok(values.iter().map(|&v| f64::from(v)).collect()))
    };
    let (mean, variance) = match statistics {
        BatchNormStatistics::Fixed { mean, variance } => (wide(mean)?, wide(variance)?),
        // A batch of no images has nothing to normalise.
        _ if n == 0 => (vec![0.0; channels], vec![1.0; channels]),
        _ => {
            let moments = with(OP, x, |x| Ok(moments(planes, Isa::best(), x)))?;
            let moments = moments.iter().map(|[sum, squares]| {
                let mean = sum / count;
                (mean, (squares / count - mean * mean).max(0.0))
            });
            moments.unzip()
        }
    };
    if let BatchNormStatistics::Update { mean: running, variance: spread, momentum } = statistics
        && n > 0
    {
        let follow = |running: &Var, of_batch: &[f64], factor: f64| -> Result<()> {
            let values = wide(running)?;
            let moved = values
                .iter()
                .zip(of_batch)
                .map(|(old, new)| ((1.0 - momentum) * old + momentum * factor * new) as f32);
            running.set(&Tensor::from_vec(moved.collect(), channels, running.device())?)
        };
        follow(running, &mean, 1.0)?;
        follow(spread, &variance, count / (count - 1.0))?;
    }
    let inverse = variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
    let count = match statistics {
        BatchNormStatistics::Fixed { .. } => None,
        _ => Some(count.max(1.0)),
    };
    x.apply_op3(weight, bias, BatchNorm { planes, mean, inverse, count })
}

/// Normalises by operations of candle, for devices other than the CPU.
fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    statistics: BatchNormStatistics<'_>,
    epsilon: f64,
) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let count = (n * h * w) as f64;
    let planes = |tensor: &Tensor| tensor.reshape((1, c, 1, 1));
    let (centred, variance) = match statistics {
        _ if n == 0 => return x.broadcast_mul(&planes(weight)?)?.broadcast_add(&planes(bias)?),
        BatchNormStatistics::Fixed { mean, variance } => {
            (x.broadcast_sub(&planes(&mean.detach())?)?, planes(&variance.detach())?)
        }
        BatchNormStatistics::Batch | BatchNormStatistics::Update { .. } => {
            let mean = x.mean_keepdim((0, 2, 3))?;
            let centred = x.broadcast_sub(&mean)?;
            let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
            if let BatchNormStatistics::Update { mean: running, variance: spread, momentum } =
                statistics
            {
                let follow = |running: &Var, of_batch: &Tensor, factor: f64| {
                    let of_batch = (of_batch.detach().flatten_all()? * (momentum * factor))?;
                    running.set(&((running.as_detached_tensor() * (1.0 - momentum))? + of_batch)?)
                };
                follow(running, &mean, 1.0)?;
                follow(spread, &variance, count / (count - 1.0))?;
            }
            (centred, variance)
        }
    };
    let normalised = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    normalised.broadcast_mul(&planes(weight)?)?.broadcast_add(&planes(bias)?)
}

/// Node of candle's graph for `x`, weight and bias.
struct BatchNorm {
    planes: Planes,
    mean: Vec<f64>,
    /// `1 / sqrt(variance + epsilon)`
    inverse: Vec<f64>,
    /// Values of a channel, if the statistics are the batch's and depend on them.
    count: Option<f64>,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (slice(OP, weight, weight_layout)?, slice(OP, bias, bias_layout)?);
        let numbers: Vec<[f32; 3]> = (0..self.planes.channels)
            .map(|c| {
                // The mean rounded to single precision, and its rounding error.
                let (from, factor) = (self.mean[c] as f32, f64::from(weight[c]) * self.inverse[c]);
                let rest = (f64::from(from) - self.mean[c]) * factor;
                [from, factor as f32, (f64::from(bias[c]) + rest) as f32]
            })
            .collect();
        let y = scale(self.planes, Isa::best(), slice(OP, x, layout)?, &numbers);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        first_order(OP)?;
        let (isa, dy) = (Isa::best(), dy.contiguous()?);
        let alone = self.count.is_none() && !weight.track_op() && !bias.track_op();
        let sums = match alone {
            true => vec![[0.0; 2]; self.planes.channels],
            false => with(OP, x, |x| {
                with(OP, &dy, |dy| Ok(products(self.planes, isa, x, dy, &self.mean)))
            })?,
        };
        let per_channel = |values: Vec<f32>| Tensor::from_vec(values, weight.shape(), x.device());
        let dweight = sums.iter().zip(&self.inverse).map(|([_, sum], inverse)| sum * inverse);
        let dweight = dweight.map(|value| value as f32).collect();
        let dbias = sums.iter().map(|[sum, _]| *sum as f32).collect();
        let dx = if x.track_op() { Some(self.toward_x(isa, x, weight, &dy, &sums)?) } else { None };
        let dweight = if weight.track_op() { Some(per_channel(dweight)?) } else { None };
        let dbias = if bias.track_op() { Some(per_channel(dbias)?) } else { None };
        Ok((dx, dweight, dbias))
    }
}

impl BatchNorm {
    /// `weight inverse (dy - Σ dy / n - (x - mean) inverse² Σ dy (x - mean) / n)`; without the sums if the
    /// statistics do not depend on `x`.
    fn toward_x(
        &self,
        isa: Isa,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        sums: &[[f64; 2]],
    ) -> Result<Tensor> {
        let factors: Vec<f64> = with(OP, weight, |weight| {
            let pairs = weight.iter().zip(&self.inverse);
            Ok(pairs.map(|(weight, inverse)| f64::from(*weight) * inverse).collect())
        })?;
        let dx = with(OP, dy, |dy| {
            let Some(count) = self.count else {
                let numbers: Vec<_> = factors.iter().map(|f| [0.0, *f as f32, 0.0]).collect();
                return Ok(scale(self.planes, isa, dy, &numbers));
            };
            let numbers: Vec<[f32; 4]> = (0..self.planes.channels)
                .map(|c| {
                    let ([sum, product], factor, mean) = (sums[c], factors[c], self.mean[c]);
                    let of_x = -factor * self.inverse[c] * self.inverse[c] * product / count;
                    let from = mean as f32;
                    let more = (f64::from(from) - mean) * of_x - factor * sum / count;
                    [factor as f32, from, of_x as f32, more as f32]
                })
                .collect();
            with(OP, x, |x| Ok(combine(self.planes, isa, x, dy, &numbers)))
        })?;
        Tensor::from_vec(dx, x.shape(), x.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The form for GPUs gives the kernel's values, gradients and running statistics.
    #[test]
    fn the_composed_form_is_the_kernel() -> Result<()> {
        let var = |shape: &[usize], salt: usize| {
            let len = shape.iter().product::<usize>();
            let values = (0..len).map(|i| (i * 7919 + salt) as f32 % 101.0 / 50.0 + 0.1).collect();
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        let (x, weight, bias) = (var(&[3, 4, 5, 2], 1)?, var(&[4], 2)?, var(&[4], 3)?);
        let near = |a: &Tensor, b: &Tensor| -> Result<()> {
            let far = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let size = b.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(far <= 2e-5 * size, "{far} of {size}");
            Ok(())
        };
        let mut runs = Vec::new();
        for form in [on_cpu, composed] {
            let (mean, variance) = (var(&[4], 4)?, var(&[4], 5)?);
            let mut results = Vec::new();
            let update =
                BatchNormStatistics::Update { mean: &mean, variance: &variance, momentum: 0.3 };
            let fixed = BatchNormStatistics::Fixed { mean: &mean, variance: &variance };
            for statistics in [update, fixed, BatchNormStatistics::Batch] {
                let y = form(&x, &weight, &bias, statistics, 1e-3)?;
                // Gradients that differ from place to place.
                let gradients = (&y * (&y + x.cos()?)?)?.sum_all()?.backward()?;
                results.push(y);
                for var in [&x, &weight, &bias] {
                    results.push(gradients.get(var).expect("a gradient").clone());
                }
            }
            results.extend([mean.as_detached_tensor(), variance.as_detached_tensor()]);
            runs.push(results);
        }
        let [kernel, composed] = &runs[..] else { unreachable!("two forms") };
        kernel.iter().zip(composed).try_for_each(|(a, b)| near(a, b))
    }
}
