//! Local response normalisation across channels of `(n, c, plane)`.

use rayon::prelude::*;

use crate::norm::LrnConfig;

/// `scale = k + alpha/size * Σ_window x²`, `y = x * scale^-beta`; returns `(y, scale)`.
pub(crate) fn forward(
    config: LrnConfig,
    x: &[f32],
    channels: usize,
    plane: usize,
) -> (Vec<f32>, Vec<f32>) {
    let image = channels * plane;
    let (mut y, mut scale) = (vec![0f32; x.len()], vec![0f32; x.len()]);
    y.par_chunks_mut(image).zip(scale.par_chunks_mut(image)).zip(x.par_chunks(image)).for_each(
        |((y, scale), x)| {
            let factor = config.alpha / config.size as f32;
            for c in 0..channels {
                let at = c * plane..(c + 1) * plane;
                let scale = &mut scale[at.clone()];
                scale.fill(config.k);
                for neighbour in window(config.size, c, channels) {
                    for (s, x) in scale.iter_mut().zip(&x[neighbour * plane..][..plane]) {
                        *s += factor * x * x;
                    }
                }
                for ((y, x), s) in y[at.clone()].iter_mut().zip(&x[at]).zip(scale.iter()) {
                    *y = x * power(*s, config.beta);
                }
            }
        },
    );
    (y, scale)
}

/// `dx = dy * scale^-beta - 2 alpha beta / size * x * Σ_window dy * y / scale`
pub(crate) fn backward(
    config: LrnConfig,
    x: &[f32],
    scale: &[f32],
    dy: &[f32],
    channels: usize,
    plane: usize,
) -> Vec<f32> {
    let image = channels * plane;
    let mut dx = vec![0f32; x.len()];
    let inputs = x.par_chunks(image).zip(scale.par_chunks(image)).zip(dy.par_chunks(image));
    dx.par_chunks_mut(image).zip(inputs).for_each(|(dx, ((x, scale), dy))| {
        // dy * y / scale of every channel, needed by its neighbours.
        let mut share = vec![0f32; image];
        for (i, share) in share.iter_mut().enumerate() {
            *share = dy[i] * x[i] * power(scale[i], config.beta) / scale[i];
        }
        let factor = 2.0 * config.alpha * config.beta / config.size as f32;
        let mut sum = vec![0f32; plane];
        for c in 0..channels {
            sum.fill(0.0);
            for neighbour in window(config.size, c, channels) {
                for (s, v) in sum.iter_mut().zip(&share[neighbour * plane..][..plane]) {
                    *s += v;
                }
            }
            for (p, sum) in sum.iter().enumerate() {
                let i = c * plane + p;
                dx[i] = dy[i] * power(scale[i], config.beta) - factor * x[i] * sum;
            }
        }
    });
    dx
}

fn window(size: usize, c: usize, channels: usize) -> std::ops::Range<usize> {
    c.saturating_sub(size / 2)..(c + size - size / 2).min(channels)
}

/// `s^-beta`; two square roots are much faster than a power for the usual beta of 0.75.
#[inline]
fn power(s: f32, beta: f32) -> f32 {
    if beta == 0.75 {
        let root = s.sqrt();
        1.0 / (root * root.sqrt())
    } else {
        s.powf(-beta)
    }
}
