//! Convolutions as plain loops.

use std::ffi::{c_int, c_void};

use super::{
    ALLOW_CONVERSION, BFLOAT16, Description, FAILS, FLOAT, FMA_MATH, GOOD, Handle, NOT_SUPPORTED,
    OK, Pointer, one_and_zero, stream_of, workspace,
};
use crate::counts::{self, count};
use crate::device::{Device, Stream, device, fail};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    Data,
    Weight,
}

/// Descriptions of `x`, `w`, `y` and the convolution.
#[derive(Clone, Copy)]
struct Conv {
    x: Description,
    w: Description,
    y: Description,
    conv: Description,
}

impl Conv {
    unsafe fn new(x: Pointer, w: Pointer, y: Pointer, conv: Pointer) -> Self {
        let new = unsafe { Self { x: *x, w: *w, y: *y, conv: *conv } };
        let ([n, c, h, width], [o, group, kh, kw]) = (new.x.sizes, new.w.sizes);
        let out = |size, k, i: usize| {
            let extent = (k - 1) * new.conv.dilation[i] + 1;
            (size + 2 * new.conv.padding[i] - extent) / new.conv.stride[i] + 1
        };
        let wanted = [n, o, out(h, kh, 0), out(width, kw, 1)];
        if new.y.sizes != wanted || c != group * new.conv.groups || o % new.conv.groups != 0 {
            fail("convolution: descriptions that do not fit");
        }
        if [new.x.ty, new.y.ty] != [new.w.ty; 2] {
            fail("convolution: descriptions of two types");
        }
        new
    }

    /// Calls `f` with the indices of `x` and `y` where they begin to meet, and how many do, for each
    /// weight: `(weight, x, y, x step, count)` of a row.
    fn rows(&self, mut f: impl FnMut(usize, usize, usize, usize, usize)) {
        let ([n, c, h, w], [o, group, kh, kw]) = (self.x.sizes, self.w.sizes);
        let ([_, _, oh, ow], [ph, pw], [sh, sw]) =
            (self.y.sizes, self.conv.padding, self.conv.stride);
        let (outputs, [dh, dw]) = (o / self.conv.groups, self.conv.dilation);
        for image in 0..n {
            for output in 0..o {
                for input in 0..group {
                    let channel = output / outputs * group + input;
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let weight = ((output * group + input) * kh + ky) * kw + kx;
                            // Pixels from the first weight of the kernel to this one.
                            let (ky, kx) = (ky * dh, kx * dw);
                            // The first and the last that lie within the image.
                            let first = pw.saturating_sub(kx).div_ceil(sw);
                            let Some(last) = (w + pw).checked_sub(kx + 1) else { continue };
                            let end = (last / sw + 1).min(ow);
                            if first >= end {
                                continue;
                            }
                            for oy in 0..oh {
                                let Some(iy) = (oy * sh + ky).checked_sub(ph) else { continue };
                                if iy >= h {
                                    continue;
                                }
                                let x = ((image * c + channel) * h + iy) * w + first * sw + kx - pw;
                                let y = ((image * o + output) * oh + oy) * ow + first;
                                f(weight, x, y, sw, end - first);
                            }
                        }
                    }
                }
            }
        }
    }

    fn compute(&self, pass: Pass, a: &[f32], b: &[f32], out: &mut [f32]) {
        self.rows(|weight, x, y, step, count| match pass {
            Pass::Forward => {
                let factor = b[weight];
                for i in 0..count {
                    out[y + i] += factor * a[x + i * step];
                }
            }
            Pass::Data => {
                let factor = b[weight];
                for i in 0..count {
                    out[x + i * step] += factor * a[y + i];
                }
            }
            Pass::Weight => {
                out[weight] += (0..count).map(|i| a[x + i * step] * b[y + i]).sum::<f32>();
            }
        });
    }
}

/// Values as the tensor cores round them.
fn factors(device: &Device, at: usize, description: &Description, math: c_int) -> Vec<f32> {
    const WHAT: &str = "convolution";
    let len = description.sizes.iter().product();
    if description.ty == BFLOAT16 {
        let bits: Vec<u16> = device.values(WHAT, at, len);
        return bits.iter().map(|&bits| f32::from_bits(u32::from(bits) << 16)).collect();
    }
    let mut values: Vec<f32> = device.values(WHAT, at, len);
    if math != FMA_MATH {
        // TF32 has 10 bits of mantissa.
        for value in &mut values {
            let bits = value.to_bits();
            *value = f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff);
        }
    }
    values
}

fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let nan = value.is_nan();
    (if nan { bits >> 16 | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }) as u16
}

fn launch(
    stream: Stream,
    conv: Conv,
    pass: Pass,
    algorithm: c_int,
    (a, b, out): (usize, usize, usize),
    (workspace_at, bytes): (usize, usize),
) -> c_int {
    match algorithm {
        FAILS => return NOT_SUPPORTED,
        GOOD => {}
        0 if pass == Pass::Forward => {}
        _ => fail("convolution: an algorithm that must not be taken"),
    }
    let math = conv.conv.math;
    if math == ALLOW_CONVERSION {
        fail("convolution: rounds to f16");
    }
    if bytes < workspace(algorithm, [&conv.x, &conv.w, &conv.y]) {
        fail("convolution: too little workspace");
    }
    count(&counts::LIBRARY);
    device().enqueue(stream, move |device| {
        // Overwrites the workspace, because its content is undefined after a call.
        device.set_values("workspace", workspace_at, &vec![0xffu8; bytes]);
        let (left, right, result) = match pass {
            Pass::Forward => (&conv.x, &conv.w, &conv.y),
            Pass::Data => (&conv.y, &conv.w, &conv.x),
            Pass::Weight => (&conv.x, &conv.y, &conv.w),
        };
        let (a, b) = (factors(device, a, left, math), factors(device, b, right, math));
        let mut values = vec![0f32; result.sizes.iter().product()];
        conv.compute(pass, &a, &b, &mut values);
        if result.ty == BFLOAT16 {
            let bits: Vec<u16> = values.iter().map(|&value| bf16(value)).collect();
            device.set_values("convolution", out, &bits);
        } else {
            device.set_values("convolution", out, &values);
        }
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnConvolutionForward(
    handle: Handle,
    alpha: *const c_void,
    x: Pointer,
    x_at: usize,
    w: Pointer,
    w_at: usize,
    conv: Pointer,
    algorithm: c_int,
    workspace: usize,
    bytes: usize,
    beta: *const c_void,
    y: Pointer,
    y_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let conv = unsafe { Conv::new(x, w, y, conv) };
    let memory = (x_at, w_at, y_at);
    launch(stream_of(handle), conv, Pass::Forward, algorithm, memory, (workspace, bytes))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnConvolutionBackwardData(
    handle: Handle,
    alpha: *const c_void,
    w: Pointer,
    w_at: usize,
    y: Pointer,
    y_at: usize,
    conv: Pointer,
    algorithm: c_int,
    workspace: usize,
    bytes: usize,
    beta: *const c_void,
    x: Pointer,
    x_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let conv = unsafe { Conv::new(x, w, y, conv) };
    let memory = (y_at, w_at, x_at);
    launch(stream_of(handle), conv, Pass::Data, algorithm, memory, (workspace, bytes))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnConvolutionBackwardFilter(
    handle: Handle,
    alpha: *const c_void,
    x: Pointer,
    x_at: usize,
    y: Pointer,
    y_at: usize,
    conv: Pointer,
    algorithm: c_int,
    workspace: usize,
    bytes: usize,
    beta: *const c_void,
    w: Pointer,
    w_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let conv = unsafe { Conv::new(x, w, y, conv) };
    let memory = (x_at, y_at, w_at);
    launch(stream_of(handle), conv, Pass::Weight, algorithm, memory, (workspace, bytes))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnConvolutionBackwardBias(
    handle: Handle,
    alpha: *const c_void,
    y: Pointer,
    y_at: usize,
    beta: *const c_void,
    bias: Pointer,
    bias_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let (y, bias) = unsafe { (*y, *bias) };
    let [n, c, h, w] = y.sizes;
    if bias.sizes != [1, c, 1, 1] || [y.ty, bias.ty] != [FLOAT; 2] {
        fail("gradient of a bias: descriptions that do not fit");
    }
    count(&counts::LIBRARY);
    device().enqueue(stream_of(handle), move |device| {
        let values: Vec<f32> = device.values("gradient of a bias", y_at, n * c * h * w);
        let mut sums = vec![0f32; c];
        for (i, plane) in values.chunks_exact(h * w).enumerate() {
            sums[i % c] += plane.iter().sum::<f32>();
        }
        device.set_values("gradient of a bias", bias_at, &sums);
    });
    OK
}
