//! Adam in Caffe's form, fused into one pass over a parameter.

use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::glue::{input, slice};

/// Running means of the gradient and of its square, for one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Moments {
    /// The state before the first update.
    ///
    /// # Errors
    /// None on the CPU; other devices will have to allocate.
    pub fn zeros_like(parameter: &Tensor) -> Result<Self> {
        let n = parameter.elem_count();
        Ok(Self { m: vec![0.0; n], v: vec![0.0; n] })
    }

    /// A state taken apart by [`Moments::first`] and [`Moments::second`].
    pub fn from_parts(m: Vec<f32>, v: Vec<f32>) -> Self {
        Self { m, v }
    }

    /// Running mean of the gradient, in the parameter's order.
    pub fn first(&self) -> &[f32] {
        &self.m
    }

    /// Running mean of the squared gradient, in the parameter's order.
    pub fn second(&self) -> &[f32] {
        &self.v
    }
}

/// Numbers of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the uncorrected second moment.
    pub epsilon: f64,
    /// L2 penalty, added to the gradient (not AdamW).
    pub weight_decay: f64,
    /// Number of the update for the bias correction; the first is 1.
    pub t: u64,
}

/// Updates a parameter in place, as Caffe's `AdamSolver`:
///
/// ```text
/// g = gradient + weight_decay * p
/// m = beta1 * m + (1 - beta1) * g        v = beta2 * v + (1 - beta2) * g²
/// p = p - learning_rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)
/// ```
///
/// # Errors
/// If the shapes differ, a tensor is not `f32` on the CPU, `t` is 0 or a decay not in `0..1`.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_ops::{AdamStep, Moments, adam_update};
/// let p = Var::new(&[1f32], &Device::Cpu)?;
/// let mut moments = Moments::zeros_like(&p)?;
/// let step = AdamStep {
///     learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, t: 1,
/// };
/// adam_update(&p, &Tensor::new(&[5f32], &Device::Cpu)?, &mut moments, step)?;
/// assert!((p.to_vec1::<f32>()?[0] - 0.9).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn adam_update(
    parameter: &Var,
    gradient: &Tensor,
    moments: &mut Moments,
    step: AdamStep,
) -> Result<()> {
    let n = parameter.elem_count();
    if gradient.dims() != parameter.dims() || moments.m.len() != n || moments.v.len() != n {
        bail!(
            "{OP}: parameter {:?}, gradient {:?}, moments of {} and {} values",
            parameter.dims(),
            gradient.dims(),
            moments.m.len(),
            moments.v.len()
        );
    }
    // The bias correction would divide by zero, and fill the parameter with NaN.
    let decays = [step.beta1, step.beta2];
    if step.t == 0 || decays.iter().any(|decay| !(0.0..1.0).contains(decay)) {
        bail!("{OP}: wanted t >= 1 and decays 0 <= beta < 1, got t {} and {decays:?}", step.t);
    }
    parameter.inplace_op2(&input(OP, gradient)?, &Update { moments: Mutex::new(moments), step })
}

const OP: &str = "adam_update";

struct Update<'a> {
    moments: Mutex<&'a mut Moments>,
    step: AdamStep,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        p_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(p) = p else { bail!("{OP}: wanted an f32 parameter") };
        let Some((start, end)) = p_layout.contiguous_offsets() else {
            bail!("{OP}: wanted a contiguous parameter")
        };
        let (p, g) = (&mut p[start..end], slice(OP, g, g_layout)?);
        let Ok(mut moments) = self.moments.lock() else { bail!("{OP}: poisoned state") };
        let Moments { m, v } = &mut **moments;

        let s = self.step;
        let correction = (1.0 - s.beta2.powf(s.t as f64)).sqrt() / (1.0 - s.beta1.powf(s.t as f64));
        let rate = (s.learning_rate * correction) as f32;
        let (beta1, beta2) = (s.beta1 as f32, s.beta2 as f32);
        // Subtracted in double precision: 1 - 0.999 in single precision is off by 1e-5.
        let (rest1, rest2) = ((1.0 - s.beta1) as f32, (1.0 - s.beta2) as f32);
        let (epsilon, decay) = (s.epsilon as f32, s.weight_decay as f32);
        const CHUNK: usize = 16 * 1024;
        let state = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(state).for_each(|((p, g), (m, v))| {
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                let g = g + decay * *p;
                *m = beta1 * *m + rest1 * g;
                *v = beta2 * *v + rest2 * g * g;
                *p -= rate * *m / (v.sqrt() + epsilon);
            }
        });
        Ok(())
    }
}
