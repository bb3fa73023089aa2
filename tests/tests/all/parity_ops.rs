//! Every operation, forward and backward, against PyTorch in double precision.

mod cases;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use deepsim_loss::objective::backward_from;
use deepsim_nets::random::stream;
use deepsim_ops::{AdamStep, Moments, adam_update, dropout};

use self::cases::{Case, Op, Run};
use crate::support::{Errors, Fixture, indices, relative, uniform, values};

/// Largest error allowed, relative to the largest value of a tensor.
const TOLERANCE: f64 = 1e-5;

#[test]
fn operations_equal_pytorch_forward_and_backward() -> Result<()> {
    let fixture = Fixture::open("operations.safetensors")?;
    let mut of_operations = BTreeMap::new();
    let cases: Vec<Case> = fixture.note("cases")?;
    for Case { name, op } in &cases {
        let Some(Run { inputs, apply }) = op.run() else { continue };
        let errors = of_operations.entry(op.name()).or_insert_with(|| Errors::below(TOLERANCE));
        let leaves = inputs
            .iter()
            .map(|input| Ok(Var::from_tensor(&fixture.tensor(&format!("{name}/{input}"))?)?))
            .collect::<Result<Vec<Var>>>()?;
        let tensors: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
        let y = apply(&tensors)?;
        errors.tensor(&format!("{name}/y"), &y, &fixture.tensor(&format!("{name}/y"))?)?;
        let gradients = backward_from(&y, &fixture.tensor(&format!("{name}/dy"))?)?;
        for (input, leaf) in inputs.iter().zip(&leaves) {
            let label = format!("{name}/d{input}");
            let gradient = gradients.get(leaf).with_context(|| format!("no gradient {label}"))?;
            errors.tensor(&label, gradient, &fixture.tensor(&label)?)?;
        }
    }
    assert_eq!(of_operations.len(), 16, "the fixture holds every operation");
    for (operation, errors) in of_operations {
        errors.settle(operation);
    }
    Ok(())
}

#[test]
fn running_statistics_equal_pytorchs() -> Result<()> {
    let fixture = Fixture::open("operations.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    let cases: Vec<Case> = fixture.note("cases")?;
    for Case { name, op } in &cases {
        let Op::BatchNorm2d(norm) = op else { continue };
        let inputs = ["x", "w", "b"].map(|input| fixture.tensor(&format!("{name}/{input}")));
        let [x, w, b] = inputs;
        let (_, [mean, variance]) = norm.run(&[x?, w?, b?])?;
        errors.add(format!("{name}, mean"), relative(&values(&mean)?, &norm.new_mean));
        errors.add(format!("{name}, variance"), relative(&values(&variance)?, &norm.new_variance));
        let moved = norm.mean != norm.new_mean && norm.variance != norm.new_variance;
        assert_eq!(moved, norm.training, "{name}: what the fixture says");
    }
    assert_eq!(errors.len(), 12, "three norms, in training and inference");
    errors.settle("running statistics");
    Ok(())
}

#[test]
fn only_the_gradients_that_are_asked_for_are_computed() -> Result<()> {
    // Each input alone is a variable, the others are constants: its gradient is still right, and
    // there is no other.
    let fixture = Fixture::open("operations.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    let cases: Vec<Case> = fixture.note("cases")?;
    for Case { name, op } in &cases {
        let Some(Run { inputs, apply }) = op.run() else { continue };
        for (position, input) in inputs.iter().enumerate() {
            let mut tensors = inputs
                .iter()
                .map(|input| fixture.tensor(&format!("{name}/{input}")))
                .collect::<Result<Vec<_>>>()?;
            let leaf = Var::from_tensor(&tensors[position])?;
            tensors[position] = leaf.as_tensor().clone();
            let y = apply(&tensors)?;
            let gradients = backward_from(&y, &fixture.tensor(&format!("{name}/dy"))?)?;
            let label = format!("{name}/d{input}");
            let gradient = gradients.get(&leaf).with_context(|| format!("no gradient {label}"))?;
            errors.tensor(&label, gradient, &fixture.tensor(&label)?)?;
            for (other, tensor) in tensors.iter().enumerate().filter(|(i, _)| *i != position) {
                assert!(gradients.get(tensor).is_none(), "{name}: gradient of {}", inputs[other]);
            }
        }
    }
    errors.settle("single gradients");
    Ok(())
}

#[test]
fn convolutions_equal_pytorch_on_every_layer_of_every_network() -> Result<()> {
    let fixture = Fixture::open("layers.safetensors")?;
    let (cases, count): (Vec<Case>, usize) = (fixture.note("cases")?, fixture.note("samples")?);
    let mut errors = Errors::below(TOLERANCE);
    for Case { name, op } in &cases {
        let (Op::Conv2d(c) | Op::ConvTranspose2d(c)) = op else { continue };
        let Some(Run { inputs, apply }) = op.run() else { continue };
        let leaves = inputs
            .iter()
            .map(|&input| {
                let (shape, amplitude) = match input {
                    "x" => (&c.x, 1.0),
                    "w" => (&c.w, c.w_amplitude),
                    _ => (c.b.as_ref().context("no bias")?, 1.0),
                };
                Ok(Var::from_tensor(&uniform(&format!("{name}/{input}"), shape, amplitude)?)?)
            })
            .collect::<Result<Vec<Var>>>()?;
        let tensors: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
        let y = apply(&tensors)?;
        let gradients = backward_from(&y, &uniform(&format!("{name}/dy"), y.dims(), 1.0)?)?;
        let mut results = vec![(format!("{name}/y"), &y)];
        for (input, leaf) in inputs.iter().zip(&leaves) {
            let label = format!("{name}/d{input}");
            results.push((label, gradients.get(leaf).context("no gradient")?));
        }
        for (label, tensor) in results {
            let got = values(tensor)?;
            let wanted = fixture.f32(&label)?;
            let scale = f64::from(fixture.f32(&format!("{label}/max"))?[0]);
            let sampled = indices(&label, count, got.len());
            assert_eq!(sampled.len(), wanted.len(), "{label}: samples");
            let difference =
                sampled.iter().zip(wanted).map(|(&i, w)| f64::from((got[i] - w).abs()));
            errors.add(label.as_str(), difference.fold(0.0, f64::max) / scale);
            // The norm sees every value, not only the samples.
            let norm = got.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let wanted = f64::from(fixture.f32(&format!("{label}/norm"))?[0]);
            errors.add(format!("{label}/norm"), (norm / wanted - 1.0).abs());
        }
    }
    errors.settle("layers");
    Ok(())
}

#[test]
fn adam_equals_caffes() -> Result<()> {
    let fixture = Fixture::open("operations.safetensors")?;
    let cases: Vec<Case> = fixture.note("cases")?;
    let adam = cases.iter().find_map(|case| match case.op {
        Op::Adam { steps, learning_rate, beta1, beta2, epsilon, weight_decay } => {
            Some((steps, AdamStep { learning_rate, beta1, beta2, epsilon, weight_decay, t: 0 }))
        }
        _ => None,
    });
    let (steps, step) = adam.context("no case for Adam")?;
    let p = Var::from_tensor(&fixture.tensor("adam/start")?)?;
    let mut moments = Moments::zeros_like(&p)?;
    for t in 1..=steps {
        let gradient = fixture.tensor(&format!("adam/g{t}"))?;
        adam_update(&p, &gradient, &mut moments, AdamStep { t, ..step })?;
    }
    let mut errors = Errors::below(TOLERANCE);
    errors.add("p", relative(&values(&p)?, fixture.f32("adam/p")?));
    errors.add("m", relative(moments.first(), fixture.f32("adam/m")?));
    errors.add("v", relative(moments.second(), fixture.f32("adam/v")?));
    errors.settle("Adam");
    Ok(())
}

#[test]
fn dropout_keeps_the_expectation_and_masks_the_gradient() -> Result<()> {
    const N: usize = 100_000;
    for p in [0.1, 0.5, 0.8] {
        let x = Var::from_tensor(&uniform("dropout", &[N], 1.0)?)?;
        let y = dropout(&x, p, &mut stream(1, "dropout", 0))?;
        let dy = uniform("dropout/dy", &[N], 1.0)?;
        let dx = values(backward_from(&y, &dy)?.get(&x).context("no gradient")?)?;
        let (x, y, dy) = (values(&x)?, values(&y)?, values(&dy)?);
        let scale = (1.0 / (1.0 - p)) as f32;
        let mut kept = 0;
        for i in 0..N {
            if y[i] == 0.0 {
                assert_eq!(dx[i], 0.0, "a dropped value has no gradient");
            } else {
                kept += 1;
                assert_eq!((y[i], dx[i]), (x[i] * scale, dy[i] * scale));
            }
        }
        // Five standard deviations of the number of survivors.
        let (mean, deviation) = (N as f64 * (1.0 - p), (N as f64 * p * (1.0 - p)).sqrt());
        assert!((f64::from(kept) - mean).abs() < 5.0 * deviation, "p = {p}: {kept} kept of {N}");
    }
    Ok(())
}

#[test]
fn dropout_is_a_function_of_its_stream() -> Result<()> {
    let x = Tensor::from_vec(vec![1f32; 1000], 1000, &Device::Cpu)?;
    let run = |seed| values(&dropout(&x, 0.5, &mut stream(seed, "dropout", 0))?);
    assert_eq!(run(1)?, run(1)?);
    assert_ne!(run(1)?, run(2)?);
    // Nothing is drawn, so nothing shifts, where nothing is dropped.
    let (mut used, mut fresh) = (stream(1, "dropout", 0), stream(1, "dropout", 0));
    assert_eq!(values(&dropout(&x, 0.0, &mut used)?)?, values(&x)?);
    assert_eq!(
        dropout(&x, 0.5, &mut used)?.to_vec1::<f32>()?,
        dropout(&x, 0.5, &mut fresh)?.to_vec1::<f32>()?
    );
    Ok(())
}
