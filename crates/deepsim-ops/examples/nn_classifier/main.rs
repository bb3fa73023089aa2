//! A classifier written for candle-nn (`candles.rs`), and the same with the layers and the optimiser of deepsim-ops
//! (`ported.rs`), which differs in two lines for the layers and one for the optimiser. Both are trained from the same
//! weights, a step in turn.
//! `CANDLE_NUM_THREADS=1 cargo run --release -p deepsim-ops --features nn --example nn_classifier`

use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{Init, VarMap};
use deepsim_ops::nn::init;

#[expect(clippy::disallowed_methods, reason = "candle's max-pooling is what is compared")]
mod candles;
mod ported;

/// Sizes of the network and of a batch, and the learning rate.
pub(crate) struct Size {
    pub(crate) images: usize,
    pub(crate) side: usize,
    pub(crate) channels: [usize; 3],
    pub(crate) hidden: usize,
    pub(crate) learning_rate: f64,
}

/// A step of each program.
pub(crate) struct Step {
    /// Candle's, and the ported one's.
    pub(crate) losses: [f32; 2],
    /// Likewise, of both passes and of the update.
    pub(crate) times: [[Duration; 2]; 2],
}

/// Noisy images of stripes, which are horizontal in those of class 0 and vertical in those of class 1.
fn stripes(size: &Size) -> Result<(Tensor, Tensor)> {
    let (plane, shape) = (size.side * size.side, (size.images, 3, size.side, size.side));
    let value = |at: usize| {
        let (image, y, x) = (at / (3 * plane), at / size.side % size.side, at % size.side);
        let along = if image.is_multiple_of(2) { y } else { x };
        if (along + image / 2) % 4 < 2 { 1f32 } else { -1.0 }
    };
    let values = (0..size.images * 3 * plane).map(value).collect();
    let noise = init::draw(Init::Randn { mean: 0.0, stdev: 1.0 }, &shape.into(), 1, "noise")?;
    let labels: Vec<u32> = (0..size.images as u32).map(|i| i % 2).collect();
    let images = (Tensor::from_vec(values, shape, &Device::Cpu)? + noise)?;
    Ok((images, Tensor::new(labels, &Device::Cpu)?))
}

/// Trains both programs, and fails where their losses part.
///
/// candle's gradient of max-pooling is a quarter of the true one for each pooling layer that it passes. AdamW
/// divides a factor out, except where it adds its epsilon: losses stay close, but do not stay equal.
pub(crate) fn compare(size: &Size, steps: usize) -> Result<Vec<Step>> {
    let (images, labels) = stripes(size)?;
    let weights = || {
        let vars = VarMap::new();
        let vb = init::var_builder(&vars, 7, DType::F32, &Device::Cpu);
        (vars, vb)
    };
    let (vars, vb) = weights();
    let mut candles = candles::Training::new(&vars, vb, size)?;
    let (vars, vb) = weights();
    let mut ported = ported::Training::new(&vars, vb, size)?;
    let mut done = Vec::new();
    for step in 0..steps {
        let (first, second) = (candles.step(&images, &labels)?, ported.step(&images, &labels)?);
        let losses = [first.0, second.0];
        // Tight for the first loss, which no gradient has touched; loose for the others.
        let tolerance = if step == 0 { 1e-5 } else { 0.02 };
        if (losses[0] - losses[1]).abs() > tolerance {
            bail!("step {step}: expected the loss of candle's program, {losses:?}");
        }
        done.push(Step { losses, times: [first.1, second.1] });
    }
    Ok(done)
}

#[expect(clippy::print_stdout, reason = "a program talks to its user")]
#[cfg_attr(test, allow(dead_code, reason = "a test includes this file for `compare`"))]
fn main() -> Result<()> {
    deepsim_ops::keep_freed_memory();
    let (channels, hidden) = ([32, 64, 128], 256);
    let size = Size { images: 32, side: 64, channels, hidden, learning_rate: 5e-5 };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("step: loss and ms of passes and update, candle | deepsim-ops");
    for (i, Step { losses, times: [candles, ported] }) in compare(&size, 6)?.iter().enumerate() {
        let row = |loss: f32, [passes, update]: [Duration; 2]| {
            format!("{loss:.4} {:7.1} {:6.2}", ms(passes), ms(update))
        };
        println!("{i}: {} | {}", row(losses[0], *candles), row(losses[1], *ported));
    }
    Ok(())
}
