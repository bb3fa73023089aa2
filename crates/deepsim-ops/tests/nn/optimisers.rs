//! Optimisers against torch.optim's, in `tests/fixtures/optimisers.safetensors`; hyper-parameters are those of
//! `optimisers.py` there.

use std::collections::HashMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarMap;
use deepsim_ops::nn::{
    Adam, AdamW, Convention, Optimizer, ParamsAdam, ParamsAdamW, ParamsSgd, Sgd, clip_gradients,
};
use deepsim_ops::{AdamStep, Moments, SgdStep, adam_update, sgd_update};

use crate::support::{assert_near, bits, flat, tensor, var};

const RATES: [f64; 5] = [0.1, 0.1, 0.0, 0.02, 0.02];
const NAMES: [&str; 2] = ["a", "b"];

fn fixture() -> Result<HashMap<String, Tensor>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/optimisers.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// Gradients without a backward pass.
pub(crate) fn gradients<'a>(all: impl IntoIterator<Item = (&'a Var, Tensor)>) -> Result<GradStore> {
    let mut store = Tensor::zeros((), DType::F32, &Device::Cpu)?.backward()?;
    for (var, gradient) in all {
        store.insert(var, gradient);
    }
    Ok(store)
}

fn follows<O: Optimizer>(case: &str, config: O::Config) -> Result<()> {
    let fixture = fixture()?;
    let vars = NAMES.map(|name| Var::from_tensor(&fixture[&format!("start/{name}")]));
    let vars = vars.into_iter().collect::<Result<Vec<_>>>()?;
    let mut optimiser = O::new(vars.clone(), config)?;
    for (t, rate) in RATES.into_iter().enumerate() {
        optimiser.set_learning_rate(rate);
        assert_eq!(optimiser.learning_rate(), rate);
        let given = NAMES.map(|name| fixture[&format!("g{t}/{name}")].clone());
        optimiser.step(&gradients(vars.iter().zip(given))?)?;
        for (name, var) in NAMES.iter().zip(&vars) {
            let label = format!("{case}/{name}/{t}");
            let wanted: Vec<f64> = flat(&fixture[&label]).into_iter().map(f64::from).collect();
            assert_near(&label, &flat(var), &wanted, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn adam_is_pytorchs() -> Result<()> {
    let params = ParamsAdam { beta1: 0.8, beta2: 0.99, ..Default::default() };
    follows::<Adam>("adam", params)?;
    follows::<Adam>("adam_l2", ParamsAdam { weight_decay: 0.05, ..Default::default() })
}

#[test]
fn adamw_is_pytorchs() -> Result<()> {
    follows::<AdamW>("adamw", ParamsAdamW { weight_decay: 0.1, ..Default::default() })
}

#[test]
fn sgd_is_pytorchs_over_changing_rates() -> Result<()> {
    follows::<Sgd>("sgd", 0.1.into())?;
    let params = ParamsSgd { momentum: 0.9, weight_decay: 0.05, ..Default::default() };
    follows::<Sgd>("sgd_momentum", params)
}

/// The fixture can tell the two forms of Adam apart.
#[test]
#[should_panic(expected = "adam/b/0")]
fn caffes_adam_is_not_pytorchs() {
    let convention = Convention::Caffe;
    let params = ParamsAdam { beta1: 0.8, beta2: 0.99, convention, ..Default::default() };
    follows::<Adam>("adam", params).expect("no error");
}

#[test]
fn caffes_forms_are_the_operations() -> Result<()> {
    let convention = Convention::Caffe;
    let (ours, alone) = (var(&[3, 4], 1), var(&[3, 4], 1));
    let mut adam = Adam::new(
        vec![ours.clone()],
        ParamsAdam { weight_decay: 0.1, convention, ..Default::default() },
    )?;
    let mut moments = Moments::zeros_like(&alone)?;
    for t in 1..=3 {
        let gradient = tensor(&[3, 4], t as usize + 1);
        adam.step(&gradients([(&ours, gradient.clone())])?)?;
        let step = AdamStep { weight_decay: 0.1, t, ..AdamStep::new(1e-3) };
        adam_update(&alone, &gradient, &mut moments, step)?;
    }
    assert_eq!(bits(&ours), bits(&alone));
    assert_eq!(adam.steps(), 3);

    let params = ParamsSgd { lr: 0.1, momentum: 0.9, weight_decay: 0.1, convention };
    let mut sgd = Sgd::new(vec![ours.clone()], params)?;
    let velocity = var(&[3, 4], 1);
    velocity.set(&velocity.zeros_like()?)?;
    for learning_rate in [0.1, 0.01] {
        let gradient = tensor(&[3, 4], 9);
        sgd.set_learning_rate(learning_rate);
        sgd.step(&gradients([(&ours, gradient.clone())])?)?;
        let step = SgdStep { learning_rate, momentum: 0.9, weight_decay: 0.1 };
        sgd_update(&alone, &gradient, &velocity, step)?;
    }
    assert_eq!(bits(&ours), bits(&alone));
    Ok(())
}

/// candle's own AdamW takes the same parameters.
#[test]
fn adamw_is_candles() -> Result<()> {
    let (ours, theirs) = (var(&[3, 5], 1), var(&[3, 5], 1));
    let params = ParamsAdamW { lr: 0.05, weight_decay: 0.2, ..Default::default() };
    let mut own = AdamW::new(vec![ours.clone()], params.clone())?;
    let mut candles = candle_nn::AdamW::new(vec![theirs.clone()], params)?;
    for t in 0..5 {
        own.step(&gradients([(&ours, tensor(&[3, 5], 10 + t))])?)?;
        candles.step(&gradients([(&theirs, tensor(&[3, 5], 10 + t))])?)?;
    }
    let wanted: Vec<f64> = flat(&theirs).into_iter().map(f64::from).collect();
    assert_near("AdamW", &flat(&ours), &wanted, 1e-6);
    Ok(())
}

#[test]
fn variables_without_gradients_stay() -> Result<()> {
    let (a, b) = (var(&[3], 1), var(&[3], 2));
    let before = bits(&b);
    let mut adam = AdamW::new_lr(vec![a.clone(), b.clone()], 0.1)?;
    adam.step(&gradients([(&a, tensor(&[3], 3))])?)?;
    assert_eq!(bits(&b), before);
    // Integers, as candle's optimisers leave them out.
    let counts = Var::zeros(3, DType::U32, &Device::Cpu)?;
    Adam::new_lr(vec![counts], 0.1)?.step(&gradients([])?)
}

#[test]
fn clipping_is_pytorchs() -> Result<()> {
    let fixture = fixture()?;
    let vars = [var(&[3, 5], 1), var(&[7], 2)];
    let given = || NAMES.map(|name| fixture[&format!("clip/{name}")].clone());
    let wanted = fixture["clip/norm.f64"].to_vec1::<f64>()?[0];
    let mut store = gradients(vars.iter().zip(given()))?;
    let norm = clip_gradients(&mut store, &vars, 1.5)?;
    assert!((norm / wanted - 1.0).abs() < 1e-7, "{norm}, expected {wanted}");
    for (name, var) in NAMES.iter().zip(&vars) {
        let wanted: Vec<f64> =
            flat(&fixture[&format!("clipped/{name}")]).into_iter().map(f64::from).collect();
        assert_near(name, &flat(store.get(var).expect("a gradient")), &wanted, 1e-6);
    }
    // The same in another order, and with a variable named twice; one without a gradient is left out.
    let mut again = gradients(vars.iter().zip(given()))?;
    let other = var(&[2], 3);
    let order = [&other, &vars[1], &vars[0], &vars[1]];
    assert_eq!(clip_gradients(&mut again, order, 1.5)?.to_bits(), norm.to_bits());
    let of = |store: &GradStore| bits(store.get(&vars[1]).expect("a gradient"));
    assert_eq!(of(&again), of(&store));
    Ok(())
}

#[test]
fn small_and_broken_gradients_stay() -> Result<()> {
    let vars = [var(&[3], 1)];
    let mut store = gradients([(&vars[0], tensor(&[3], 2))])?;
    clip_gradients(&mut store, &vars, 100.0)?;
    assert_eq!(bits(store.get(&vars[0]).expect("one")), bits(&tensor(&[3], 2)));
    let broken = Tensor::new(&[1f32, f32::INFINITY, 2.0], &Device::Cpu)?;
    let mut store = gradients([(&vars[0], broken.clone())])?;
    assert_eq!(clip_gradients(&mut store, &vars, 1.0)?, f64::INFINITY);
    assert_eq!(bits(store.get(&vars[0]).expect("one")), bits(&broken));
    assert_eq!(clip_gradients(&mut gradients([])?, VarMap::new().all_vars().iter(), 1.0)?, 0.0);
    Ok(())
}
