//! The operations as plain loops in double precision, written from their definitions.

use deepsim_ops::{AvgPool2dConfig, Conv2dConfig, LrnConfig, Pool2dConfig, Upsampling};

/// Sizes `(N, C, H, W)`, or `(O, C/groups, kh, kw)` of a weight.
pub(crate) type Four = [usize; 4];

fn each(ranges: Four, mut f: impl FnMut(usize, usize, usize, usize)) {
    for a in 0..ranges[0] {
        for b in 0..ranges[1] {
            for c in 0..ranges[2] {
                for d in 0..ranges[3] {
                    f(a, b, c, d);
                }
            }
        }
    }
}

fn at(sizes: Four, a: usize, b: usize, c: usize, d: usize) -> usize {
    ((a * sizes[1] + b) * sizes[2] + c) * sizes[3] + d
}

pub(crate) fn leaky(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

fn finish(y: &mut [f64], sizes: Four, bias: Option<&[f64]>, slope: Option<f32>) {
    each(sizes, |n, c, i, j| {
        let value = &mut y[at(sizes, n, c, i, j)];
        *value = leaky(*value + bias.map_or(0.0, |bias| bias[c]), slope.map_or(1.0, f64::from));
    });
}

/// Sizes of the result of a convolution.
pub(crate) fn conv_sizes(x: Four, w: Four, config: Conv2dConfig) -> Four {
    let Conv2dConfig { stride, padding, dilation, .. } = config;
    let out = |size, kernel, stride, padding: usize, dilation| {
        (size + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1
    };
    let h = out(x[2], w[2], stride.0, padding.0, dilation.0);
    [x[0], w[0], h, out(x[3], w[3], stride.1, padding.1, dilation.1)]
}

/// `config.leaky` included.
pub(crate) fn conv2d(
    (x, xs): (&[f64], Four),
    (w, ws): (&[f64], Four),
    bias: Option<&[f64]>,
    config: Conv2dConfig,
) -> Vec<f64> {
    let ys = conv_sizes(xs, ws, config);
    let mut y = vec![0.0; ys.iter().product()];
    each(ys, |n, o, oy, ox| {
        let group = o / (ws[0] / config.groups);
        each([1, ws[1], ws[2], ws[3]], |_, c, ky, kx| {
            let iy = (oy * config.stride.0 + ky * config.dilation.0).checked_sub(config.padding.0);
            let ix = (ox * config.stride.1 + kx * config.dilation.1).checked_sub(config.padding.1);
            if let (Some(iy), Some(ix)) = (iy, ix)
                && iy < xs[2]
                && ix < xs[3]
            {
                let value = x[at(xs, n, group * ws[1] + c, iy, ix)];
                y[at(ys, n, o, oy, ox)] += value * w[at(ws, o, c, ky, kx)];
            }
        });
    });
    finish(&mut y, ys, bias, config.leaky);
    y
}

/// Sizes of the result of a transposed convolution; the weight is `(C, O/groups, kh, kw)`.
pub(crate) fn conv_transpose_sizes(x: Four, w: Four, config: Conv2dConfig) -> Four {
    let Conv2dConfig { stride, padding, dilation, output_padding: more, .. } = config;
    let out = |size, kernel, stride, padding, dilation, more| {
        (size - 1) * stride + (kernel - 1) * dilation + 1 + more - 2 * padding
    };
    let h = out(x[2], w[2], stride.0, padding.0, dilation.0, more.0);
    let w_ = out(x[3], w[3], stride.1, padding.1, dilation.1, more.1);
    [x[0], w[1] * config.groups, h, w_]
}

/// Every input pixel stamps the kernel on the output.
pub(crate) fn conv_transpose2d(
    (x, xs): (&[f64], Four),
    (w, ws): (&[f64], Four),
    bias: Option<&[f64]>,
    config: Conv2dConfig,
) -> Vec<f64> {
    let ys = conv_transpose_sizes(xs, ws, config);
    let mut y = vec![0.0; ys.iter().product()];
    each(xs, |n, c, iy, ix| {
        let group = c / (ws[0] / config.groups);
        each([1, ws[1], ws[2], ws[3]], |_, o, ky, kx| {
            let oy = (iy * config.stride.0 + ky * config.dilation.0).checked_sub(config.padding.0);
            let ox = (ix * config.stride.1 + kx * config.dilation.1).checked_sub(config.padding.1);
            if let (Some(oy), Some(ox)) = (oy, ox)
                && oy < ys[2]
                && ox < ys[3]
            {
                let value = x[at(xs, n, c, iy, ix)] * w[at(ws, c, o, ky, kx)];
                y[at(ys, n, group * ws[1] + o, oy, ox)] += value;
            }
        });
    });
    finish(&mut y, ys, bias, config.leaky);
    y
}

/// Windows along one axis, clipped to the image; counted as Caffe's `pooling_layer.cpp` does.
fn windows(
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil: bool,
) -> Vec<(usize, usize)> {
    let span = (size + 2 * padding - kernel) as f64 / stride as f64;
    let mut count = if ceil { span.ceil() } else { span.floor() } as usize + 1;
    if padding > 0 && (count - 1) * stride >= size + padding {
        count -= 1;
    }
    let clip = |o: usize| {
        let start = o as i64 * stride as i64 - padding as i64;
        (start.max(0) as usize, ((start + kernel as i64) as usize).min(size))
    };
    (0..count).map(clip).collect()
}

pub(crate) fn max_pool2d(x: &[f64], xs: Four, config: Pool2dConfig) -> Vec<f64> {
    let Pool2dConfig { kernel, stride, padding, ceil_mode } = config;
    let rows = windows(xs[2], kernel.0, stride.0, padding.0, ceil_mode);
    let columns = windows(xs[3], kernel.1, stride.1, padding.1, ceil_mode);
    let mut y = Vec::new();
    each([xs[0], xs[1], rows.len(), columns.len()], |n, c, oy, ox| {
        let mut best = f64::NEG_INFINITY;
        for iy in rows[oy].0..rows[oy].1 {
            for ix in columns[ox].0..columns[ox].1 {
                best = best.max(x[at(xs, n, c, iy, ix)]);
            }
        }
        y.push(best);
    });
    y
}

/// Written from Caffe's `pooling_layer.cpp`, and PyTorch's `count_include_pad`.
pub(crate) fn avg_pool2d(x: &[f64], xs: Four, config: AvgPool2dConfig) -> Vec<f64> {
    let Pool2dConfig { kernel, stride, padding, ceil_mode } = config.windows;
    let rows = windows(xs[2], kernel.0, stride.0, padding.0, ceil_mode);
    let columns = windows(xs[3], kernel.1, stride.1, padding.1, ceil_mode);
    let side = |o: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
        let start = (o * stride) as i64 - padding as i64;
        (start + kernel as i64).min((size + padding) as i64) - start
    };
    let mut y = Vec::new();
    each([xs[0], xs[1], rows.len(), columns.len()], |n, c, oy, ox| {
        let (mut sum, mut pixels) = (0.0, 0.0);
        for iy in rows[oy].0..rows[oy].1 {
            for ix in columns[ox].0..columns[ox].1 {
                sum += x[at(xs, n, c, iy, ix)];
                pixels += 1.0;
            }
        }
        let whole = side(oy, xs[2], kernel.0, stride.0, padding.0)
            * side(ox, xs[3], kernel.1, stride.1, padding.1);
        y.push(sum / if config.count_include_pad { whole as f64 } else { pixels });
    });
    y
}

/// Each pixel of the result by PyTorch's formulas.
pub(crate) fn upsample(
    x: &[f64],
    xs: Four,
    (height, width): (usize, usize),
    how: Upsampling,
) -> Vec<f64> {
    // The two nearest positions of the source, and how far the target is from the first one.
    let place = |i: usize, from: usize, to: usize| -> (usize, usize, f64) {
        let (from64, to64) = (from as f64, to as f64);
        let position = match how {
            Upsampling::Nearest => return (i * from / to, i * from / to, 0.0),
            Upsampling::Bilinear => ((i as f64 + 0.5) * from64 / to64 - 0.5).max(0.0),
            Upsampling::BilinearAligned if to == 1 => 0.0,
            Upsampling::BilinearAligned => i as f64 * (from64 - 1.0) / (to64 - 1.0),
        };
        // Rounding must not lead beyond the last pixel.
        let first = (position.floor() as usize).min(from - 1);
        (first, (first + 1).min(from - 1), position - first as f64)
    };
    let mut y = Vec::new();
    each([xs[0], xs[1], height, width], |n, c, oy, ox| {
        let (top, bottom, down) = place(oy, xs[2], height);
        let (left, right, across) = place(ox, xs[3], width);
        let value = |iy, ix| x[at(xs, n, c, iy, ix)];
        let row = |iy| value(iy, left) * (1.0 - across) + value(iy, right) * across;
        y.push(row(top) * (1.0 - down) + row(bottom) * down);
    });
    y
}

/// Normalises by the given statistics, or by those of the batch.
pub(crate) fn batch_norm2d(
    x: &[f64],
    xs: Four,
    (weight, bias): (&[f64], &[f64]),
    fixed: Option<(&[f64], &[f64])>,
    epsilon: f64,
) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for c in 0..xs[1] {
        let (mut sum, mut squares) = (0.0, 0.0);
        let count = (xs[0] * xs[2] * xs[3]) as f64;
        each([xs[0], 1, xs[2], xs[3]], |n, _, i, j| sum += x[at(xs, n, c, i, j)]);
        let mut mean = sum / count;
        each([xs[0], 1, xs[2], xs[3]], |n, _, i, j| {
            squares += (x[at(xs, n, c, i, j)] - mean).powi(2);
        });
        let mut variance = squares / count;
        if let Some((means, variances)) = fixed {
            (mean, variance) = (means[c], variances[c]);
        }
        each([xs[0], 1, xs[2], xs[3]], |n, _, i, j| {
            let index = at(xs, n, c, i, j);
            y[index] = (x[index] - mean) / (variance + epsilon).sqrt() * weight[c] + bias[c];
        });
    }
    y
}

pub(crate) fn global_avg_pool2d(x: &[f64], xs: Four) -> Vec<f64> {
    let plane = xs[2] * xs[3];
    x.chunks(plane).map(|x| x.iter().sum::<f64>() / plane as f64).collect()
}

pub(crate) fn local_response_norm(x: &[f64], xs: Four, config: LrnConfig) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    each(xs, |n, c, i, j| {
        let reach = config.size / 2;
        let window = c.saturating_sub(reach)..(c + reach + 1).min(xs[1]);
        let sum: f64 = window.map(|c| x[at(xs, n, c, i, j)].powi(2)).sum();
        let scale = f64::from(config.k) + f64::from(config.alpha) / config.size as f64 * sum;
        let index = at(xs, n, c, i, j);
        y[index] = x[index] / scale.powf(f64::from(config.beta));
    });
    y
}

pub(crate) fn linear(x: &[f64], w: &[f64], bias: Option<&[f64]>, inputs: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for x in x.chunks(inputs) {
        for (o, w) in w.chunks(inputs).enumerate() {
            let dot: f64 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            y.push(dot + bias.map_or(0.0, |bias| bias[o]));
        }
    }
    y
}

pub(crate) fn softmax_cross_entropy(logits: &[f64], labels: &[u32]) -> f64 {
    let classes = logits.len() / labels.len();
    let loss = |(row, &label): (&[f64], &u32)| {
        row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[label as usize]
    };
    logits.chunks(classes).zip(labels).map(loss).sum::<f64>() / labels.len() as f64
}
