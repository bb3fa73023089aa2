//! Patches of an image as columns of a matrix, and back.

use super::conv::ConvShape;

/// Rows `(channel, ky, kx)`, columns `(image, oy, ox)` for output rows `oy` in `rows`.
///
/// `x` holds `images` images of `shape.c_in` channels; only the channels of `group` are read.
pub(crate) fn im2col(
    s: &ConvShape,
    x: &[f32],
    images: usize,
    group: usize,
    rows: std::ops::Range<usize>,
    col: &mut [f32],
) {
    let columns = images * rows.len() * s.ow;
    let mut lines = col.chunks_exact_mut(columns);
    for channel in group * s.group_in()..(group + 1) * s.group_in() {
        for ky in 0..s.kh {
            for kx in 0..s.kw {
                let Some(line) = lines.next() else { return };
                let (from, to) = s.valid_columns(kx);
                let mut parts = line.chunks_exact_mut(s.ow);
                for image in 0..images {
                    let plane = &x[(image * s.c_in + channel) * s.h * s.w..][..s.h * s.w];
                    for oy in rows.clone() {
                        let Some(part) = parts.next() else { return };
                        match s.input_row(oy, ky) {
                            Some(iy) if from < to => {
                                part[..from].fill(0.0);
                                part[to..].fill(0.0);
                                let start = iy * s.w + from * s.sw + kx - s.pw;
                                copy(&mut part[from..to], &plane[start..], s.sw);
                            }
                            _ => part.fill(0.0),
                        }
                    }
                }
            }
        }
    }
}

fn copy(target: &mut [f32], source: &[f32], stride: usize) {
    if stride == 1 {
        for (t, s) in target.iter_mut().zip(source) {
            *t = *s;
        }
    } else {
        for (t, s) in target.iter_mut().zip(source.iter().step_by(stride)) {
            *t = *s;
        }
    }
}

/// The adjoint of [`im2col`]: adds every column back to the patch it came from.
pub(crate) fn col2im(
    s: &ConvShape,
    col: &[f32],
    images: usize,
    group: usize,
    rows: std::ops::Range<usize>,
    x: &mut [f32],
) {
    let columns = images * rows.len() * s.ow;
    let mut lines = col.chunks_exact(columns);
    for channel in group * s.group_in()..(group + 1) * s.group_in() {
        for ky in 0..s.kh {
            for kx in 0..s.kw {
                let Some(line) = lines.next() else { return };
                let (from, to) = s.valid_columns(kx);
                if from >= to {
                    continue;
                }
                let mut parts = line.chunks_exact(s.ow);
                for image in 0..images {
                    let plane = &mut x[(image * s.c_in + channel) * s.h * s.w..][..s.h * s.w];
                    for oy in rows.clone() {
                        let Some(part) = parts.next() else { return };
                        if let Some(iy) = s.input_row(oy, ky) {
                            let start = iy * s.w + from * s.sw + kx - s.pw;
                            add(&mut plane[start..], &part[from..to], s.sw);
                        }
                    }
                }
            }
        }
    }
}

fn add(target: &mut [f32], source: &[f32], stride: usize) {
    if stride == 1 {
        for (t, s) in target.iter_mut().zip(source) {
            *t += *s;
        }
    } else {
        for (t, s) in target.iter_mut().step_by(stride).zip(source) {
            *t += *s;
        }
    }
}
