//! Networks that invert features, and their discriminators, against PyTorch in double precision:
//! outputs, and gradients of all weights.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use deepsim_loss::objective::backward_from;
use deepsim_nets::{
    ComparatorKind, Discriminator, DiscriminatorConfig, Images, Inverter, InverterConfig, Params,
    PixelFormat,
};

use crate::support::{
    Errors, Fixture, Weight, fill, indices, relative, relative_norm, uniform, values,
};

/// Largest error allowed of outputs and of a discriminator's gradients, relative to their norm.
const TOLERANCE: f64 = 2e-5;
/// The same of a generator's gradients. Among a hundred thousand values before a leaky ReLU some are so
/// near to 0 that rounding gives them the other slope: PyTorch's own f32 is up to 3.7e-3 away from its
/// f64 in these networks.
const GENERATOR_GRADIENTS: f64 = 5e-3;

fn fixture() -> Result<(Fixture, BTreeMap<String, Vec<Weight>>)> {
    let fixture = Fixture::open("inversion.safetensors")?;
    let tables = fixture.note("weights")?;
    Ok((fixture, tables))
}

/// Compares a tensor's samples and its norm.
fn compare(errors: &mut Errors, fixture: &Fixture, name: &str, got: &Tensor) -> Result<()> {
    let got = values(got)?;
    let samples: usize = fixture.note("samples")?;
    let picked: Vec<f32> = indices(name, samples, got.len()).iter().map(|&i| got[i]).collect();
    errors.add(name, relative_norm(&picked, fixture.f32(name)?));
    let norm = got.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let wanted = fixture.f64(&format!("{name}/norm.f64"))?[0];
    errors.add(format!("norm of {name}"), (norm / wanted - 1.0).abs());
    Ok(())
}

/// Gradients of the product of an output with the fixture's direction.
fn backward(name: &str, output: &Tensor) -> Result<GradStore> {
    let direction = uniform(&format!("{name}/direction"), output.dims(), 1.0)?;
    Ok(backward_from(output, &direction)?)
}

fn gradients(
    errors: &mut Errors,
    fixture: &Fixture,
    name: &str,
    params: &Params,
    gradients: &GradStore,
) -> Result<()> {
    for (weight, var) in params.iter() {
        let gradient = gradients.get(var).with_context(|| format!("no gradient for {weight}"))?;
        compare(errors, fixture, &format!("{name}/gradient/{weight}"), gradient)?;
    }
    Ok(())
}

#[test]
fn inverters_equal_pytorch() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let cases: [(&str, &[usize], usize); 3] =
        [("pool5", &[256, 6, 6], 227), ("vector", &[24], 64), ("small", &[16, 3, 3], 64)];
    for (case, features, side) in cases {
        let name = format!("inverter-{case}");
        let config = InverterConfig::new(ComparatorKind::alexnet(), "CONV5", features, side);
        let net = Inverter::new(config, 0, &Device::Cpu)?;
        fill(net.params(), &name, &tables[&name])?;
        let x = uniform(&format!("{name}/features"), &[&[2], features].concat(), 1.0)?;
        let images = net.forward(&x, None)?;
        assert_eq!(images.tensor().dims(), [2, 3, side, side]);
        let mut errors = Errors::below(TOLERANCE);
        compare(&mut errors, &fixture, &format!("{name}/output"), images.tensor())?;
        errors.settle(&name);
        let mut errors = Errors::below(GENERATOR_GRADIENTS);
        let found = backward(&name, images.tensor())?;
        gradients(&mut errors, &fixture, &name, net.params(), &found)?;
        errors.settle(&name);
        let frozen = values(net.frozen().forward(&x, None)?.tensor())?;
        assert!(relative(&frozen, &values(images.tensor())?) == 0.0, "frozen, it is the same");
    }
    Ok(())
}

#[test]
fn discriminators_for_227_pixels_equal_pytorch() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let rgb = fixture.images("discriminator-227/rgb", PixelFormat::CAFFE_BGR)?;
    for (name, shape) in
        [("discriminator-227", None), ("discriminator-conditional", Some([2, 16, 3, 3]))]
    {
        let features = shape.map(|shape| uniform(&format!("{name}/features"), &shape, 1.0));
        let features = features.transpose()?;
        let conditional = features.is_some();
        let config = DiscriminatorConfig { stride: 4, conditional, ..Default::default() };
        let count = features.as_ref().map(|features| features.elem_count() / 2);
        let net = Discriminator::new(config, count, 0, &Device::Cpu)?;
        fill(net.params(), name, &tables[name])?;
        let leaf = Var::from_tensor(rgb.tensor())?;
        let images = Images::new(leaf.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
        let logits = net.forward(&images, features.as_ref(), None)?;
        let mut errors = Errors::below(TOLERANCE);
        compare(&mut errors, &fixture, &format!("{name}/output"), &logits)?;
        let found = backward(name, &logits)?;
        gradients(&mut errors, &fixture, name, net.params(), &found)?;
        let of_images = found.get(&leaf).context("a gradient of the images")?;
        compare(&mut errors, &fixture, &format!("{name}/gradient/images"), of_images)?;
        errors.settle(name);
    }
    Ok(())
}
