//! cuDNN's functions that the convolutions and the local response normalisation call.
//!
//! | module | holds |
//! |---|---|
//! | [`conv`] | the three passes of a convolution, and the gradient of its bias |
//! | [`lrn`] | local response normalisation |
//!
//! This module has handles, descriptions and the choice of algorithms. The heuristic's first
//! suggestions are ones that must not be taken: an algorithm that may give other bits in another
//! run, one that rounds to `f16`, one that needs 3 GiB, and one that fails.

mod conv;
mod lrn;

use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::device::{Stream, fail, stream};

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
    dilation: [usize; 2],
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
    // Cross-correlation, and sums in f32.
    if [mode, compute] != [1, FLOAT] {
        return NOT_SUPPORTED;
    }
    let description = unsafe { &mut *description };
    description.padding = [padding_h as usize, padding_w as usize];
    description.stride = [stride_h as usize, stride_w as usize];
    description.dilation = [dilation_h as usize, dilation_w as usize];
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

/// Algorithms of the emulator, with the same numbers for all three passes: 0 differs from run to
/// run for gradients, 1 is good, 5 needs 3 GiB, 4 fails when it is launched.
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

/// Returns the workspace of an algorithm in bytes. It grows with the batch, as it may in cuDNN; the
/// batch is told by the first sizes of the three tensors.
fn workspace(algorithm: c_int, tensors: [&Description; 3]) -> usize {
    let batch: usize = tensors.iter().map(|tensor| tensor.sizes[0]).sum();
    match algorithm {
        LARGE => 3 << 30,
        GOOD => 1000 * batch,
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
            _: Handle, a: Pointer, b: Pointer, _: Pointer, c: Pointer,
            algorithm: c_int, out: *mut usize,
        ) -> c_int {
            unsafe { *out = workspace(algorithm, [&*a, &*b, &*c]) };
            OK
        })*
    };
}

asks! {
    cudnnGetConvolutionForwardAlgorithm_v7 cudnnGetConvolutionForwardWorkspaceSize;
    cudnnGetConvolutionBackwardDataAlgorithm_v7 cudnnGetConvolutionBackwardDataWorkspaceSize;
    cudnnGetConvolutionBackwardFilterAlgorithm_v7 cudnnGetConvolutionBackwardFilterWorkspaceSize;
}

/// Fails unless the result replaces what was there.
unsafe fn one_and_zero(alpha: *const c_void, beta: *const c_void) {
    // SAFETY: numbers on the host.
    let factors = unsafe { (*alpha.cast::<f32>(), *beta.cast::<f32>()) };
    if factors != (1.0, 0.0) {
        fail("cuDNN: factors other than 1 and 0");
    }
}
