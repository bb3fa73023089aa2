//! Adam in Caffe's form, fused into one pass over each of many parameters.

use std::sync::Mutex;
#[cfg(feature = "cuda")]
use std::sync::OnceLock;

#[cfg(feature = "cuda")]
use candle_core::Device;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::adam_step::AdamStep;
use crate::cpu::simd::{Isa, vectorised};
#[cfg(feature = "cuda")]
use crate::cuda::adam::DeviceMoments;
use crate::glue::{input, slice};

/// Running means of the gradient and of its square, for one parameter, on the parameter's device.
#[derive(Clone, Debug)]
pub struct Moments {
    state: MomentStorage,
    /// Host copy that [`Moments::first`] and [`Moments::second`] show for a state on a device.
    #[cfg(feature = "cuda")]
    copy: OnceLock<(Vec<f32>, Vec<f32>)>,
}

#[derive(Clone, Debug)]
enum MomentStorage {
    Host(Vec<f32>, Vec<f32>),
    #[cfg(feature = "cuda")]
    Device(DeviceMoments),
}

impl Moments {
    /// Returns the state before the first update.
    ///
    /// # Errors
    /// None on the CPU; on another device if the allocation fails.
    pub fn zeros_like(parameter: &Tensor) -> Result<Self> {
        let n = parameter.elem_count();
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = parameter.device() {
            return Ok(Self::new(MomentStorage::Device(DeviceMoments::zeros(device, n)?)));
        }
        Ok(Self::from_parts(vec![0.0; n], vec![0.0; n]))
    }

    /// Rebuilds a state from what [`Moments::first`] and [`Moments::second`] returned.
    pub fn from_parts(m: Vec<f32>, v: Vec<f32>) -> Self {
        Self::new(MomentStorage::Host(m, v))
    }

    fn new(state: MomentStorage) -> Self {
        Self {
            state,
            #[cfg(feature = "cuda")]
            copy: OnceLock::new(),
        }
    }

    /// Running mean of the gradient, in the parameter's order. Copied from a device, and empty if
    /// that fails: [`Moments::to_host`] returns the error.
    pub fn first(&self) -> &[f32] {
        self.host().0
    }

    /// Running mean of the squared gradient, in the parameter's order. Copied from a device, and
    /// empty if that fails: [`Moments::to_host`] returns the error.
    pub fn second(&self) -> &[f32] {
        self.host().1
    }

    /// Returns the same state on the CPU.
    ///
    /// # Errors
    /// If the copy from a device fails.
    pub fn to_host(&self) -> Result<Self> {
        match &self.state {
            MomentStorage::Host(..) => Ok(self.clone()),
            #[cfg(feature = "cuda")]
            MomentStorage::Device(moments) => {
                let (m, v) = moments.to_host()?;
                Ok(Self::from_parts(m, v))
            }
        }
    }

    fn host(&self) -> (&[f32], &[f32]) {
        match &self.state {
            MomentStorage::Host(m, v) => (m, v),
            #[cfg(feature = "cuda")]
            MomentStorage::Device(moments) => {
                let (m, v) = self.copy.get_or_init(|| moments.to_host().unwrap_or_default());
                (m, v)
            }
        }
    }

    /// Returns the lengths of both moments.
    fn lens(&self) -> (usize, usize) {
        match &self.state {
            MomentStorage::Host(m, v) => (m.len(), v.len()),
            #[cfg(feature = "cuda")]
            MomentStorage::Device(moments) => (moments.len(), moments.len()),
        }
    }

    /// Moves the state to a device, for a parameter that was moved or a state that was loaded.
    #[cfg(feature = "cuda")]
    fn follow(&mut self, device: &Device) -> Result<()> {
        // The copy is dropped, because the coming update makes it stale.
        self.copy = OnceLock::new();
        match (&self.state, device) {
            (MomentStorage::Host(m, v), Device::Cuda(device)) => {
                self.state = MomentStorage::Device(DeviceMoments::from_host(device, m, v)?);
            }
            (MomentStorage::Device(moments), Device::Cpu) => {
                let (m, v) = moments.to_host()?;
                self.state = MomentStorage::Host(m, v);
            }
            _ => {}
        }
        Ok(())
    }

    /// Marks the host copy as stale after a recorded step changed the state on its device
    /// ([`StepGraph`](crate::StepGraph)).
    #[cfg(feature = "cuda")]
    pub fn changed_on_device(&mut self) {
        self.copy = OnceLock::new();
    }

    /// Returns the values of a state on the CPU.
    fn host_mut(&mut self) -> Option<(&mut [f32], &mut [f32])> {
        match &mut self.state {
            MomentStorage::Host(m, v) => Some((m, v)),
            #[cfg(feature = "cuda")]
            MomentStorage::Device(_) => None,
        }
    }
}

/// Copies the values of other moments of the same lengths. On a GPU they do not pass through the
/// host.
///
/// # Errors
/// If the lengths differ, or the device fails.
///
/// ```
/// use deepsim_ops::{Moments, set_moments};
/// let from = Moments::from_parts(vec![1.0], vec![2.0]);
/// let mut to = Moments::from_parts(vec![0.0], vec![0.0]);
/// set_moments(vec![(&mut to, &from)])?;
/// assert_eq!(to, from);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn set_moments(pairs: Vec<(&mut Moments, &Moments)>) -> Result<()> {
    #[cfg(feature = "cuda")]
    let mut on_gpu = Vec::with_capacity(pairs.len());
    for (to, from) in pairs {
        if to.lens() != from.lens() {
            bail!("{OP}: expected moments of {:?} values, found {:?}", to.lens(), from.lens());
        }
        #[cfg(feature = "cuda")]
        if let MomentStorage::Device(from) = &from.state {
            to.copy = OnceLock::new();
            if !matches!(to.state, MomentStorage::Device(_)) {
                to.state = MomentStorage::Device(from.zeros_like()?);
            }
            if let MomentStorage::Device(to) = &mut to.state {
                on_gpu.push((to, from));
            }
            continue;
        }
        match (to.host_mut(), &from.state) {
            (Some((m, v)), MomentStorage::Host(from_m, from_v)) => {
                m.copy_from_slice(from_m);
                v.copy_from_slice(from_v);
            }
            _ => *to = from.clone(),
        }
    }
    #[cfg(feature = "cuda")]
    DeviceMoments::set_all(&mut on_gpu)?;
    Ok(())
}

impl PartialEq for Moments {
    fn eq(&self, other: &Self) -> bool {
        self.host() == other.host()
    }
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
/// If the shapes differ, a tensor is not `f32` on the CPU (with `cuda`: or a GPU), `t` is 0 or a
/// decay not in `0..1`.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_ops::{AdamStep, Moments, adam_update};
/// let p = Var::new(&[1f32], &Device::Cpu)?;
/// let mut moments = Moments::zeros_like(&p)?;
/// adam_update(&p, &Tensor::new(&[5f32], &Device::Cpu)?, &mut moments, AdamStep::new(0.1))?;
/// assert!((p.to_vec1::<f32>()?[0] - 0.9).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn adam_update(
    parameter: &Var,
    gradient: &Tensor,
    moments: &mut Moments,
    step: AdamStep,
) -> Result<()> {
    adam_update_all([AdamUpdate { parameter, gradient, moments, decays: true }], step, None)
}

/// Parameter of [`adam_update_all`].
#[derive(Debug)]
pub struct AdamUpdate<'a> {
    /// The parameter, which is changed in place.
    pub parameter: &'a Var,
    /// Gradient, of the parameter's shape.
    pub gradient: &'a Tensor,
    /// Moments of the parameter.
    pub moments: &'a mut Moments,
    /// Applies the L2 penalty if true.
    pub decays: bool,
}

/// Updates many parameters as [`adam_update`] does, in one launch on a GPU. None is changed if one
/// of them does not fit, or if a number of `only_if` is not finite
/// ([`DeferredScalar::gate`](crate::DeferredScalar::gate)).
///
/// # Errors
/// As for [`adam_update`], and if the parameters are on different devices.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_ops::{AdamStep, AdamUpdate, Moments, adam_update_all};
/// let parameters = [Var::new(&[1f32], &Device::Cpu)?, Var::new(&[2f32, 3.0], &Device::Cpu)?];
/// let mut moments = parameters.iter().map(|p| Moments::zeros_like(p)).collect::<Result<Vec<_>, _>>()?;
/// let loss = (parameters[0].sqr()?.sum_all()? + parameters[1].sum_all()?)?;
/// let gradients = loss.backward()?;
/// let updates = parameters.iter().zip(&mut moments).map(|(parameter, moments)| {
///     let gradient = gradients.get(parameter).expect("every parameter is part of the loss");
///     AdamUpdate { parameter, gradient, moments, decays: true }
/// });
/// adam_update_all(updates, AdamStep::new(0.1), None)?;
/// assert!((parameters[1].to_vec1::<f32>()?[0] - 1.9).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn adam_update_all<'a>(
    updates: impl IntoIterator<Item = AdamUpdate<'a>>,
    step: AdamStep,
    only_if: Option<&Tensor>,
) -> Result<()> {
    // The bias correction would divide by zero and fill the parameters with NaN.
    let decays = [step.beta1, step.beta2];
    if step.t == 0 || decays.iter().any(|decay| !(0.0..1.0).contains(decay)) {
        bail!("{OP}: expected t >= 1 and decays 0 <= beta < 1, found t {} and {decays:?}", step.t);
    }
    let updates: Vec<AdamUpdate<'a>> = updates.into_iter().collect();
    let mut gradients = Vec::with_capacity(updates.len());
    for AdamUpdate { parameter, gradient, moments, .. } in &updates {
        let n = parameter.elem_count();
        let (first, second) = moments.lens();
        if gradient.dims() != parameter.dims() || first != n || second != n {
            bail!(
                "{OP}: parameter {:?}, gradient {:?}, moments of {first} and {second} values",
                parameter.dims(),
                gradient.dims(),
            );
        }
        gradients.push(input(OP, "gradient", gradient)?);
    }
    #[cfg(feature = "cuda")]
    if updates.iter().any(|update| update.parameter.device().is_cuda()) {
        return update_on_gpu(updates, &gradients, step, only_if);
    }
    if !finite(only_if)? {
        return Ok(());
    }
    // One parallel region for all parameters, because most are small.
    rayon::scope(|_| {
        updates.into_iter().zip(&gradients).try_for_each(|(update, gradient)| {
            let AdamUpdate { parameter, moments, decays, .. } = update;
            #[cfg(feature = "cuda")]
            moments.follow(parameter.device())?;
            let weight_decay = if decays { step.weight_decay } else { 0.0 };
            let step = AdamStep { weight_decay, ..step };
            parameter.inplace_op2(gradient, &InPlace { moments: Mutex::new(moments), step })
        })
    })
}

/// Returns true if every number is finite, so that the update may be made.
pub(crate) fn finite(numbers: Option<&Tensor>) -> Result<bool> {
    let Some(numbers) = numbers else { return Ok(true) };
    Ok(numbers.flatten_all()?.to_vec1::<f32>()?.into_iter().all(f32::is_finite))
}

/// A GPU's launches must come from the caller's thread, which has a stream of its own.
#[cfg(feature = "cuda")]
fn update_on_gpu(
    updates: Vec<AdamUpdate<'_>>,
    gradients: &[Tensor],
    step: AdamStep,
    only_if: Option<&Tensor>,
) -> Result<()> {
    let mut rows = Vec::with_capacity(updates.len());
    for (AdamUpdate { parameter, moments, decays, .. }, gradient) in
        updates.into_iter().zip(gradients)
    {
        moments.follow(parameter.device())?;
        let MomentStorage::Device(moments) = &mut moments.state else {
            bail!("{OP}: expected all parameters on one GPU")
        };
        rows.push((parameter.as_tensor(), gradient, moments, decays));
    }
    crate::cuda::adam(rows, Numbers::new(step), only_if)
}

/// Returns the factor of the quotient of the moments in [`adam_update_all`]: the learning rate with
/// both bias corrections. [`StepGraph::launch`](crate::StepGraph::launch) takes it as the rate of
/// an update.
#[cfg(feature = "cuda")]
pub fn adam_rate(step: AdamStep) -> f32 {
    Numbers::new(step).rate
}

const OP: &str = "adam_update";

/// Constants of the innermost loop.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) rate: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) rest1: f32,
    pub(crate) rest2: f32,
    pub(crate) epsilon: f32,
    pub(crate) decay: f32,
}

impl Numbers {
    fn new(s: AdamStep) -> Self {
        let correction = (1.0 - s.beta2.powf(s.t as f64)).sqrt() / (1.0 - s.beta1.powf(s.t as f64));
        Self {
            rate: (s.learning_rate * correction) as f32,
            beta1: s.beta1 as f32,
            beta2: s.beta2 as f32,
            // Subtracted in double precision: 1 - 0.999 in single precision is off by 1e-5.
            rest1: (1.0 - s.beta1) as f32,
            rest2: (1.0 - s.beta2) as f32,
            epsilon: s.epsilon as f32,
            decay: s.weight_decay as f32,
        }
    }
}

struct InPlace<'a> {
    moments: Mutex<&'a mut Moments>,
    step: AdamStep,
}

impl InplaceOp2 for InPlace<'_> {
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
        let CpuStorage::F32(p) = p else { bail!("{OP}: expected an f32 parameter") };
        let Some((start, end)) = p_layout.contiguous_offsets() else {
            bail!("{OP}: expected a contiguous parameter")
        };
        let (p, g) = (&mut p[start..end], slice(OP, g, g_layout)?);
        let Ok(mut moments) = self.moments.lock() else { bail!("{OP}: poisoned state") };
        let Some((m, v)) = moments.host_mut() else { bail!("{OP}: expected moments on the CPU") };
        let (isa, numbers) = (Isa::best(), Numbers::new(self.step));
        const CHUNK: usize = 16 * 1024;
        let state = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(state).for_each(|((p, g), (m, v))| {
            update_chunk(isa, numbers, p, g, m, v);
        });
        Ok(())
    }
}

vectorised! {
    fn update_chunk(n: Numbers, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g + n.decay * *p;
            *m = n.beta1 * *m + n.rest1 * g;
            *v = n.beta2 * *v + n.rest2 * g * g;
            *p -= n.rate * *m / (v.sqrt() + n.epsilon);
        }
    }
}
