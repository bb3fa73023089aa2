//! cuDNN's descriptors of tensors, filters, convolutions and normalisations.

use std::ptr;

use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::{Result, bail};

use super::handle::check;

/// Defines an owned descriptor with what makes and what destroys it.
macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $create:ident, $destroy:ident) => {
        $(#[$doc])*
        pub(super) struct $name(sys::$raw);

        impl $name {
            fn empty(op: &'static str) -> Result<Self> {
                let mut raw = ptr::null_mut();
                // SAFETY: writes a descriptor to the pointer given.
                check(op, stringify!($create), unsafe { sys::$create(&mut raw) })?;
                Ok(Self(raw))
            }

            pub(super) fn raw(&self) -> sys::$raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made by `empty`, and not used after this.
                unsafe { sys::$destroy(self.0) };
            }
        }
    };
}

descriptor! {
    /// A dense tensor `(N, C, H, W)`.
    TensorDescriptor, cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor,
    cudnnDestroyTensorDescriptor
}
descriptor! {
    /// The weights of a convolution, `(O, C / groups, kh, kw)`.
    FilterDescriptor, cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor,
    cudnnDestroyFilterDescriptor
}
descriptor! {
    /// Strides, padding, groups and precision of a convolution.
    ConvDescriptor, cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
    cudnnDestroyConvolutionDescriptor
}
descriptor! {
    /// Hyper-parameters of a local response normalisation.
    LrnDescriptor, cudnnLRNDescriptor_t, cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor
}

const NCHW: sys::cudnnTensorFormat_t = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;

/// `f32`.
pub(super) const FLOAT: sys::cudnnDataType_t = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;

impl TensorDescriptor {
    pub(super) fn new(
        op: &'static str,
        values: sys::cudnnDataType_t,
        dims: [usize; 4],
    ) -> Result<Self> {
        let (new, [n, c, h, w]) = (Self::empty(op)?, ints(op, dims)?);
        // SAFETY: the descriptor was just made.
        let status = unsafe { sys::cudnnSetTensor4dDescriptor(new.0, NCHW, values, n, c, h, w) };
        check(op, "cudnnSetTensor4dDescriptor", status)?;
        Ok(new)
    }
}

impl FilterDescriptor {
    pub(super) fn new(
        op: &'static str,
        values: sys::cudnnDataType_t,
        dims: [usize; 4],
    ) -> Result<Self> {
        let (new, [o, c, kh, kw]) = (Self::empty(op)?, ints(op, dims)?);
        // SAFETY: the descriptor was just made.
        let status = unsafe { sys::cudnnSetFilter4dDescriptor(new.0, values, NCHW, o, c, kh, kw) };
        check(op, "cudnnSetFilter4dDescriptor", status)?;
        Ok(new)
    }
}

impl ConvDescriptor {
    /// A convolution that sums in `f32`. Pairs are (vertical, horizontal).
    pub(super) fn new(
        op: &'static str,
        stride: (usize, usize),
        padding: (usize, usize),
        dilation: (usize, usize),
        groups: usize,
    ) -> Result<Self> {
        let new = Self::empty(op)?;
        let [sh, sw, ph, pw] = ints(op, [stride.0, stride.1, padding.0, padding.1])?;
        let [dh, dw, groups] = ints(op, [dilation.0, dilation.1, groups])?;
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // SAFETY: the descriptor was just made.
        let status = unsafe {
            sys::cudnnSetConvolution2dDescriptor(new.0, ph, pw, sh, sw, dh, dw, mode, FLOAT)
        };
        check(op, "cudnnSetConvolution2dDescriptor", status)?;
        // SAFETY: as above.
        let status = unsafe { sys::cudnnSetConvolutionGroupCount(new.0, groups) };
        check(op, "cudnnSetConvolutionGroupCount", status)?;
        Ok(new)
    }

    /// Sets the roundings that the convolution may use.
    pub(super) fn set_math(&self, op: &'static str, math: sys::cudnnMathType_t) -> Result<()> {
        // SAFETY: the descriptor is alive, and belongs to this thread.
        let status = unsafe { sys::cudnnSetConvolutionMathType(self.0, math) };
        check(op, "cudnnSetConvolutionMathType", status)
    }
}

impl LrnDescriptor {
    /// cuDNN divides `alpha` by the size of the window, as Caffe does.
    pub(super) fn new(
        op: &'static str,
        size: usize,
        alpha: f32,
        beta: f32,
        k: f32,
    ) -> Result<Self> {
        let (new, [size]) = (Self::empty(op)?, ints(op, [size])?);
        let (alpha, beta, k) = (f64::from(alpha), f64::from(beta), f64::from(k));
        // SAFETY: the descriptor was just made; `ints` gives no negative number.
        let status = unsafe { sys::cudnnSetLRNDescriptor(new.0, size as u32, alpha, beta, k) };
        check(op, "cudnnSetLRNDescriptor", status)?;
        Ok(new)
    }
}

/// Converts a size to `int`, in which cuDNN counts.
fn ints<const N: usize>(op: &'static str, values: [usize; N]) -> Result<[i32; N]> {
    if let Some(value) = values.iter().find(|&&value| value > i32::MAX as usize) {
        bail!("{op}: expected sizes of at most {}, found {value}", i32::MAX);
    }
    Ok(values.map(|value| value as i32))
}
