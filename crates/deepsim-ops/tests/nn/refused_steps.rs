//! Bad inputs of optimisers end in errors, and change nothing.

use candle_core::{DType, Device, Result, Var};
use deepsim_ops::nn::{Adam, AdamW, Optimizer, ParamsAdam, ParamsAdamW, Sgd};

use crate::optimisers::gradients;
use crate::refused::refused;
use crate::support::{bits, tensor, var};

#[test]
fn a_refused_step_changes_nothing() -> Result<()> {
    let w = var(&[2, 3], 1);
    let before = bits(&w);
    let named = || vec![("w".to_owned(), w.clone())];
    let params = ParamsAdamW { weight_decay: 0.5, ..Default::default() };
    let mut adam = AdamW::named(named(), params.clone())?;
    let turned = gradients([(&w, tensor(&[3, 2], 1))])?;
    refused(adam.step(&turned), "nn::AdamW: w: expected a gradient [2, 3]");
    let double = gradients([(&w, tensor(&[2, 3], 1).to_dtype(DType::F64)?)])?;
    refused(adam.step(&double), "of type f64");
    adam.set_params(ParamsAdamW { beta1: 1.0, ..params });
    let good = gradients([(&w, tensor(&[2, 3], 1))])?;
    refused(adam.step(&good), "nn::AdamW: expected decays 0 <= beta < 1");
    assert_eq!((bits(&w), adam.steps()), (before.clone(), 0));
    refused(Sgd::named(named(), 0.1.into())?.step(&turned), "nn::Sgd: w: expected a gradient");
    let params = ParamsAdam { beta2: f64::NAN, ..Default::default() };
    refused(Adam::named(named(), params)?.step(&good), "nn::Adam: expected decays");
    assert_eq!(bits(&w), before);
    Ok(())
}

#[test]
fn variables_of_other_types() -> Result<()> {
    let half = Var::zeros(3, DType::F16, &Device::Cpu)?;
    refused(Adam::new_lr(vec![half.clone()], 0.1), "nn::Adam: a variable: expected f32, found f16");
    let named = vec![("w".to_owned(), half)];
    refused(AdamW::named(named, Default::default()), "nn::AdamW: w: expected f32, found f16");
    Ok(())
}
