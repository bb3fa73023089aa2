//! Every network with made-up weights against PyTorch in double precision.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Var};
use deepsim_loss::objective::backward_from;
use deepsim_nets::{
    Autoencoder, AutoencoderConfig, Comparator, ComparatorKind, ComparatorSpec, Discriminator,
    DiscriminatorConfig, Images, PixelFormat,
};

use crate::programs::workspace;
use crate::support::{Errors, Fixture, Weight, fill, uniform, write_weights};

/// Largest error allowed, relative to the largest value of a tensor.
const TOLERANCE: f64 = 1e-5;

type Tables = BTreeMap<String, Vec<Weight>>;

fn fixture() -> Result<(Fixture, Tables)> {
    let fixture = Fixture::open("networks.safetensors")?;
    let tables = fixture.note("weights")?;
    Ok((fixture, tables))
}

/// A comparator with the fixture's weights, through a weight file as a user gives one.
pub(crate) fn comparator(kind: &ComparatorKind, tables: &Tables) -> Result<Box<dyn Comparator>> {
    open(kind, kind.name(), tables)
}

fn open(kind: &ComparatorKind, name: &str, tables: &Tables) -> Result<Box<dyn Comparator>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, name, tables.get(name).context("no weights")?)?;
    Ok(kind.open(Some(&path), 0, &Device::Cpu)?)
}

#[test]
fn autoencoder_equals_pytorch() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let net = Autoencoder::new(AutoencoderConfig::default(), 0, &Device::Cpu)?;
    fill(net.params(), "autoencoder", &tables["autoencoder"])?;
    let mut errors = Errors::below(TOLERANCE);
    for size in ["square", "wide"] {
        // Given in any format, pixels are the same.
        for format in [PixelFormat::CAFFE_BGR, PixelFormat::RGB_U8] {
            let images = fixture.images(&format!("autoencoder/{size}/rgb"), format)?;
            let code = net.encode(&images)?;
            let name = format!("{size}/code");
            errors.tensor(&name, &code, &fixture.tensor(&format!("autoencoder/{name}"))?)?;
            let output = net.forward(&images)?;
            assert_eq!(output.format(), PixelFormat::CAFFE_BGR);
            let name = format!("{size}/output");
            let wanted = fixture.tensor(&format!("autoencoder/{name}"))?;
            errors.tensor(&name, output.tensor(), &wanted)?;
        }
    }
    errors.settle("autoencoder");
    Ok(())
}

#[test]
fn discriminator_equals_pytorch() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let net = Discriminator::new(DiscriminatorConfig::default(), None, 0, &Device::Cpu)?;
    fill(net.params(), "discriminator", &tables["discriminator"])?;
    let mut errors = Errors::below(TOLERANCE);
    for size in ["square", "wide"] {
        let name = format!("discriminator/{size}");
        let images = fixture.images(&format!("{name}/rgb"), PixelFormat::CAFFE_BGR)?;
        let wanted = fixture.tensor(&format!("{name}/logits"))?;
        errors.tensor(size, &net.forward(&images, None, None)?, &wanted)?;
        errors.tensor(size, &net.frozen().forward(&images, None, None)?, &wanted)?;
    }
    errors.settle("discriminator");
    Ok(())
}

#[test]
fn comparators_equal_pytorch_at_every_tap_and_in_their_gradient() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let kinds = [
        ComparatorKind::alexnet(),
        ComparatorKind::caffenet(),
        ComparatorKind::exemplar_cnn(),
        ComparatorKind::squeezenet(),
    ];
    for kind in kinds {
        let net = comparator(&kind, &tables)?;
        let name = kind.name();
        let mut errors = Errors::below(TOLERANCE);
        let images = fixture.images(&format!("{name}/rgb"), PixelFormat::CAFFE_BGR)?;
        let leaf = Var::from_tensor(images.tensor())?;
        let images = Images::new(leaf.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
        let mut gradients = 0;
        for tap in net.taps() {
            let key = format!("{name}/{tap}");
            let y = net.features(&images, &tap)?;
            errors.tensor(&tap, &y, &fixture.tensor(&format!("{key}/y"))?)?;
            // Stored for two taps only.
            let Ok(wanted) = fixture.tensor(&format!("{key}/dx")) else { continue };
            gradients += 1;
            let cotangent = uniform(&format!("{key}/cotangent"), y.dims(), 1.0)?;
            let gradient = backward_from(&y, &cotangent)?;
            let gradient = gradient.get(&leaf).context("no gradient at the images")?;
            errors.tensor(&format!("{tap} gradient"), gradient, &wanted)?;
        }
        assert!(gradients > 0, "{name}: no gradient was compared");
        // The network's own format needs no conversion; the features are the same.
        let images = fixture.images(&format!("{name}/rgb"), net.format())?;
        let tap = net.taps().pop().context("no taps")?;
        let wanted = fixture.tensor(&format!("{name}/{tap}/y"))?;
        errors.tensor(&format!("{tap}, own format"), &net.features(&images, &tap)?, &wanted)?;
        errors.settle(name);
    }
    Ok(())
}

#[test]
fn the_two_orders_of_alexnet_differ() -> Result<()> {
    // Guards the comparison above: with these activations the order is not lost in the tolerance.
    let (fixture, tables) = fixture()?;
    let images = fixture.images("alexnet/rgb", PixelFormat::CAFFE_BGR)?;
    let wanted = fixture.tensor("alexnet/CONV1/y")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, "alexnet", &tables["alexnet"])?;
    let other = ComparatorKind::caffenet().open(Some(&path), 0, &Device::Cpu)?;
    let got = other.features(&images, "CONV1")?;
    let error =
        crate::support::relative(&crate::support::values(&got)?, &crate::support::values(&wanted)?);
    assert!(error > 1e-2, "pooling before or after normalising: only {error:.1e} apart");
    Ok(())
}

#[test]
fn whole_networks_equal_pytorch_up_to_their_class_probabilities() -> Result<()> {
    let (fixture, tables) = fixture()?;
    for (kind, taps) in [
        (ComparatorKind::caffenet(), &["FC6", "FC7", "FC8", "PROB"][..]),
        (ComparatorKind::videonet(), &["FC6", "FC7"]),
        (ComparatorKind::alexnet_torchvision(), &["FC6", "FC7", "FC8", "PROB"]),
    ] {
        let name = format!("whole/{}", kind.name());
        let net = open(&kind, &name, &tables)?;
        assert_eq!(net.taps(), kind.taps(), "the file holds the whole network");
        let images = fixture.images(&format!("{name}/rgb"), PixelFormat::RGB_U8)?;
        let mut errors = Errors::below(TOLERANCE);
        for (tap, y) in taps.iter().zip(net.features_at(&images, taps)?) {
            errors.tensor(tap, &y, &fixture.tensor(&format!("{name}/{tap}/y"))?)?;
        }
        errors.settle(&name);
    }
    Ok(())
}

#[test]
fn described_networks_equal_pytorch_at_every_tap_and_in_their_gradient() -> Result<()> {
    let fixture = Fixture::open("described.safetensors")?;
    let tables: Tables = fixture.note("weights")?;
    for name in ["residual", "depthwise"] {
        // The description and the weights, as a user has them: a folder with two files.
        let folder = tempfile::tempdir()?;
        let description = folder.path().join(format!("{name}.toml"));
        std::fs::copy(workspace().join(format!("tests/fixtures/{name}.toml")), &description)?;
        write_weights(&description.with_extension("safetensors"), name, &tables[name])?;
        let kind = ComparatorKind::read(&description)?;
        let net = kind.open(kind.find_weights(None).as_deref(), 0, &Device::Cpu)?;
        assert_eq!(net.taps(), kind.taps(), "the file holds the whole network");
        let pixels = fixture.images(&format!("{name}/rgb"), PixelFormat::RGB_U8)?;
        let leaf = Var::from_tensor(pixels.tensor())?;
        let images = Images::new(leaf.as_tensor().clone(), PixelFormat::RGB_U8)?;
        let mut errors = Errors::below(TOLERANCE);
        for tap in kind.taps() {
            let key = format!("{name}/{tap}");
            let y = net.features(&images, tap)?;
            errors.tensor(tap, &y, &fixture.tensor(&format!("{key}/y"))?)?;
            let cotangent = uniform(&format!("{key}/cotangent"), y.dims(), 1.0)?;
            let gradient = backward_from(&y, &cotangent)?;
            let gradient = gradient.get(&leaf).context("no gradient at the images")?;
            errors.tensor(
                &format!("{tap} gradient"),
                gradient,
                &fixture.tensor(&format!("{key}/dx"))?,
            )?;
        }
        errors.settle(name);
    }
    Ok(())
}

#[test]
fn the_judge_equals_pytorch_at_every_tap_and_in_its_gradient() -> Result<()> {
    let fixture = Fixture::open("efficientnet.safetensors")?;
    let tables: Tables = fixture.note("weights")?;
    let kind = ComparatorKind::efficientnet_lite0();
    // The network as it is, without enlarging small images before it; then with it.
    let plain = ComparatorKind::new(ComparatorSpec { input: None, ..kind.spec().clone() })?;
    for (case, kind, differentiated) in [("plain", plain, "STAGE5"), ("enlarged", kind, "HEAD")] {
        let net = open(&kind, "efficientnet-lite0", &tables)?;
        assert_eq!(net.taps(), kind.taps(), "the file holds the whole network");
        let key = format!("efficientnet-lite0/{case}");
        let pixels = fixture.images(&format!("{key}/rgb"), PixelFormat::RGB_U8)?;
        let leaf = Var::from_tensor(pixels.tensor())?;
        let images = Images::new(leaf.as_tensor().clone(), PixelFormat::RGB_U8)?;
        let mut errors = Errors::below(TOLERANCE);
        let mut stored = 0;
        for tap in kind.taps() {
            let Ok(wanted) = fixture.tensor(&format!("{key}/{tap}/y")) else { continue };
            stored += 1;
            let y = net.features(&images, tap)?;
            errors.tensor(tap, &y, &wanted)?;
            if tap != differentiated {
                continue;
            }
            let cotangent = uniform(&format!("{key}/{tap}/cotangent"), y.dims(), 1.0)?;
            let gradient = backward_from(&y, &cotangent)?;
            let gradient = gradient.get(&leaf).context("no gradient at the images")?;
            let wanted = fixture.tensor(&format!("{key}/{tap}/dx"))?;
            errors.tensor(&format!("{tap} gradient"), gradient, &wanted)?;
        }
        assert_eq!(stored, if case == "plain" { 11 } else { 2 });
        errors.settle(&key);
    }
    Ok(())
}
