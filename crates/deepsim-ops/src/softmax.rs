//! Softmax cross-entropy.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::glue::{first_order, input, like, slice, with};

/// Computes the mean of `-log softmax(logits)[label]` over the batch; finite for any finite logits.
///
/// # Shapes
/// `logits (N, K)`, `N` labels below `K` -> scalar
///
/// # Errors
/// If shapes or labels do not fit, or the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::softmax_cross_entropy;
/// let logits = Tensor::new(&[[0f32, 0.0], [1e4, -1e4]], &Device::Cpu)?;
/// let loss = softmax_cross_entropy(&logits, &[1, 0])?.to_scalar::<f32>()?;
/// assert!((loss - 0.5 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn softmax_cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let &[n, classes] = logits.dims() else {
        bail!("{OP}: expected logits (N, K), found {:?}", logits.dims());
    };
    if labels.len() != n || n == 0 {
        bail!("{OP}: expected a label for each of {n} samples, found {} labels", labels.len());
    }
    if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
        bail!("{OP}: expected labels below {classes}, found {label}");
    }
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        return crate::cuda::softmax_cross_entropy(logits, labels);
    }
    let op = SoftmaxCrossEntropy { labels: labels.to_vec(), softmax: OnceLock::new() };
    input(OP, "logits", logits)?.apply_op1(op)
}

const OP: &str = "softmax_cross_entropy";

struct SoftmaxCrossEntropy {
    labels: Vec<u32>,
    softmax: OnceLock<Vec<f64>>,
}

impl CustomOp1 for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (logits, classes) = (slice(OP, logits, layout)?, layout.dims()[1]);
        let (mut softmax, mut loss) = (Vec::with_capacity(logits.len()), 0.0);
        for (row, &label) in logits.chunks_exact(classes).zip(&self.labels) {
            let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let shifted = row.iter().map(|&v| f64::from(v) - max);
            let log_sum = shifted.clone().map(f64::exp).sum::<f64>().ln();
            loss += log_sum - (f64::from(row[label as usize]) - max);
            softmax.extend(shifted.map(|v| (v - log_sum).exp()));
        }
        self.softmax.get_or_init(|| softmax);
        let mean = (loss / self.labels.len() as f64) as f32;
        Ok((CpuStorage::F32(vec![mean]), ().into()))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        first_order(OP)?;
        let Some(softmax) = self.softmax.get() else { bail!("{OP}: backward before forward") };
        let classes = logits.dims()[1];
        let gradient = with(OP, &gradient.contiguous()?, |g| Ok(f64::from(g[0])))?;
        let factor = gradient / self.labels.len() as f64;
        let mut values: Vec<f32> = softmax.iter().map(|p| (p * factor) as f32).collect();
        for (row, &label) in self.labels.iter().enumerate() {
            let at = row * classes + label as usize;
            // p - 1 in double precision, because the small difference matters.
            values[at] = ((softmax[at] - 1.0) * factor) as f32;
        }
        Ok(Some(like(values, logits)?))
    }
}
