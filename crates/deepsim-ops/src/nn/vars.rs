//! Variables of a map in a fixed order.

use std::sync::PoisonError;

use candle_core::Var;
use candle_nn::VarMap;

/// Returns all variables of a map with their names, sorted by these.
///
/// `VarMap::all_vars` has another order in each run, which must not decide what is drawn, summed or saved.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::{VarBuilder, VarMap};
/// use deepsim_ops::nn::{linear, named_vars};
/// let vars = VarMap::new();
/// linear(3, 2, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu).pp("f1"))?;
/// let names: Vec<String> = named_vars(&vars).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["f1.bias", "f1.weight"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn named_vars(vars: &VarMap) -> Vec<(String, Var)> {
    let map = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
    let mut named: Vec<_> = map.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}
