//! Adam and AdamW.

use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, Var, bail};
use candle_nn::{Optimizer, ParamsAdamW, VarMap};
use rayon::prelude::*;

use super::slots::Slots;
use super::state::State;
use super::{Convention, ParamsAdam};
use crate::nn::named_vars;
use crate::{AdamStep, AdamUpdate, Moments, adam_update_all};

/// Adam with an L2 penalty, as `torch.optim.Adam`, or in Caffe's form.
///
/// Variables without a gradient are left out of a step. All share one count of steps.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_ops::nn::{Adam, Optimizer, ParamsAdam};
/// let var = Var::new(&[1f32, 2.0], &Device::Cpu)?;
/// let mut adam = Adam::named(vec![("w".into(), var.clone())], ParamsAdam::default())?;
/// adam.backward_step(&var.sqr()?.sum_all()?)?;
/// assert!((var.to_vec1::<f32>()?[0] - 0.999).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Adam {
    core: Core,
    params: ParamsAdam,
}

/// Adam with decoupled weight decay, as `torch.optim.AdamW` and `candle_nn::AdamW`, whose parameters it takes.
///
/// Variables without a gradient are left out of a step, and do not decay. All share one count of steps.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_ops::nn::{AdamW, Optimizer, ParamsAdamW};
/// let var = Var::new(&[1f32, 2.0], &Device::Cpu)?;
/// let params = ParamsAdamW { lr: 0.1, ..Default::default() };
/// let mut adam = AdamW::named(vec![("w".into(), var.clone())], params)?;
/// adam.backward_step(&var.sqr()?.sum_all()?)?;
/// assert!((var.to_vec1::<f32>()?[0] - 0.899).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW {
    core: Core,
    params: ParamsAdamW,
}

/// Members that both have.
macro_rules! common {
    ($type:ident, $params:ident, $op:literal) => {
        impl $type {
            /// Optimiser of variables with names, under which [`save`](Self::save) stores their state.
            ///
            /// # Errors
            /// If a name or a variable is there twice, or a variable is of a floating-point type other than `f32`.
            pub fn named(vars: Vec<(String, Var)>, params: $params) -> Result<Self> {
                Ok(Self { core: Core::new(Slots::named($op, vars, zeros)?), params })
            }

            /// Optimiser of all variables of a map, under their names there.
            ///
            /// # Errors
            /// As for [`named`](Self::named).
            pub fn of_varmap(vars: &VarMap, params: $params) -> Result<Self> {
                Self::named(named_vars(vars), params)
            }

            /// Optimiser with default parameters except the learning rate.
            ///
            /// # Errors
            /// As for [`named`](Self::named).
            pub fn new_lr(vars: Vec<Var>, learning_rate: f64) -> Result<Self> {
                Self::new(vars, $params { lr: learning_rate, ..Default::default() })
            }

            /// Hyper-parameters.
            pub fn params(&self) -> &$params {
                &self.params
            }

            /// Replaces the hyper-parameters from the next step on.
            pub fn set_params(&mut self, params: $params) {
                self.params = params;
            }

            /// Number of steps that were made.
            pub fn steps(&self) -> u64 {
                self.core.steps
            }

            /// Writes the moments and the number of steps, but no hyper-parameters, to a safetensors file, which
            /// appears whole or not at all.
            ///
            /// # Errors
            /// If the variables have no names (those of `new`), or the file cannot be written.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                self.core.save($op, path.as_ref())
            }

            /// Continues from a state that [`save`](Self::save) wrote: the next step is the same, bit for bit, given
            /// the same variables and hyper-parameters.
            ///
            /// # Errors
            /// If the file cannot be read, or is not that of variables with these names and shapes. Nothing is changed
            /// then.
            pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
                self.core.load($op, path.as_ref())
            }
        }

        impl Optimizer for $type {
            type Config = $params;

            /// Optimiser of variables without names, whose state cannot be saved.
            fn new(vars: Vec<Var>, params: $params) -> Result<Self> {
                Ok(Self { core: Core::new(Slots::unnamed($op, vars, zeros)?), params })
            }

            fn step(&mut self, gradients: &GradStore) -> Result<()> {
                self.update(gradients)
            }

            fn learning_rate(&self) -> f64 {
                self.params.lr
            }

            fn set_learning_rate(&mut self, learning_rate: f64) {
                self.params.lr = learning_rate;
            }
        }
    };
}

common!(Adam, ParamsAdam, "nn::Adam");
common!(AdamW, ParamsAdamW, "nn::AdamW");

impl Adam {
    fn update(&mut self, gradients: &GradStore) -> Result<()> {
        let ParamsAdam { lr, beta1, beta2, eps, weight_decay, convention } = self.params;
        let t = self.core.steps + 1;
        let step = AdamStep { learning_rate: lr, beta1, beta2, epsilon: eps, weight_decay, t };
        let step = match convention {
            Convention::PyTorch => step.with_pytorch_epsilon(),
            Convention::Caffe => step,
        };
        self.core.update("nn::Adam", gradients, step, None)
    }
}

impl AdamW {
    fn update(&mut self, gradients: &GradStore) -> Result<()> {
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = self.params;
        let t = self.core.steps + 1;
        let step = AdamStep { learning_rate: lr, beta1, beta2, epsilon: eps, weight_decay: 0.0, t };
        let kept = (weight_decay != 0.0).then_some(1.0 - lr * weight_decay);
        self.core.update("nn::AdamW", gradients, step.with_pytorch_epsilon(), kept)
    }
}

/// Moments of all variables.
#[derive(Debug)]
struct Core {
    slots: Slots<Moments>,
    steps: u64,
}

fn zeros(var: &Var) -> Result<Moments> {
    Moments::zeros_like(var)
}

impl Core {
    fn new(slots: Slots<Moments>) -> Self {
        Self { slots, steps: 0 }
    }

    /// One step; `kept` is the share of each parameter that decay leaves.
    fn update(
        &mut self,
        op: &str,
        gradients: &GradStore,
        step: AdamStep,
        kept: Option<f64>,
    ) -> Result<()> {
        let AdamStep { beta1, beta2, .. } = step;
        // Before the decay, so that a refused step changes nothing.
        if ![beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
            bail!("{op}: expected decays 0 <= beta < 1, found {beta1} and {beta2}");
        }
        let pairs = self.slots.with_gradients(op, gradients)?;
        if let Some(kept) = kept {
            pairs.iter().try_for_each(|(slot, _)| scale(&slot.var, kept))?;
        }
        let updates = pairs.into_iter().map(|(slot, gradient)| AdamUpdate {
            parameter: &slot.var,
            gradient,
            moments: &mut slot.state,
            decays: true,
        });
        adam_update_all(updates, step, None)?;
        self.steps += 1;
        Ok(())
    }

    fn save(&self, op: &'static str, path: &Path) -> Result<()> {
        let mut state = State::new(op, path);
        for slot in &self.slots.0 {
            let moments = slot.state.to_host()?;
            for (kind, values) in [(FIRST, moments.first()), (SECOND, moments.second())] {
                let values =
                    Tensor::from_slice(values, slot.var.shape(), &candle_core::Device::Cpu)?;
                state.put(kind, slot.name.as_deref(), values)?;
            }
        }
        state.put_scalar(STEPS, Tensor::new(self.steps as i64, &candle_core::Device::Cpu)?);
        state.write()
    }

    fn load(&mut self, op: &'static str, path: &Path) -> Result<()> {
        let mut state = State::read(op, path)?;
        let mut loaded = Vec::with_capacity(self.slots.0.len());
        for slot in &self.slots.0 {
            let mut take = |kind| -> Result<Vec<f32>> {
                state.take(kind, slot.label(), &slot.var)?.flatten_all()?.to_vec1()
            };
            loaded.push(Moments::from_parts(take(FIRST)?, take(SECOND)?));
        }
        let Ok(steps) = u64::try_from(state.take_scalar::<i64>(STEPS)?) else {
            bail!("{op}: {}: expected a number of steps, found a negative one", path.display());
        };
        state.end()?;
        self.steps = steps;
        // The next update moves the moments of a variable on a GPU there.
        self.slots.0.iter_mut().zip(loaded).for_each(|(slot, moments)| slot.state = moments);
        Ok(())
    }
}

const FIRST: &str = "first";
const SECOND: &str = "second";
const STEPS: &str = "steps";

/// Multiplies a variable in place.
fn scale(var: &Var, factor: f64) -> Result<()> {
    if var.device().is_cpu() {
        return var.inplace_op1(&Scale(factor as f32));
    }
    var.set(&var.affine(factor, 0.0)?)
}

struct Scale(f32);

/// Values that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

impl InplaceOp1 for Scale {
    fn name(&self) -> &'static str {
        "decay"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((start, end))) => {
                values[start..end].par_chunks_mut(CHUNK).for_each(|values| {
                    values.iter_mut().for_each(|value| *value *= self.0);
                });
                Ok(())
            }
            _ => bail!("decay: expected a contiguous f32 variable"),
        }
    }
}
