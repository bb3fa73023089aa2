//! Gradients of one network: accumulated over micro-batches, all-reduced, hooked, and checked before an update.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use deepsim_nets::Params;
use deepsim_ops::DeferredScalar;

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::error::{NonFinite, Quantity};

/// Hook that is called with every gradient before an update: network, name of the weight, gradient as it is before
/// clipping.
pub type GradientHook<'a> = dyn FnMut(&str, &str, &Tensor) -> Result<(), TrainError> + 'a;

/// Accumulates the gradients of `params` of one more micro-batch.
pub(crate) fn add(
    sum: Option<GradStore>,
    one: GradStore,
    params: &Params,
) -> Result<GradStore, TrainError> {
    let Some(mut sum) = sum else { return Ok(one) };
    for (_, var) in params.iter() {
        if let Some(gradient) = one.get(var) {
            let total = match sum.get(var) {
                Some(before) => (before + gradient)?,
                None => gradient.clone(),
            };
            sum.insert(var, total);
        }
    }
    Ok(sum)
}

/// All-reduces the gradients of `params`.
pub(crate) fn sum(
    group: &dyn ProcessGroup,
    gradients: &mut GradStore,
    params: &Params,
) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    let vars = || params.iter().map(|(_, var)| var);
    let (vars, mut tensors): (Vec<_>, Vec<_>) =
        vars().filter_map(|var| Some((var, gradients.get(var)?.clone()))).unzip();
    group.sum_tensors(&mut tensors)?;
    for (var, total) in vars.into_iter().zip(tensors) {
        gradients.insert(var, total);
    }
    Ok(())
}

/// Returns the L2 norm of all gradients of a network, after calling `hook` with each.
///
/// # Errors
/// If it is known and not finite: an update with them would destroy the network.
pub(crate) fn checked_norm(
    step: u64,
    net: &'static str,
    params: &Params,
    gradients: &GradStore,
    hook: &mut GradientHook<'_>,
) -> Result<DeferredScalar, TrainError> {
    let mut all = Vec::with_capacity(params.len());
    for (name, var) in params.iter() {
        if let Some(gradient) = gradients.get(var) {
            all.push(gradient);
            hook(net, name, gradient)?;
        }
    }
    let norm = DeferredScalar::norm(&all)?;
    if let Some(norm) = norm.value() {
        check(step, net, Quantity::ParameterGradient, norm)?;
    }
    Ok(norm)
}

/// Scales the gradients of a network down to a norm of `most` if theirs, `norm`, is larger. The norm is read from a GPU
/// for that.
///
/// # Errors
/// If the device fails.
pub(crate) fn clip(
    params: &Params,
    gradients: &mut GradStore,
    norm: &DeferredScalar,
    most: Option<f64>,
) -> Result<(), TrainError> {
    let Some(most) = most else { return Ok(()) };
    let found: f64 = DeferredScalar::read(std::slice::from_ref(norm))?.into_iter().sum();
    // Not so if it is not a number: the update is refused then.
    if found > most && found.is_finite() {
        for (_, var) in params.iter() {
            if let Some(gradient) = gradients.get(var) {
                let scaled = (gradient * (most / found))?;
                gradients.insert(var, scaled);
            }
        }
    }
    Ok(())
}

/// Reads a number that may be on a GPU.
///
/// # Errors
/// If it is not finite, or the device fails.
pub(crate) fn read(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    number: &DeferredScalar,
) -> Result<f64, TrainError> {
    let value: f64 = DeferredScalar::read(std::slice::from_ref(number))?.into_iter().sum();
    check(step, term, quantity, value)
}

/// Returns a number that is finite, and refuses any other.
pub(crate) fn check(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    value: f64,
) -> Result<f64, TrainError> {
    if value.is_finite() {
        return Ok(value);
    }
    let (batch, reproducer) = (Vec::new(), None);
    let found = NonFinite { step, term, quantity, value, batch, reproducer };
    Err(TrainError::NonFinite(Box::new(found)))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn gradients_are_scaled_down_to_a_norm_and_never_up() -> Result<(), Box<dyn std::error::Error>>
    {
        let var = Var::new(&[1f32, 1.0], &Device::Cpu)?;
        let params: Params = [("w".into(), var.clone())].into_iter().collect();
        let of = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
        let clipped = |most| -> Result<(f64, Vec<f32>), TrainError> {
            let mut gradients = (var.as_tensor() * &of)?.sum_all()?.backward()?;
            let norm = DeferredScalar::norm(&[gradients.get(&var).expect("a gradient")])?;
            clip(&params, &mut gradients, &norm, most)?;
            let values = gradients.get(&var).expect("a gradient").to_vec1()?;
            Ok((norm.value().expect("on the CPU"), values))
        };
        assert_eq!(clipped(None)?, (5.0, vec![3.0, 4.0]));
        assert_eq!(clipped(Some(6.0))?, (5.0, vec![3.0, 4.0]));
        assert_eq!(clipped(Some(2.5))?, (5.0, vec![1.5, 2.0]));
        Ok(())
    }
}
