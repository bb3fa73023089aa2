//! VGG16, VGG19 and ResNet-18 with made-up weights against torchvision's modules in double precision.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use deepsim_loss::objective::backward_from;
use deepsim_nets::layers::Op;
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};

use crate::support::{
    Errors, Fixture, Weight, indices, relative, uniform, values, words, write_weights,
};

/// Largest error allowed, relative to the largest value of a tensor.
const TOLERANCE: f64 = 1e-5;

type Tables = BTreeMap<String, Vec<Weight>>;

fn fixture() -> Result<(Fixture, Tables)> {
    let fixture = Fixture::open("torchvision_nets.safetensors")?;
    let tables = fixture.note("weights")?;
    Ok((fixture, tables))
}

/// Opens a network with the weights of this name, through a file whose tensors are called as in torchvision or Caffe.
fn open(kind: &ComparatorKind, name: &str, tables: &Tables) -> Result<Box<dyn Comparator>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, name, tables.get(name).context("no weights")?)?;
    Ok(kind.open(Some(&path), 0, &Device::Cpu)?)
}

/// Compares the values of a feature that are stored.
fn compare(errors: &mut Errors, fixture: &Fixture, key: &str, tap: &str, y: &Tensor) -> Result<()> {
    let wanted = fixture.f32(&format!("{key}/{tap}/y"))?;
    let all = values(y)?;
    let positions = indices(&format!("{key}/{tap}/positions"), wanted.len(), all.len());
    let found: Vec<f32> = positions.into_iter().map(|at| all[at]).collect();
    errors.add(tap, relative(&found, wanted));
    Ok(())
}

/// Compares all taps of a network, and its gradients at the image: `gradients` of them are stored.
fn compare_all(kind: &ComparatorKind, taps: &[&str], gradients: usize) -> Result<()> {
    let (fixture, tables) = fixture()?;
    let key = kind.name();
    let net = open(kind, key, &tables)?;
    assert_eq!(net.taps(), taps, "{key}");
    let pixels = fixture.images(&format!("{key}/rgb"), PixelFormat::RGB_U8)?;
    let leaf = Var::from_tensor(pixels.tensor())?;
    let images = Images::new(leaf.as_tensor().clone(), PixelFormat::RGB_U8)?;
    let mut errors = Errors::below(TOLERANCE);
    for (tap, y) in taps.iter().zip(net.features_at(&images, taps)?) {
        compare(&mut errors, &fixture, key, tap, &y)?;
        let Ok(wanted) = fixture.tensor(&format!("{key}/{tap}/dx")) else { continue };
        let cotangent = uniform(&format!("{key}/{tap}/cotangent"), y.dims(), 1.0)?;
        let gradient = backward_from(&y, &cotangent)?;
        let gradient = gradient.get(&leaf).context("no gradient at the images")?;
        errors.tensor(&format!("{tap} gradient"), gradient, &wanted)?;
    }
    assert_eq!(errors.len(), taps.len() + gradients, "{key}");
    errors.settle(key);
    Ok(())
}

/// Taps of the convolutional part.
fn convolutional(kind: &ComparatorKind) -> Vec<&str> {
    let mut taps = kind.taps();
    taps.retain(|tap| tap.starts_with("relu") || tap.starts_with("pool"));
    taps
}

#[test]
fn vgg_equals_torchvision_at_every_tap_and_in_its_gradient() -> Result<()> {
    for (kind, count) in [(ComparatorKind::vgg16(), 18), (ComparatorKind::vgg19(), 21)] {
        let taps = convolutional(&kind);
        assert_eq!(taps.len(), count);
        compare_all(&kind, &taps, 3)?;
    }
    Ok(())
}

#[test]
fn vgg_of_caffe_takes_bgr_and_rounds_up() -> Result<()> {
    let kind = ComparatorKind::vgg16_caffe();
    compare_all(&kind, &convolutional(&kind), 3)
}

#[test]
fn resnet_equals_torchvision_at_every_tap_and_in_its_gradient() -> Result<()> {
    let kind = ComparatorKind::resnet18();
    compare_all(&kind, &kind.taps(), 3)
}

#[test]
fn vggs_fully_connected_layers_equal_torchvisions() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let key = "vgg16/head";
    // The real ones hold half a gigabyte. Names, order and everything but the widths are those of the table.
    let mut spec = ComparatorKind::vgg16().spec().clone();
    let mut widths = [24, 20, 10].into_iter();
    for layer in &mut spec.layers {
        if let Op::Linear(width, _) = &mut layer.op {
            *width = widths.next().context("three fully connected layers")?;
        }
    }
    let net = open(&ComparatorKind::new(spec)?, key, &tables)?;
    let rgb: Vec<u8> =
        words(&format!("{key}/rgb"), 3 * 224 * 224).map(|word| (word >> 56) as u8).collect();
    let images = Images::from_u8(&rgb, 1, 224, 224, PixelFormat::RGB_U8, &Device::Cpu)?;
    let taps = ["FC6", "FC7", "FC8", "PROB"];
    let mut errors = Errors::below(TOLERANCE);
    for (tap, y) in taps.iter().zip(net.features_at(&images, &taps)?) {
        errors.tensor(tap, &y, &fixture.tensor(&format!("{key}/{tap}/y"))?)?;
    }
    errors.settle(key);
    // Other sizes reach the fully connected layers with other maps.
    let small = Images::from_u8(&rgb[..3 * 64 * 64], 1, 64, 64, PixelFormat::RGB_U8, &Device::Cpu)?;
    let message = net.features(&small, "FC6").err().context("64 pixels")?.to_string();
    assert!(message.contains("expected sides of 224 to 255 pixels, found 64"), "{message}");
    Ok(())
}
