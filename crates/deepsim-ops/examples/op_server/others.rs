//! Operations on images beside the convolutions, as requests name them.

use std::hint::black_box;

use candle_core::{Tensor, Var};
use deepsim_ops::{
    BatchNormStatistics, Conv2dConfig, Pool2dConfig, Upsampling, avg_pool2d, batch_norm2d, conv2d,
    relu6, upsample,
};

use super::filled;
use super::serve::Result;

/// An operation with its data. `result` carries the graph for a backward pass.
pub(super) struct Other {
    apply: Apply,
    backward: bool,
    /// The images, then what else has a gradient.
    inputs: Vec<Tensor>,
    result: Tensor,
}

type Apply = fn(&[Tensor]) -> candle_core::Result<Tensor>;

impl Other {
    /// Prepares an operation on images of sizes `N C H W`.
    pub(super) fn new(op: &str, pass: &str, sizes: [usize; 4]) -> Result<Self> {
        let [_, c, ..] = sizes;
        let (apply, others): (Apply, Vec<Vec<usize>>) = match op {
            "relu6" => (|t| relu6(&t[0]), vec![]),
            "avg_pool2d" => (|t| avg_pool2d(&t[0], padded()), vec![]),
            "upsample_nearest" => (|t| twice(&t[0], Upsampling::Nearest), vec![]),
            "upsample_bilinear" => (|t| twice(&t[0], Upsampling::Bilinear), vec![]),
            "batch_norm2d" => (by_batch, vec![vec![c], vec![c]]),
            "batch_norm2d_fixed" => (by_given, vec![vec![c], vec![c]]),
            "conv2d_dense" => (|t| same(t, 1), vec![vec![c, c, 3, 3]]),
            "conv2d_dilated" => (|t| same(t, 2), vec![vec![c, c, 3, 3]]),
            _ => return Err(format!("expected an operation, found `{op}`").into()),
        };
        let backward = match pass {
            "forward" => false,
            "backward" => true,
            _ => return Err(format!("expected forward or backward, found `{pass}`").into()),
        };
        let data = std::iter::once(sizes.to_vec()).chain(others).map(|sizes| filled(&sizes));
        let tracked = |tensor: Tensor| match backward {
            true => Var::from_tensor(&tensor).map(|var| var.as_tensor().clone()),
            false => Ok(tensor),
        };
        let inputs =
            data.map(|tensor| tracked(tensor?)).collect::<candle_core::Result<Vec<_>>>()?;
        let result = apply(&inputs)?;
        Ok(Self { apply, backward, inputs, result })
    }

    /// Runs the timed work: the forward pass, or all gradients, given a gradient of ones.
    pub(super) fn call(&self) -> Result<()> {
        if self.backward {
            black_box(self.result.backward()?);
        } else {
            black_box((self.apply)(&self.inputs)?);
        }
        Ok(())
    }
}

/// 3x3 windows at every second pixel.
fn padded() -> Pool2dConfig {
    Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new(3, 2) }
}

fn twice(x: &Tensor, how: Upsampling) -> candle_core::Result<Tensor> {
    upsample(x, (2 * x.dim(2)?, 2 * x.dim(3)?), how)
}

/// A 3x3 convolution that keeps the size.
fn same(t: &[Tensor], dilation: usize) -> candle_core::Result<Tensor> {
    conv2d(&t[0], &t[1], None, Conv2dConfig::new(1, dilation).with_dilation(dilation))
}

fn by_batch(t: &[Tensor]) -> candle_core::Result<Tensor> {
    batch_norm2d(&t[0], Some((&t[1], &t[2])), BatchNormStatistics::Batch, 1e-5)
}

fn by_given(t: &[Tensor]) -> candle_core::Result<Tensor> {
    let (mean, variance) = (t[1].zeros_like()?, t[1].ones_like()?);
    let statistics = BatchNormStatistics::Fixed { mean: &mean, variance: &variance };
    batch_norm2d(&t[0], Some((&t[1], &t[2])), statistics, 1e-5)
}
