//! Pooling of channels-last images.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::simd::{Isa, vectorised};

/// Sizes of one pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolShape {
    pub(crate) channels: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
}

impl PoolShape {
    fn input(&self) -> usize {
        self.channels * self.h * self.w
    }

    fn output(&self) -> usize {
        self.channels * self.oh * self.ow
    }

    /// Output pixels, each with the pixels of its window that lie in the image.
    fn windows(&self) -> impl Iterator<Item = (usize, Vec<usize>)> + use<'_> {
        let rows = move |oy| span(oy, self.stride.0, self.padding.0, self.kernel.0, self.h);
        let columns = move |ox| span(ox, self.stride.1, self.padding.1, self.kernel.1, self.w);
        (0..self.oh).flat_map(move |oy| {
            (0..self.ow).map(move |ox| {
                let pixels = rows(oy).flat_map(|y| columns(ox).map(move |x| y * self.w + x));
                (oy * self.ow + ox, pixels.collect())
            })
        })
    }
}

/// Maxima, and the pixel of its image that each came from; the first of equal values wins.
pub(crate) fn max_forward(s: &PoolShape, isa: Isa, x: &[f32]) -> (Buffer, Vec<u32>) {
    let images = x.len() / s.input();
    let (mut y, mut from) = (Buffer::new(images * s.output()), vec![0u32; images * s.output()]);
    let windows: Vec<_> = s.windows().collect();
    let outputs = y.par_chunks_mut(s.output()).zip(from.par_chunks_mut(s.output()));
    outputs.zip(x.par_chunks(s.input())).for_each(|((y, from), x)| {
        max_of_windows(isa, s.channels, &windows, x, y, from);
    });
    (y, from)
}

/// Sends every gradient to where the maximum came from.
pub(crate) fn max_backward(s: &PoolShape, isa: Isa, from: &[u32], dy: &[f32]) -> Buffer {
    let mut dx = Buffer::new(dy.len() / s.output() * s.input());
    let windows: Vec<_> = s.windows().collect();
    let inputs = dy.par_chunks(s.output()).zip(from.par_chunks(s.output()));
    dx.par_chunks_mut(s.input()).zip(inputs).for_each(|(dx, (dy, from))| {
        dx.fill(0.0);
        send_back(isa, s.channels, &windows, dy, from, dx);
    });
    dx
}

vectorised! {
    fn max_of_windows(
        c: usize,
        windows: &[(usize, Vec<usize>)],
        x: &[f32],
        y: &mut [f32],
        from: &mut [u32],
    ) {
        for (output, window) in windows {
            let (y, from) = (&mut y[output * c..][..c], &mut from[output * c..][..c]);
            // Never empty for a valid shape.
            y.copy_from_slice(&x[window[0] * c..][..c]);
            from.fill(window[0] as u32);
            for &pixel in &window[1..] {
                let values = &x[pixel * c..][..c];
                for ((best, from), &value) in y.iter_mut().zip(from.iter_mut()).zip(values) {
                    // A NaN must not vanish, because the check of the loss must find it.
                    let better = (value > *best) | value.is_nan();
                    *best = if better { value } else { *best };
                    *from = if better { pixel as u32 } else { *from };
                }
            }
        }
    }

    fn send_back(
        c: usize,
        windows: &[(usize, Vec<usize>)],
        dy: &[f32],
        from: &[u32],
        dx: &mut [f32],
    ) {
        for (output, window) in windows {
            let (dy, from) = (&dy[output * c..][..c], &from[output * c..][..c]);
            for &pixel in window {
                let dx = &mut dx[pixel * c..][..c];
                for ((dx, dy), from) in dx.iter_mut().zip(dy).zip(from) {
                    *dx += if *from == pixel as u32 { *dy } else { 0.0 };
                }
            }
        }
    }
}

/// Means of `plane` pixels.
pub(crate) fn mean_forward(x: &[f32], channels: usize, plane: usize) -> Buffer {
    let mut y = Buffer::new(x.len() / plane);
    y.par_chunks_mut(channels).zip(x.par_chunks(channels * plane)).for_each(|(y, x)| {
        let mut sums = vec![0f64; channels];
        for pixel in x.chunks_exact(channels) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(*value);
            }
        }
        for (y, sum) in y.iter_mut().zip(&sums) {
            *y = (sum / plane as f64) as f32;
        }
    });
    y
}

/// The gradient of [`mean_forward`].
pub(crate) fn mean_backward(dy: &[f32], channels: usize, plane: usize) -> Buffer {
    let mut dx = Buffer::new(dy.len() * plane);
    dx.par_chunks_mut(channels * plane).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        for pixel in dx.chunks_exact_mut(channels) {
            for (dx, dy) in pixel.iter_mut().zip(dy) {
                *dx = dy / plane as f32;
            }
        }
    });
    dx
}

/// The part of a window that lies in the image; never empty for a valid shape.
fn span(
    o: usize,
    stride: usize,
    padding: usize,
    kernel: usize,
    size: usize,
) -> std::ops::Range<usize> {
    (o * stride).saturating_sub(padding)..(o * stride + kernel - padding).min(size)
}
