//! Initial values from a seed.

use candle_core::{DType, Device, Result, Shape};
use candle_nn::init::{DEFAULT_KAIMING_NORMAL, DEFAULT_KAIMING_UNIFORM};
use candle_nn::{Init, VarMap};
use deepsim_ops::nn::{self, init, named_vars};

use crate::support::{bits, flat};

const CPU: Device = Device::Cpu;

fn all_bits(vars: &VarMap) -> Vec<(String, Vec<u32>)> {
    named_vars(vars).into_iter().map(|(name, var)| (name, bits(&var))).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_any_order() -> Result<()> {
    let make = |seed, names: [&str; 2]| -> Result<VarMap> {
        let vars = VarMap::new();
        let vb = init::var_builder(&vars, seed, DType::F32, &CPU);
        for name in names {
            nn::linear(7, 5, vb.pp(name))?;
        }
        Ok(vars)
    };
    let a = make(1, ["f1", "f2"])?;
    assert_eq!(all_bits(&a), all_bits(&make(1, ["f2", "f1"])?));
    let other = make(2, ["f1", "f2"])?;
    assert!(all_bits(&a).iter().zip(all_bits(&other)).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
    // Two tensors of one seed differ, too.
    assert_ne!(all_bits(&a)[1].1, all_bits(&a)[3].1);
    Ok(())
}

#[test]
fn the_bytes_of_a_seed_stay_what_they_are() -> Result<()> {
    let draw = init::draw(Init::Uniform { lo: -1.0, up: 1.0 }, &3.into(), 7, "w")?;
    assert_eq!(flat(&draw), UNIFORM_OF_SEED_7);
    Ok(())
}

const UNIFORM_OF_SEED_7: [f32; 3] = [0.10903345, -0.08606573, -0.15159842];

#[test]
fn a_variable_that_is_there_stays_and_another_shape_is_refused() -> Result<()> {
    let vars = VarMap::new();
    let vb = init::var_builder(&vars, 1, DType::F32, &CPU);
    let first = nn::linear(3, 2, vb.clone())?;
    let again = nn::linear(3, 2, init::var_builder(&vars, 2, DType::F32, &CPU))?;
    assert_eq!(bits(first.weight()), bits(again.weight()));
    let error = nn::linear(4, 2, vb).unwrap_err().to_string();
    assert!(error.contains("shape mismatch on weight"), "{error}");
    Ok(())
}

#[test]
fn distributions_have_their_moments() -> Result<()> {
    let shape: Shape = (128, 64, 3, 3).into();
    let (fan_in, fan_out) = (64.0 * 9.0, 128.0 * 9.0);
    let cases = [
        (Init::Const(0.5), 0.5, 0.0),
        (Init::Randn { mean: 1.0, stdev: 0.2 }, 1.0, 0.2),
        (Init::Uniform { lo: 1.0, up: 3.0 }, 2.0, 2.0 / 12f64.sqrt()),
        (DEFAULT_KAIMING_NORMAL, 0.0, (2.0f64 / fan_in).sqrt()),
        (DEFAULT_KAIMING_UNIFORM, 0.0, (2.0f64 / fan_in).sqrt()),
        (init::xavier_uniform(&shape), 0.0, (2.0f64 / (fan_in + fan_out)).sqrt()),
        (init::xavier_normal(&shape), 0.0, (2.0f64 / (fan_in + fan_out)).sqrt()),
    ];
    for (init, mean, deviation) in cases {
        let values = flat(&init::draw(init, &shape, 3, "w")?);
        let n = values.len() as f64;
        let got = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
        let squares = values.iter().map(|&value| (f64::from(value) - got).powi(2)).sum::<f64>();
        // Five standard errors of the mean, and a percent of the deviation.
        assert!((got - mean).abs() <= 5.0 * deviation / n.sqrt() + 1e-7, "{init:?}: mean {got}");
        let found = (squares / n).sqrt();
        assert!((found - deviation).abs() <= 0.01 * deviation, "{init:?}: deviation {found}");
    }
    Ok(())
}

#[test]
fn a_map_is_filled_where_the_caller_says_so() -> Result<()> {
    let vars = VarMap::new();
    nn::linear(3, 2, init::var_builder(&vars, 1, DType::F32, &CPU))?;
    let before = all_bits(&vars);
    init::fill(&vars, 2, |name, shape| (name == "weight").then(|| init::xavier_normal(shape)))?;
    let after = all_bits(&vars);
    assert_eq!(after[0], before[0], "the bias");
    assert_ne!(after[1], before[1], "the weight");
    init::fill(&vars, 1, |name, _| (name == "weight").then_some(DEFAULT_KAIMING_NORMAL))?;
    assert_eq!(all_bits(&vars), before);
    Ok(())
}

#[test]
fn other_types_are_rounded() -> Result<()> {
    let vars = VarMap::new();
    let vb = init::var_builder(&vars, 1, DType::F64, &CPU);
    let weight = vb.get_with_hints((2, 3), "w", DEFAULT_KAIMING_NORMAL)?;
    let single = init::draw(DEFAULT_KAIMING_NORMAL, &(2, 3).into(), 1, "w")?;
    assert_eq!(bits(&weight.to_dtype(DType::F32)?), bits(&single));
    assert!(init::draw(DEFAULT_KAIMING_NORMAL, &(2, 0).into(), 1, "w").is_err());
    Ok(())
}
