//! Stochastic gradient descent with momentum.

use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{Optimizer, VarMap};

use super::slots::{Slot, Slots};
use super::state::State;
use super::{Convention, ParamsSgd};
use crate::nn::named_vars;
use crate::{SgdStep, sgd_update};

/// Stochastic gradient descent with momentum and an L2 penalty, as `torch.optim.SGD`, or in Caffe's form.
///
/// Variables without a gradient are left out of a step.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_ops::nn::{Optimizer, ParamsSgd, Sgd};
/// let var = Var::new(&[1f32, 2.0], &Device::Cpu)?;
/// let params = ParamsSgd { lr: 0.1, momentum: 0.9, ..Default::default() };
/// let mut sgd = Sgd::new(vec![var.clone()], params)?;
/// sgd.backward_step(&var.sqr()?.sum_all()?)?;
/// assert!((var.to_vec1::<f32>()?[0] - 0.8).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    slots: Slots<Var>,
    params: ParamsSgd,
    /// Learning rate of the last step, by which the velocities are multiplied; 0 before the first.
    last_lr: f64,
}

const OP: &str = "nn::Sgd";

/// A velocity is kept multiplied by the learning rate: a rate of 0 would lose it. This one moves no parameter.
const SMALLEST_RATE: f64 = 1e-20;

impl Sgd {
    /// Optimiser of variables with names, under which [`save`](Self::save) stores their state.
    ///
    /// # Errors
    /// If a name or a variable is there twice, or a variable is of a floating-point type other than `f32`.
    pub fn named(vars: Vec<(String, Var)>, params: ParamsSgd) -> Result<Self> {
        Ok(Self { slots: Slots::named(OP, vars, zeros)?, params, last_lr: 0.0 })
    }

    /// Optimiser of all variables of a map, under their names there.
    ///
    /// # Errors
    /// As for [`named`](Self::named).
    pub fn of_varmap(vars: &VarMap, params: ParamsSgd) -> Result<Self> {
        Self::named(named_vars(vars), params)
    }

    /// Hyper-parameters.
    pub fn params(&self) -> &ParamsSgd {
        &self.params
    }

    /// Replaces the hyper-parameters from the next step on.
    pub fn set_params(&mut self, params: ParamsSgd) {
        self.params = params;
    }

    /// Writes the velocities, but no hyper-parameters, to a safetensors file, which appears whole or not at all.
    ///
    /// # Errors
    /// If the variables have no names (those of `new`), or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut state = State::new(OP, path.as_ref());
        for slot in &self.slots.0 {
            let velocity = slot.state.as_detached_tensor().to_device(&Device::Cpu)?;
            state.put(VELOCITY, slot.name.as_deref(), velocity)?;
        }
        state.put_scalar(LAST_LR, Tensor::new(self.last_lr, &Device::Cpu)?);
        state.write()
    }

    /// Continues from a state that [`save`](Self::save) wrote: the next step is the same, bit for bit, given
    /// the same variables and hyper-parameters.
    ///
    /// # Errors
    /// If the file cannot be read, or is not that of variables with these names and shapes. Nothing is changed then.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let mut state = State::read(OP, path.as_ref())?;
        let take = |slot: &Slot<Var>| {
            let velocity = state.take(VELOCITY, slot.label(), &slot.var)?;
            velocity.to_device(slot.var.device())
        };
        let loaded = self.slots.0.iter().map(take).collect::<Result<Vec<_>>>()?;
        let last_lr = state.take_scalar(LAST_LR)?;
        state.end()?;
        self.last_lr = last_lr;
        self.slots.0.iter().zip(&loaded).try_for_each(|(slot, velocity)| slot.state.set(velocity))
    }
}

const VELOCITY: &str = "velocity";
const LAST_LR: &str = "learning_rate";

fn zeros(var: &Var) -> Result<Var> {
    Var::zeros(var.shape(), var.dtype(), var.device())
}

impl Optimizer for Sgd {
    type Config = ParamsSgd;

    /// Optimiser of variables without names, whose state cannot be saved.
    fn new(vars: Vec<Var>, params: ParamsSgd) -> Result<Self> {
        Ok(Self { slots: Slots::unnamed(OP, vars, zeros)?, params, last_lr: 0.0 })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let ParamsSgd { lr, momentum, weight_decay, convention } = self.params;
        let (learning_rate, momentum) = match convention {
            Convention::Caffe => (lr, momentum),
            // With it, a velocity that is multiplied by the rate is PyTorch's times the new rate.
            Convention::PyTorch if momentum != 0.0 => {
                let lr = lr.max(SMALLEST_RATE);
                let ratio = if self.last_lr == 0.0 { 1.0 } else { lr / self.last_lr };
                (lr, momentum * ratio)
            }
            Convention::PyTorch => (lr, 0.0),
        };
        let step = SgdStep { learning_rate, momentum, weight_decay };
        for (slot, gradient) in self.slots.with_gradients(OP, gradients)? {
            sgd_update(&slot.var, gradient, &slot.state, step)?;
        }
        self.last_lr = learning_rate;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.params.lr
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.params.lr = learning_rate;
    }
}
