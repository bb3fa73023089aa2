//! Clipping of gradients.

use std::collections::HashSet;

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};

use crate::DeferredScalar;

/// Scales the gradients of some variables, together, to an L2 norm of at most `max_norm`, as PyTorch's
/// `clip_grad_norm_`. Returns the norm before.
///
/// Variables without a gradient are left out. If the norm is not finite, the gradients stay as they are. The norm
/// does not depend on the variables' order. A GPU is synchronised with once.
///
/// # Errors
/// If a gradient is not `f32`, or the device fails.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_ops::nn::clip_gradients;
/// let var = Var::new(&[3f32, 4.0], &Device::Cpu)?;
/// let mut gradients = (var.sqr()?.sum_all()? * 0.5)?.backward()?;
/// assert_eq!(clip_gradients(&mut gradients, [&var], 1.0)?, 5.0);
/// let clipped = gradients.get(&var).unwrap().to_vec1::<f32>()?;
/// assert!((clipped[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn clip_gradients<'a>(
    gradients: &mut GradStore,
    vars: impl IntoIterator<Item = &'a Var>,
    max_norm: f64,
) -> Result<f64> {
    let mut seen = HashSet::new();
    let vars: Vec<&Var> = vars
        .into_iter()
        .filter(|var| gradients.get(var).is_some() && seen.insert(var.id()))
        .collect();
    let squares = vars.iter().filter_map(|var| gradients.get(var));
    let squares = squares.map(|gradient| DeferredScalar::squares(&[gradient]));
    let mut squares = DeferredScalar::read(&squares.collect::<Result<Vec<_>>>()?)?;
    // The sum depends on the order, and that of `VarMap::all_vars` differs from run to run.
    squares.sort_by(f64::total_cmp);
    let norm = squares.into_iter().sum::<f64>().sqrt();
    // PyTorch's, with its guard against a division by zero.
    let scale = max_norm / (norm + 1e-6);
    if norm.is_finite() && scale < 1.0 {
        for var in vars {
            if let Some(gradient) = gradients.remove(var) {
                gradients.insert(var, (gradient * scale)?);
            }
        }
    }
    Ok(norm)
}
