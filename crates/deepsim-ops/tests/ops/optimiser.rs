//! Adam against its formula in double precision.

use candle_core::{Result, Tensor, Var};
use deepsim_ops::{AdamStep, Moments, adam_update};

use crate::support::{assert_near, bits, flat, tensor, var};

const STEP: AdamStep = AdamStep {
    learning_rate: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-3,
    weight_decay: 0.05,
    t: 1,
};

/// More than one chunk of the update.
const SHAPE: [usize; 2] = [7, 5001];

fn gradient(t: u64) -> Tensor {
    tensor(&SHAPE, 100 + t as usize)
}

#[test]
fn updates_follow_caffes_formula() -> Result<()> {
    for weight_decay in [0.0, STEP.weight_decay] {
        let parameter = var(&SHAPE, 1);
        let mut moments = Moments::zeros_like(&parameter)?;
        let mut p: Vec<f64> = flat(&parameter).iter().map(|&v| f64::from(v)).collect();
        let (mut m, mut v) = (vec![0f64; p.len()], vec![0f64; p.len()]);
        for t in 1..=20 {
            let step = AdamStep { t, weight_decay, ..STEP };
            adam_update(&parameter, &gradient(t), &mut moments, step)?;
            let t = i32::try_from(t).expect("a small number");
            let correction = (1.0 - step.beta2.powi(t)).sqrt() / (1.0 - step.beta1.powi(t));
            for (i, g) in flat(&gradient(t as u64)).into_iter().enumerate() {
                let g = f64::from(g) + weight_decay * p[i];
                m[i] = step.beta1 * m[i] + (1.0 - step.beta1) * g;
                v[i] = step.beta2 * v[i] + (1.0 - step.beta2) * g * g;
                let root = v[i].sqrt() + step.epsilon;
                p[i] -= step.learning_rate * correction * m[i] / root;
            }
        }
        assert_near("parameter", &flat(&parameter), &p, 1e-6);
        assert_near("first moment", moments.first(), &m, 1e-6);
        assert_near("second moment", moments.second(), &v, 1e-6);
    }
    Ok(())
}

#[test]
fn a_state_taken_apart_and_put_together_goes_on_as_before() -> Result<()> {
    let (whole, halved) = (var(&SHAPE, 1), var(&SHAPE, 1));
    let (mut a, mut b) = (Moments::zeros_like(&whole)?, Moments::zeros_like(&halved)?);
    for t in 1..=6 {
        let step = AdamStep { t, ..STEP };
        adam_update(&whole, &gradient(t), &mut a, step)?;
        b = Moments::from_parts(b.first().to_vec(), b.second().to_vec());
        adam_update(&halved, &gradient(t), &mut b, step)?;
    }
    assert_eq!(bits(&whole), bits(&halved));
    assert_eq!(a, b);
    Ok(())
}

#[test]
fn a_refused_update_changes_nothing() -> Result<()> {
    let parameter = var(&[3, 4], 1);
    let start = bits(&parameter);
    let fresh = Moments::zeros_like(&parameter)?;
    let gradient = tensor(&[3, 4], 2);
    let double = gradient.to_dtype(candle_core::DType::F64)?;
    let double_parameter = Var::from_tensor(&double)?;
    let other = Moments::from_parts(vec![0.0; 12], vec![0.0; 11]);
    let turned = gradient.t()?;
    let cases: [(&Var, &Tensor, &Moments, AdamStep, &str); 7] = [
        (&parameter, &turned, &fresh, STEP, "parameter [3, 4], gradient [4, 3]"),
        (&parameter, &gradient, &other, STEP, "moments of 12 and 11 values"),
        (&parameter, &double, &fresh, STEP, "gradient: expected f32, found f64"),
        (&double_parameter, &gradient, &fresh, STEP, "expected an f32 parameter"),
        (&parameter, &gradient, &fresh, AdamStep { t: 0, ..STEP }, "expected t >= 1"),
        (&parameter, &gradient, &fresh, AdamStep { beta1: 1.0, ..STEP }, "0 <= beta < 1"),
        (&parameter, &gradient, &fresh, AdamStep { beta2: f64::NAN, ..STEP }, "0 <= beta < 1"),
    ];
    for (parameter, gradient, moments, step, wanted) in cases {
        let mut after = moments.clone();
        let error = adam_update(parameter, gradient, &mut after, step);
        let error = error.expect_err(wanted).to_string();
        assert!(error.contains("adam_update") && error.contains(wanted), "{error}");
        assert_eq!(after, *moments, "{wanted}");
    }
    assert_eq!(bits(&parameter), start);
    Ok(())
}
