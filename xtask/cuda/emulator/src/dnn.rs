//! cuDNN's functions that the convolutions and the local response normalisation call.
//!
//! The heuristic's first suggestions are ones that must not be taken: an algorithm that may give
//! other bits in another run, one that rounds to `f16`, one that wants 3 GiB, and one that fails.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::counts::{self, count};
use crate::device::{Device, Stream, device, fail, stream};

const OK: c_int = 0;
const NOT_SUPPORTED: c_int = 9;

/// `cudnnDataType_t`
const FLOAT: c_int = 0;
const BFLOAT16: c_int = 9;

/// `cudnnMathType_t`
const DEFAULT_MATH: c_int = 0;
const ALLOW_CONVERSION: c_int = 2;
const FMA_MATH: c_int = 3;

/// Everything that any of cuDNN's descriptors holds.
#[derive(Clone, Copy, Default)]
struct Description {
    ty: c_int,
    sizes: [usize; 4],
    padding: [usize; 2],
    stride: [usize; 2],
    groups: usize,
    math: c_int,
    /// Window, alpha, beta and k of a normalisation.
    normalisation: (usize, f64, f64, f64),
}

type Pointer = *mut Description;

/// The stream of a handle: its number is the address of a box.
type Handle = *const Mutex<usize>;

fn stream_of(handle: Handle) -> Stream {
    // SAFETY: made by `cudnnCreate`.
    stream(*unsafe { &*handle }.lock().unwrap_or_else(PoisonError::into_inner))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnCreate(out: *mut Handle) -> c_int {
    // SAFETY: the caller's pointer, as in all functions here.
    unsafe { *out = Box::into_raw(Box::new(Mutex::new(0))) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnDestroy(handle: Handle) -> c_int {
    drop(unsafe { Box::from_raw(handle.cast_mut()) });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetStream(handle: Handle, stream: usize) -> c_int {
    *unsafe { &*handle }.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    OK
}

/// Functions that make and destroy descriptors.
macro_rules! descriptors {
    ($($create:ident $destroy:ident;)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $create(out: *mut Pointer) -> c_int {
            unsafe { *out = Box::into_raw(Box::default()) };
            OK
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $destroy(description: Pointer) -> c_int {
            drop(unsafe { Box::from_raw(description) });
            OK
        })*
    };
}

descriptors! {
    cudnnCreateTensorDescriptor cudnnDestroyTensorDescriptor;
    cudnnCreateFilterDescriptor cudnnDestroyFilterDescriptor;
    cudnnCreateConvolutionDescriptor cudnnDestroyConvolutionDescriptor;
    cudnnCreateLRNDescriptor cudnnDestroyLRNDescriptor;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetTensor4dDescriptor(
    description: Pointer,
    format: c_int,
    ty: c_int,
    n: c_int,
    c: c_int,
    h: c_int,
    w: c_int,
) -> c_int {
    if format != 0 || ![FLOAT, BFLOAT16].contains(&ty) {
        return NOT_SUPPORTED;
    }
    let description = unsafe { &mut *description };
    (description.ty, description.sizes) = (ty, [n, c, h, w].map(|size| size as usize));
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetFilter4dDescriptor(
    description: Pointer,
    ty: c_int,
    format: c_int,
    o: c_int,
    c: c_int,
    h: c_int,
    w: c_int,
) -> c_int {
    unsafe { cudnnSetTensor4dDescriptor(description, format, ty, o, c, h, w) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetConvolution2dDescriptor(
    description: Pointer,
    padding_h: c_int,
    padding_w: c_int,
    stride_h: c_int,
    stride_w: c_int,
    dilation_h: c_int,
    dilation_w: c_int,
    mode: c_int,
    compute: c_int,
) -> c_int {
    // Dilation 1, cross-correlation, and sums in f32.
    if [dilation_h, dilation_w, mode, compute] != [1, 1, 1, FLOAT] {
        return NOT_SUPPORTED;
    }
    let description = unsafe { &mut *description };
    description.padding = [padding_h as usize, padding_w as usize];
    description.stride = [stride_h as usize, stride_w as usize];
    description.groups = 1;
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetConvolutionGroupCount(description: Pointer, groups: c_int) -> c_int {
    unsafe { (*description).groups = groups as usize };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetConvolutionMathType(description: Pointer, math: c_int) -> c_int {
    unsafe { (*description).math = math };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnSetLRNDescriptor(
    description: Pointer,
    size: c_uint,
    alpha: f64,
    beta: f64,
    k: f64,
) -> c_int {
    unsafe { (*description).normalisation = (size as usize, alpha, beta, k) };
    OK
}

// ---- algorithms ----

/// `cudnnConvolution*AlgoPerf_t`, which are alike.
#[repr(C)]
pub(crate) struct Suggestion {
    algorithm: c_int,
    status: c_int,
    time: f32,
    memory: usize,
    deterministic: c_int,
    math: c_int,
    reserved: [c_int; 3],
}

/// What each algorithm is here, the same numbers for all three passes: 0 differs from run to run
/// where gradients are computed, 1 is good, 5 wants 3 GiB, 4 fails when it is launched.
const GOOD: c_int = 1;
const LARGE: c_int = 5;
const FAILS: c_int = 4;

unsafe fn suggest(len: c_int, count: *mut c_int, out: *mut Suggestion) -> c_int {
    let suggestions = [
        (0, 0, DEFAULT_MATH),
        (GOOD, 1, ALLOW_CONVERSION),
        (LARGE, 1, FMA_MATH),
        (LARGE, 1, DEFAULT_MATH),
        (FAILS, 1, DEFAULT_MATH),
        (GOOD, 1, DEFAULT_MATH),
    ];
    let mut written = 0;
    for (i, (algorithm, deterministic, math)) in suggestions.into_iter().enumerate() {
        if (i as c_int) < len {
            let (time, memory) = (i as f32, 0);
            let (status, reserved) = (OK, [0; 3]);
            let found =
                Suggestion { algorithm, status, time, memory, deterministic, math, reserved };
            // SAFETY: the caller has room for `len`.
            unsafe { out.add(i).write(found) };
            written += 1;
        }
    }
    unsafe { *count = written };
    OK
}

fn workspace(algorithm: c_int) -> usize {
    match algorithm {
        LARGE => 3 << 30,
        GOOD => 1000,
        _ => 0,
    }
}

/// The functions that ask, for each pass.
macro_rules! asks {
    ($($suggest:ident $size:ident;)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $suggest(
            _: Handle, _: Pointer, _: Pointer, _: Pointer, _: Pointer,
            len: c_int, count: *mut c_int, out: *mut Suggestion,
        ) -> c_int {
            unsafe { suggest(len, count, out) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $size(
            _: Handle, _: Pointer, _: Pointer, _: Pointer, _: Pointer,
            algorithm: c_int, out: *mut usize,
        ) -> c_int {
            unsafe { *out = workspace(algorithm) };
            OK
        })*
    };
}

asks! {
    cudnnGetConvolutionForwardAlgorithm_v7 cudnnGetConvolutionForwardWorkspaceSize;
    cudnnGetConvolutionBackwardDataAlgorithm_v7 cudnnGetConvolutionBackwardDataWorkspaceSize;
    cudnnGetConvolutionBackwardFilterAlgorithm_v7 cudnnGetConvolutionBackwardFilterWorkspaceSize;
}

// ---- convolution ----

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
        let out = |size, k, i: usize| (size + 2 * new.conv.padding[i] - k) / new.conv.stride[i] + 1;
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
        let outputs = o / self.conv.groups;
        for image in 0..n {
            for output in 0..o {
                for input in 0..group {
                    let channel = output / outputs * group + input;
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let weight = ((output * group + input) * kh + ky) * kw + kx;
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
    if bytes < workspace(algorithm) {
        fail("convolution: too little workspace");
    }
    count(&counts::LIBRARY);
    device().enqueue(stream, move |device| {
        device.check("workspace", workspace_at, bytes);
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

/// Fails unless the result replaces what was there.
unsafe fn one_and_zero(alpha: *const c_void, beta: *const c_void) {
    // SAFETY: numbers on the host.
    let factors = unsafe { (*alpha.cast::<f32>(), *beta.cast::<f32>()) };
    if factors != (1.0, 0.0) {
        fail("cuDNN: factors other than 1 and 0");
    }
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

// ---- local response normalisation ----

/// `k + alpha / size * Σ x²` of each value.
fn scales(x: &[f32], description: Description, lrn: Description) -> Vec<f64> {
    let ([_, c, h, w], (size, alpha, _, k)) = (description.sizes, lrn.normalisation);
    let plane = h * w;
    let scale = |i: usize| {
        let (first, channel) = (i / (plane * c) * (plane * c) + i % plane, i / plane % c);
        let window = channel.saturating_sub((size - 1) / 2)..(channel + size / 2 + 1).min(c);
        let sum: f64 = window.map(|other| f64::from(x[first + other * plane]).powi(2)).sum();
        k + alpha / size as f64 * sum
    };
    (0..x.len()).map(scale).collect()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnLRNCrossChannelForward(
    handle: Handle,
    lrn: Pointer,
    _mode: c_int,
    alpha: *const c_void,
    x: Pointer,
    x_at: usize,
    beta: *const c_void,
    _y: Pointer,
    y_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let (lrn, x) = unsafe { (*lrn, *x) };
    count(&counts::LIBRARY);
    device().enqueue(stream_of(handle), move |device| {
        let values: Vec<f32> = device.values("normalisation", x_at, x.sizes.iter().product());
        let scales = scales(&values, x, lrn);
        let (_, _, beta, _) = lrn.normalisation;
        let result = values.iter().zip(scales).map(|(&x, s)| (f64::from(x) * s.powf(-beta)) as f32);
        device.set_values("normalisation", y_at, &result.collect::<Vec<f32>>());
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnLRNCrossChannelBackward(
    handle: Handle,
    lrn: Pointer,
    _mode: c_int,
    alpha: *const c_void,
    _y: Pointer,
    y_at: usize,
    _dy: Pointer,
    dy_at: usize,
    x: Pointer,
    x_at: usize,
    beta: *const c_void,
    _dx: Pointer,
    dx_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let (lrn, x) = unsafe { (*lrn, *x) };
    count(&counts::LIBRARY);
    device().enqueue(stream_of(handle), move |device| {
        const WHAT: &str = "gradient of a normalisation";
        let [n, c, h, w] = x.sizes;
        let len = n * c * h * w;
        let values: Vec<f32> = device.values(WHAT, x_at, len);
        let (y, dy): (Vec<f32>, Vec<f32>) =
            (device.values(WHAT, y_at, len), device.values(WHAT, dy_at, len));
        let scales = scales(&values, x, lrn);
        let (size, alpha, beta, _) = lrn.normalisation;
        let plane = h * w;
        let gradient = |i: usize| {
            let (first, channel) = (i / (plane * c) * (plane * c) + i % plane, i / plane % c);
            // The values in whose window this one is.
            let window = channel.saturating_sub(size / 2)..(channel + (size - 1) / 2 + 1).min(c);
            let sum: f64 = window
                .map(|other| first + other * plane)
                .map(|j| f64::from(dy[j]) * f64::from(y[j]) / scales[j])
                .sum();
            let own = f64::from(dy[i]) * scales[i].powf(-beta);
            (own - 2.0 * alpha * beta / size as f64 * f64::from(values[i]) * sum) as f32
        };
        device.set_values(WHAT, dx_at, &(0..len).map(gradient).collect::<Vec<f32>>());
    });
    OK
}
