//! Choice of cuDNN's algorithm, once for each pass of each shape.
//!
//! cuDNN's heuristic chooses, not a measurement: another algorithm may be the fastest in another
//! run, and would give other bits. For the same reason only deterministic algorithms are
//! considered.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use candle_core::cuda_backend::cudarc::cudnn::sys::{
    self, cudnnConvolutionBwdDataAlgo_t as DataAlgo, cudnnConvolutionBwdFilterAlgo_t as WeightAlgo,
    cudnnConvolutionFwdAlgo_t as ForwardAlgo, cudnnDeterminism_t, cudnnMathType_t as Math,
    cudnnStatus_t as Status,
};
use candle_core::{CudaDevice, Result, bail};

use super::descriptors::{ConvDescriptor, FLOAT, FilterDescriptor, TensorDescriptor};
use super::handle::{Context, check};
use super::precision::Precision;
use crate::cpu::conv::ConvShape;

/// One of the three computations of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// `(x, w) -> y`
    Forward,
    /// `(dy, w) -> dx`, and the transposed convolution.
    BackwardData,
    /// `(x, dy) -> dw`
    BackwardWeight,
}

/// Key of a plan: the operation that its errors name, the pass, the precision and the sizes.
pub(super) type Key = (&'static str, Pass, Precision, [usize; 16]);

pub(super) fn key(op: &'static str, s: &ConvShape, pass: Pass, precision: Precision) -> Key {
    let &ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow } = s;
    (op, pass, precision, [n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow])
}

/// Largest workspace in bytes; algorithms that need more are skipped.
const LARGEST_WORKSPACE: usize = 1 << 30;

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(ForwardAlgo),
    BackwardData(DataAlgo),
    BackwardWeight(WeightAlgo),
}

#[derive(Clone, Copy)]
struct Choice {
    algorithm: Algorithm,
    math: Math,
}

/// One pass of one shape with its cuDNN descriptors, and the algorithm that computes it.
pub(super) struct Plan {
    op: &'static str,
    x: TensorDescriptor,
    w: FilterDescriptor,
    y: TensorDescriptor,
    conv: ConvDescriptor,
    /// Best first.
    choices: Vec<Choice>,
    /// The first that cuDNN accepted, with its workspace.
    accepted: Cell<Option<(Choice, usize)>>,
}

impl Plan {
    pub(super) fn new(
        op: &'static str,
        context: &Context,
        s: &ConvShape,
        pass: Pass,
        precision: Precision,
    ) -> Result<Self> {
        let values = match precision {
            Precision::F32 | Precision::Tf32 => FLOAT,
            Precision::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        let mut plan = Self {
            op,
            x: TensorDescriptor::new(op, values, [s.n, s.c_in, s.h, s.w])?,
            w: FilterDescriptor::new(op, values, [s.c_out, s.group_in(), s.kh, s.kw])?,
            y: TensorDescriptor::new(op, values, [s.n, s.c_out, s.oh, s.ow])?,
            conv: ConvDescriptor::new(op, (s.sh, s.sw), (s.ph, s.pw), (s.dh, s.dw), s.groups)?,
            choices: Vec::new(),
            accepted: Cell::new(None),
        };
        plan.choices = plan.choose(context, pass, precision)?;
        Ok(plan)
    }

    fn choose(&self, context: &Context, pass: Pass, precision: Precision) -> Result<Vec<Choice>> {
        let math = match precision {
            Precision::F32 => Math::CUDNN_FMA_MATH,
            // Tensor cores with f32 inputs, in TF32. `ALLOW_CONVERSION` would round to f16, whose
            // range is too small.
            Precision::Tf32 => Math::CUDNN_DEFAULT_MATH,
            Precision::Bf16 => Math::CUDNN_TENSOR_OP_MATH,
        };
        self.conv.set_math(self.op, math)?;
        let allowed = |suggested: Math| match precision {
            Precision::F32 => {
                matches!(suggested, Math::CUDNN_FMA_MATH | Math::CUDNN_DEFAULT_MATH)
            }
            _ => suggested != Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
        };
        let suggestions = self.suggestions(context, pass);
        let suggestions = suggestions.into_iter().filter(|&(_, suggested)| allowed(suggested));
        let choice = |(algorithm, suggested)| Choice {
            algorithm,
            // The default allows TF32, so it must not be taken over for F32.
            math: if precision == Precision::F32 { math } else { suggested },
        };
        let fallback = fallback(pass).iter().map(|&algorithm| Choice { algorithm, math });
        Ok(suggestions.map(choice).chain(fallback).collect())
    }

    /// Returns the deterministic algorithms that cuDNN's heuristic proposes, fastest first.
    fn suggestions(&self, context: &Context, pass: Pass) -> Vec<(Algorithm, Math)> {
        /// Asks one of three like functions.
        macro_rules! ask {
            ($ask:ident, $perf:ident, $algorithm:path, $($description:expr),*) => {{
                const MOST: usize = 8;
                let mut answers = [MaybeUninit::<sys::$perf>::uninit(); MOST];
                let mut count: c_int = 0;
                // SAFETY: handle and descriptions are alive; at most `MOST` answers are written to
                // an array of that length, and their number to `count`.
                let status = unsafe {
                    sys::$ask(
                        context.handle(),
                        $($description,)*
                        MOST as c_int,
                        &mut count,
                        answers.as_mut_ptr().cast(),
                    )
                };
                // If the heuristic knows none, the errors of the fallback say why.
                let count = if status == Status::CUDNN_STATUS_SUCCESS { count } else { 0 };
                let count = usize::try_from(count).unwrap_or(0).min(MOST);
                let mut found = Vec::new();
                for answer in &answers[..count] {
                    // SAFETY: the first `count` answers were written.
                    let answer = unsafe { answer.assume_init() };
                    if answer.status == Status::CUDNN_STATUS_SUCCESS
                        && answer.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC
                    {
                        found.push(($algorithm(answer.algo), answer.mathType));
                    }
                }
                found
            }};
        }
        let (x, w, y, conv) = (self.x.raw(), self.w.raw(), self.y.raw(), self.conv.raw());
        match pass {
            Pass::Forward => ask!(
                cudnnGetConvolutionForwardAlgorithm_v7,
                cudnnConvolutionFwdAlgoPerf_t,
                Algorithm::Forward,
                x,
                w,
                conv,
                y
            ),
            Pass::BackwardData => ask!(
                cudnnGetConvolutionBackwardDataAlgorithm_v7,
                cudnnConvolutionBwdDataAlgoPerf_t,
                Algorithm::BackwardData,
                w,
                y,
                conv,
                x
            ),
            Pass::BackwardWeight => ask!(
                cudnnGetConvolutionBackwardFilterAlgorithm_v7,
                cudnnConvolutionBwdFilterAlgoPerf_t,
                Algorithm::BackwardWeight,
                x,
                y,
                conv,
                w
            ),
        }
    }

    /// Computes `out` from `a` and `b`, in the order of [`Pass`].
    ///
    /// # Safety
    /// The pointers must be device memory of the sizes and type of the plan, and `out` not be used
    /// by anything else in the stream's order.
    pub(super) unsafe fn run(
        &self,
        context: &Context,
        device: &CudaDevice,
        (a, b): (*const c_void, *const c_void),
        out: *mut c_void,
    ) -> Result<()> {
        let launch = |choice: Choice, bytes: usize| {
            context.with_workspace(self.op, device, bytes, |workspace| {
                // SAFETY: the caller's promise; the workspace has the size that was asked for.
                unsafe { self.launch(context, choice.algorithm, (a, b), out, (workspace, bytes)) }
            })
        };
        if let Some((choice, bytes)) = self.accepted.get() {
            return check(self.op, "convolution", launch(choice, bytes)?);
        }
        let mut refused = Vec::new();
        for &choice in &self.choices {
            // Stays set, as the accepted choice is the last one tried.
            self.conv.set_math(self.op, choice.math)?;
            let status = match self.workspace(context, choice.algorithm) {
                Ok(bytes) if bytes <= LARGEST_WORKSPACE => match launch(choice, bytes)? {
                    Status::CUDNN_STATUS_SUCCESS => {
                        self.accepted.set(Some((choice, bytes)));
                        return Ok(());
                    }
                    status => status,
                },
                Ok(_) => Status::CUDNN_STATUS_ALLOC_FAILED,
                Err(status) => status,
            };
            refused.push(status);
        }
        bail!("{}: cuDNN refused every deterministic algorithm: {refused:?}", self.op)
    }

    /// Returns the bytes of workspace that an algorithm needs.
    fn workspace(
        &self,
        context: &Context,
        algorithm: Algorithm,
    ) -> std::result::Result<usize, Status> {
        let (x, w, y, conv) = (self.x.raw(), self.w.raw(), self.y.raw(), self.conv.raw());
        let (handle, mut bytes) = (context.handle(), 0);
        // SAFETY: handle and descriptions are alive; the size is written to `bytes`.
        let status = unsafe {
            match algorithm {
                Algorithm::Forward(algo) => sys::cudnnGetConvolutionForwardWorkspaceSize(
                    handle, x, w, conv, y, algo, &mut bytes,
                ),
                Algorithm::BackwardData(algo) => sys::cudnnGetConvolutionBackwardDataWorkspaceSize(
                    handle, w, y, conv, x, algo, &mut bytes,
                ),
                Algorithm::BackwardWeight(algo) => {
                    sys::cudnnGetConvolutionBackwardFilterWorkspaceSize(
                        handle, x, y, conv, w, algo, &mut bytes,
                    )
                }
            }
        };
        if status == Status::CUDNN_STATUS_SUCCESS { Ok(bytes) } else { Err(status) }
    }

    /// # Safety
    /// As for [`Plan::run`]; the workspace must have the size given.
    unsafe fn launch(
        &self,
        context: &Context,
        algorithm: Algorithm,
        (a, b): (*const c_void, *const c_void),
        out: *mut c_void,
        (workspace, bytes): (*mut c_void, usize),
    ) -> Status {
        let (x, w, y, conv) = (self.x.raw(), self.w.raw(), self.y.raw(), self.conv.raw());
        // Factors of the result and of what `out` held, on the host.
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let handle = context.handle();
        // SAFETY: handle and descriptions are alive; the memory is the caller's promise.
        unsafe {
            match algorithm {
                Algorithm::Forward(algo) => sys::cudnnConvolutionForward(
                    handle, one, x, a, w, b, conv, algo, workspace, bytes, zero, y, out,
                ),
                Algorithm::BackwardData(algo) => sys::cudnnConvolutionBackwardData(
                    handle, one, w, b, y, a, conv, algo, workspace, bytes, zero, x, out,
                ),
                Algorithm::BackwardWeight(algo) => sys::cudnnConvolutionBackwardFilter(
                    handle, one, x, a, y, b, conv, algo, workspace, bytes, zero, w, out,
                ),
            }
        }
    }
}

/// Algorithms that cuDNN documents as deterministic and that suit nearly every shape.
fn fallback(pass: Pass) -> &'static [Algorithm] {
    match pass {
        Pass::Forward => &[
            Algorithm::Forward(ForwardAlgo::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM),
            Algorithm::Forward(ForwardAlgo::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
        ],
        Pass::BackwardData => {
            &[Algorithm::BackwardData(DataAlgo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)]
        }
        Pass::BackwardWeight => {
            &[Algorithm::BackwardWeight(WeightAlgo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1)]
        }
    }
}
