//! Variables of a map in a fixed order, and a map of variables.

use std::sync::PoisonError;

use candle_core::Var;
use candle_nn::VarMap;

/// Returns all variables of a map with their names, sorted by these.
///
/// `VarMap::all_vars` has another order in each run, which must not affect draws, sums or files.
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

/// Returns a map of these variables, which it shares: the inverse of [`named_vars`].
///
/// Of variables with one name the last is kept.
///
/// ```
/// use candle_core::{DType, Device, Var};
/// use deepsim_ops::nn::{named_vars, var_map};
/// let scale = Var::zeros(3, DType::F32, &Device::Cpu)?;
/// let vars = var_map([("scale".to_owned(), scale.clone())]);
/// scale.set(&scale.ones_like()?)?;
/// assert_eq!(named_vars(&vars)[0].1.to_vec1::<f32>()?, [1.0; 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn var_map(named: impl IntoIterator<Item = (String, Var)>) -> VarMap {
    let vars = VarMap::new();
    vars.data().lock().unwrap_or_else(PoisonError::into_inner).extend(named);
    vars
}
