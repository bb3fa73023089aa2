//! Local response normalisation across channels of channels-last images.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::simd::{Isa, vectorised};
use crate::norm::LrnConfig;

/// Pixels of a unit of work.
const PIXELS: usize = 512;

/// `scale = k + alpha/size * Σ_window x²`, `y = x * scale^-beta`; returns `(y, scale)`.
pub(crate) fn forward(config: LrnConfig, isa: Isa, x: &[f32], channels: usize) -> (Buffer, Buffer) {
    let (mut y, mut scale) = (Buffer::new(x.len()), Buffer::new(x.len()));
    let unit = PIXELS * channels;
    let outputs = y.par_chunks_mut(unit).zip(scale.par_chunks_mut(unit));
    outputs.zip(x.par_chunks(unit)).for_each(|((y, scale), x)| {
        let mut window = Window::new(config.size, channels);
        normalise(isa, (config, channels), &mut window, x, scale, y);
    });
    (y, scale)
}

/// `dx = dy * scale^-beta - 2 alpha beta / size * x * Σ_window dy * y / scale`
pub(crate) fn backward(
    config: LrnConfig,
    isa: Isa,
    x: &[f32],
    scale: &[f32],
    dy: &[f32],
    channels: usize,
) -> Buffer {
    let mut dx = Buffer::new(x.len());
    let unit = PIXELS * channels;
    let inputs = x.par_chunks(unit).zip(scale.par_chunks(unit)).zip(dy.par_chunks(unit));
    dx.par_chunks_mut(unit).zip(inputs).for_each(|(dx, ((x, scale), dy))| {
        let mut window = Window::new(config.size, channels);
        gradient(isa, (config, channels), &mut window, (x, scale, dy), dx);
    });
    dx
}

vectorised! {
    fn normalise(
        numbers: (LrnConfig, usize),
        window: &mut Window,
        x: &[f32],
        scale: &mut [f32],
        y: &mut [f32],
    ) {
        let (config, channels) = numbers;
        let factor = config.alpha / config.size as f32;
        let pixels = y.chunks_exact_mut(channels).zip(scale.chunks_exact_mut(channels));
        for ((y, scale), x) in pixels.zip(x.chunks_exact(channels)) {
            for (square, x) in window.values().iter_mut().zip(x) {
                *square = factor * x * x;
            }
            window.sum(config.k, scale);
            power(scale, config.beta, y);
            for (y, x) in y.iter_mut().zip(x) {
                *y *= x;
            }
        }
    }

    fn gradient(
        numbers: (LrnConfig, usize),
        window: &mut Window,
        inputs: (&[f32], &[f32], &[f32]),
        dx: &mut [f32],
    ) {
        let (config, channels) = numbers;
        let factor = 2.0 * config.alpha * config.beta / config.size as f32;
        let mut sum = vec![0f32; channels];
        for (pixel, dx) in dx.chunks_exact_mut(channels).enumerate() {
            let at = pixel * channels..(pixel + 1) * channels;
            let (x, scale) = (&inputs.0[at.clone()], &inputs.1[at.clone()]);
            power(scale, config.beta, dx);
            // dy * scale^-beta, and with x / scale the share of every channel.
            for (dx, dy) in dx.iter_mut().zip(&inputs.2[at]) {
                *dx *= dy;
            }
            let share = window.values().iter_mut();
            for (share, ((dx, x), scale)) in share.zip(dx.iter().zip(x).zip(scale)) {
                *share = dx * x / scale;
            }
            window.sum(0.0, &mut sum);
            for (dx, (x, sum)) in dx.iter_mut().zip(x.iter().zip(&sum)) {
                *dx -= factor * x * sum;
            }
        }
    }
}

/// Values of all channels with zeros on both sides, for sums over windows.
struct Window {
    padded: Vec<f32>,
    size: usize,
}

impl Window {
    fn new(size: usize, channels: usize) -> Self {
        // A window wider than all channels covers all of them.
        let size = size.min(2 * channels + 1);
        Self { padded: vec![0.0; channels + size - 1], size }
    }

    #[inline(always)]
    fn values(&mut self) -> &mut [f32] {
        let (half, len) = (self.size / 2, self.padded.len());
        &mut self.padded[half..len - half]
    }

    #[inline(always)]
    fn sum(&self, start: f32, sums: &mut [f32]) {
        sums.fill(start);
        for shift in 0..self.size {
            for (sum, value) in sums.iter_mut().zip(&self.padded[shift..]) {
                *sum += value;
            }
        }
    }
}

/// `s^-beta`; two square roots are much faster than a power for the usual beta of 0.75.
#[inline(always)]
fn power(scale: &[f32], beta: f32, to: &mut [f32]) {
    if beta == 0.75 {
        for (to, s) in to.iter_mut().zip(scale) {
            let root = s.sqrt();
            *to = 1.0 / (root * root.sqrt());
        }
    } else {
        for (to, s) in to.iter_mut().zip(scale) {
            *to = s.powf(-beta);
        }
    }
}
