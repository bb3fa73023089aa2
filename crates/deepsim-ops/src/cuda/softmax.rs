//! Softmax cross-entropy, in double precision.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, PushKernelArg};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::distance::sum_blocks;
use super::glue::{alloc, count, done, input, tensor, view, with};
use super::kernels::{Kernel, blocks, threads};
use crate::glue::first_order;

/// Mean of `-log softmax(logits)[label]` over the batch. The caller has checked that there is a
/// label below `K` for each row of `logits (N, K)`.
pub(crate) fn softmax_cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    let fit = labels.iter().all(|&label| (label as usize) < classes);
    if labels.len() != rows || rows == 0 || !fit {
        bail!("{OP}: expected {rows} labels below {classes}, found {} labels", labels.len());
    }
    let op = SoftmaxCrossEntropy { labels: labels.to_vec(), kept: OnceLock::new() };
    input(OP, "logits", logits)?.apply_op1(op)
}

const OP: &str = "softmax_cross_entropy";

struct SoftmaxCrossEntropy {
    labels: Vec<u32>,
    /// The labels, and for each row the logarithm of its sum of exponentials.
    kept: OnceLock<(CudaSlice<u32>, CudaSlice<f64>)>,
}

impl CustomOp1 for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: expected a CUDA tensor")
    }

    fn cuda_fwd(&self, logits: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, logits) = (&logits.device, view(OP, logits, layout)?);
        let (rows, classes) = layout.shape().dims2()?;
        count(OP, logits.len())?;
        let (row_count, classes) = (count(OP, rows)?, count(OP, classes)?);
        let labels = done(OP, "copy of the labels", device.clone_htod(&self.labels))?;
        let (mut log_sum, mut loss) = (alloc(OP, device, rows)?, alloc(OP, device, rows)?);
        let kernel = Kernel::get(OP, device, "softmax_rows")?;
        let mut arguments = kernel.arguments();
        arguments.arg(&logits).arg(&labels).arg(&mut log_sum).arg(&mut loss).arg(&classes);
        // SAFETY: these are the parameters of `softmax_rows`; each block reads `classes` logits and
        // a label below `classes`, and writes one value of `log_sum` and of `loss`.
        done(OP, "softmax_rows", unsafe { arguments.launch(blocks(row_count)) })?;
        // The op belongs to one application, so nothing can have been kept before.
        self.kept.get_or_init(|| (labels, log_sum));
        Ok((sum_blocks(OP, device, &loss, 1.0 / rows as f64)?, ().into()))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        first_order(OP)?;
        let Some((labels, log_sum)) = self.kept.get() else {
            bail!("{OP}: backward before forward")
        };
        let (rows, classes) = logits.dims2()?;
        let (rows, classes) = (rows as f64, count(OP, classes)?);
        with(OP, &gradient.contiguous()?, |device, gradient| {
            with(OP, logits, |_, values| {
                let n = count(OP, values.len())?;
                let mut out = alloc(OP, device, values.len())?;
                let kernel = Kernel::get(OP, device, "softmax_gradient")?;
                let mut arguments = kernel.arguments();
                arguments.arg(values).arg(labels).arg(log_sum).arg(gradient).arg(&mut out);
                arguments.arg(&rows).arg(&classes).arg(&n);
                // SAFETY: these are the parameters of `softmax_gradient`; `values` and `out` have
                // `n` values, `labels` and `log_sum` one for each row, the gradient is a scalar's.
                done(OP, "softmax_gradient", unsafe { arguments.launch(threads(n)) })?;
                Ok(Some(tensor(out, device, logits.shape())))
            })
        })
    }
}
