//! Running a sequence on a CUDA device: one operation after the other, since launches overlap there
//! and cuDNN chooses its own layouts.

use candle_core::{Result, Tensor};

use super::{Kind, Layer};
use crate::cuda;
use crate::glue::input;

/// Applies planned layers; parameters by number.
///
/// # Errors
/// If cuDNN or the driver fails.
pub(super) fn run(
    op: &'static str,
    x: Tensor,
    layers: &[Layer],
    parameters: &[Tensor],
) -> Result<Tensor> {
    layers.iter().try_fold(x, |x, layer| match &layer.kind {
        Kind::Conv { shape, transposed, weight, bias, slope } => {
            let weight = input(op, "weight", &parameters[*weight])?;
            let bias = bias.map(|bias| input(op, "bias", &parameters[bias])).transpose()?;
            cuda::conv(&x, &weight, bias.as_ref(), shape, *transposed, *slope)
        }
        Kind::LeakyRelu(slope) => cuda::leaky_relu(op, &x, *slope),
        Kind::MaxPool(s) => cuda::max_pool(&x, s.kernel, s.stride, s.padding, (s.oh, s.ow)),
        Kind::Lrn(config) => cuda::lrn(&x, *config),
        Kind::Mean => cuda::global_avg_pool(&x),
    })
}
