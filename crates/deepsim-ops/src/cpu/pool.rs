//! Pooling over planes `(n * c, h, w)`.

use rayon::prelude::*;

/// Sizes of one pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolShape {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
}

/// Maxima, and where in its plane each came from; the first of equal values wins.
pub(crate) fn max_forward(s: &PoolShape, x: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let (plane_in, plane_out) = (s.h * s.w, s.oh * s.ow);
    let planes = x.len() / plane_in;
    let (mut y, mut from) = (vec![0f32; planes * plane_out], vec![0u32; planes * plane_out]);
    let outputs = y.par_chunks_mut(plane_out).zip(from.par_chunks_mut(plane_out));
    outputs.zip(x.par_chunks(plane_in)).for_each(|((y, from), x)| {
        for oy in 0..s.oh {
            let rows = span(oy, s.stride.0, s.padding.0, s.kernel.0, s.h);
            for ox in 0..s.ow {
                let columns = span(ox, s.stride.1, s.padding.1, s.kernel.1, s.w);
                let (mut best, mut at) = (f32::NEG_INFINITY, rows.start * s.w + columns.start);
                for iy in rows.clone() {
                    for ix in columns.clone() {
                        let value = x[iy * s.w + ix];
                        // A NaN must not vanish: the loss check is to see it.
                        if value > best || value.is_nan() {
                            (best, at) = (value, iy * s.w + ix);
                        }
                    }
                }
                y[oy * s.ow + ox] = best;
                from[oy * s.ow + ox] = at as u32;
            }
        }
    });
    (y, from)
}

/// Sends every gradient to where the maximum came from.
pub(crate) fn max_backward(s: &PoolShape, from: &[u32], dy: &[f32]) -> Vec<f32> {
    let (plane_in, plane_out) = (s.h * s.w, s.oh * s.ow);
    let mut dx = vec![0f32; dy.len() / plane_out * plane_in];
    let inputs = dy.par_chunks(plane_out).zip(from.par_chunks(plane_out));
    dx.par_chunks_mut(plane_in).zip(inputs).for_each(|(dx, (dy, from))| {
        for (dy, from) in dy.iter().zip(from) {
            dx[*from as usize] += dy;
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
