//! Gradients of one network: summed over parts of a batch, looked at, and checked before an update.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::Reading;

use crate::TrainError;
use crate::error::{NonFinite, Quantity};
use crate::world::World;

/// Shown every gradient just before an update: network, name of the weight, gradient.
pub type See<'a> = dyn FnMut(&str, &str, &Tensor) -> Result<(), TrainError> + 'a;

/// The sum of the gradients of `params` so far and those of one more part.
pub(crate) fn add(
    sum: Option<GradStore>,
    part: GradStore,
    params: &Params,
) -> Result<GradStore, TrainError> {
    let Some(mut sum) = sum else { return Ok(part) };
    for (_, var) in params.iter() {
        if let Some(gradient) = part.get(var) {
            let total = match sum.get(var) {
                Some(before) => (before + gradient)?,
                None => gradient.clone(),
            };
            sum.insert(var, total);
        }
    }
    Ok(sum)
}

/// Replaces the gradients of `params` by their sums over all processes.
pub(crate) fn sum(
    world: &dyn World,
    gradients: &mut GradStore,
    params: &Params,
) -> Result<(), TrainError> {
    if world.size() == 1 {
        return Ok(());
    }
    let vars = || params.iter().map(|(_, var)| var);
    let (vars, mut tensors): (Vec<_>, Vec<_>) =
        vars().filter_map(|var| Some((var, gradients.get(var)?.clone()))).unzip();
    world.sum_tensors(&mut tensors)?;
    for (var, total) in vars.into_iter().zip(tensors) {
        gradients.insert(var, total);
    }
    Ok(())
}

/// The L2 norm of all gradients of a network, after each was shown to `see`.
///
/// # Errors
/// If it is known and not finite: an update with them would destroy the network.
pub(crate) fn checked_norm(
    step: u64,
    net: &'static str,
    params: &Params,
    gradients: &GradStore,
    see: &mut See<'_>,
) -> Result<Reading, TrainError> {
    let mut all = Vec::with_capacity(params.len());
    for (name, var) in params.iter() {
        if let Some(gradient) = gradients.get(var) {
            all.push(gradient);
            see(net, name, gradient)?;
        }
    }
    let norm = Reading::norm(&all)?;
    check_known(step, net, Quantity::ParameterGradient, &norm)?;
    Ok(norm)
}

/// Refuses what is known and not finite.
pub(crate) fn check_known(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    number: &Reading,
) -> Result<(), TrainError> {
    number.value().map_or(Ok(()), |value| check(step, term, quantity, value))
}

/// A number that may be on a GPU.
///
/// # Errors
/// If it is not finite, or the device fails.
pub(crate) fn read(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    number: &Reading,
) -> Result<f64, TrainError> {
    let value: f64 = Reading::read(std::slice::from_ref(number))?.into_iter().sum();
    check(step, term, quantity, value).map(|()| value)
}

/// Refuses what is not finite.
pub(crate) fn check(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    value: f64,
) -> Result<(), TrainError> {
    if value.is_finite() {
        return Ok(());
    }
    let (batch, reproducer) = (Vec::new(), None);
    Err(TrainError::NonFinite(Box::new(NonFinite {
        step,
        term,
        quantity,
        value,
        batch,
        reproducer,
    })))
}
