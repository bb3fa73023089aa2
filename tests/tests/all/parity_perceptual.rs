//! Perceptual distances: LPIPS against its authors' package, and the paper's feature distance over
//! several taps, with made-up trunks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use deepsim_data::Dataset;
use deepsim_eval::measure::{self, Context as Run, Model, Sampling};
use deepsim_eval::metrics::lpips::{Lpips, LpipsNet};
use deepsim_loss::{Distances, PerceptualDistance, TapDistance, Upsampling};
use deepsim_nets::{Autoencoder, AutoencoderConfig, ComparatorKind, Images, PixelFormat};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

use crate::support::{Errors, Fixture, Weight, write_weights};

const TOLERANCE: f64 = 1e-5;

type Tables = BTreeMap<String, Vec<Weight>>;

fn fixture() -> Result<(Fixture, Tables)> {
    let fixture = Fixture::open("perceptual.safetensors")?;
    let tables = fixture.note("weights")?;
    Ok((fixture, tables))
}

/// The published heads of a network, as a file of `deepsim_eval`.
fn write_heads(fixture: &Fixture, net: &str, count: usize, path: &Path) -> Result<()> {
    let heads = (0..count).map(|i| {
        let values = fixture.f32(&format!("{net}/lin{i}"))?;
        Ok((format!("lin{i}.weight"), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
    });
    let heads = heads.collect::<Result<Vec<(String, Vec<u8>)>>>()?;
    let views = heads
        .iter()
        .map(|(name, bytes)| Ok((name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(serialize_to_file(views, None, path)?)
}

/// Trunk and heads, as files in a folder of weights.
fn write_files(
    fixture: &Fixture,
    tables: &Tables,
    net: LpipsNet,
    name: &str,
    folder: &Path,
) -> Result<()> {
    let trunk = folder.join(format!("{}.safetensors", net.trunk().name()));
    let table = format!("lpips/{name}");
    write_weights(&trunk, &table, tables.get(&table).context("no weights")?)?;
    write_heads(fixture, name, net.taps().len(), &folder.join(format!("{net}.safetensors")))
}

/// A pair of pictures; the first is a leaf in `format`.
fn pair(fixture: &Fixture, name: &str, format: PixelFormat) -> Result<(Var, Images, Images)> {
    let a = fixture.images(&format!("{name}/a"), format)?;
    let leaf = Var::from_tensor(a.tensor())?;
    let output = Images::new(leaf.as_tensor().clone(), format)?;
    Ok((leaf, output, fixture.images(&format!("{name}/b"), format)?))
}

/// Values per sample and layer, and the gradient of their mean.
fn compare(
    errors: &mut Errors,
    fixture: &Fixture,
    name: &str,
    distances: &Distances,
    leaf: &Var,
) -> Result<()> {
    let wanted = |part: &str| fixture.tensor(&format!("{name}/{part}"));
    let value = distances.per_sample()?;
    errors.tensor("per sample", &value, &wanted("value")?)?;
    for (i, (tap, layer)) in distances.per_tap()?.into_iter().enumerate() {
        // Each layer is compared alone, because one may be a thousand times another.
        let wanted = wanted("layers")?.narrow(1, i, 1)?.squeeze(1)?;
        errors.tensor(&tap, &layer, &wanted)?;
    }
    let gradients = value.mean_all()?.backward()?;
    let gradient = gradients.get(leaf).context("no gradient at the images")?;
    errors.tensor("gradient", gradient, &wanted("gradient")?)
}

fn map(distances: &Distances, upsampling: Upsampling) -> Result<Tensor> {
    Ok(distances.map(upsampling)?)
}

#[test]
fn lpips_equals_the_authors_package() -> Result<()> {
    let (fixture, tables) = fixture()?;
    for (net, name) in
        [(LpipsNet::Alex, "alex"), (LpipsNet::Squeeze, "squeeze"), (LpipsNet::Vgg, "vgg")]
    {
        let folder = tempfile::tempdir()?;
        write_files(&fixture, &tables, net, name, folder.path())?;
        let lpips = Lpips::open(net, folder.path(), &Device::Cpu)?;
        assert!(lpips.is_trained(), "both files were found");

        // A gradient through thirteen convolutions has more rounding errors.
        let deep = net == LpipsNet::Vgg;
        let mut errors = Errors::below(if deep { 3.0 * TOLERANCE } else { TOLERANCE });
        let (leaf, a, b) = pair(&fixture, name, PixelFormat::RGB_U8)?;
        let distances = lpips.between(&a, &b)?;
        compare(&mut errors, &fixture, name, &distances, &leaf)?;
        let wanted = fixture.tensor(&format!("{name}/map"))?;
        errors.tensor("map", &map(&distances, Upsampling::Bilinear)?, &wanted)?;
        // In any format, pixels are the same.
        let (_, a, b) = pair(&fixture, name, PixelFormat::CAFFE_BGR)?;
        let wanted = fixture.tensor(&format!("{name}/value"))?;
        errors.tensor("from BGR", &lpips.per_sample(&a, &b)?, &wanted)?;
        errors.settle(net.name());
    }
    Ok(())
}

#[test]
fn lpips_of_a_run_is_the_mean_over_its_images() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let (net, device, folder) = (LpipsNet::Squeeze, Device::Cpu, tempfile::tempdir()?);
    Autoencoder::new(AutoencoderConfig::default(), 3, &device)?
        .save(&folder.path().join("generator.safetensors"))?;
    let dataset = Dataset::open(None, 0)?;
    let sampling = Sampling { test_images: Some(5), batch: 2, ..Sampling::default() };
    let weights = folder.path();
    let model = Model::open(weights, Some(weights), &device)?;
    let context = Run::new(&model, weights, &dataset, Some(weights), &sampling, &device);
    let measure = measure::by_name("lpips")?.with(&[])?;
    let message = measure.take(&context).err().context("no weights yet")?.to_string();
    assert!(message.contains("lpips-alex.safetensors"), "{message}");

    write_files(&fixture, &tables, net, "squeeze", weights)?;
    let rows = measure.take(&context)?;
    let (a, b) = context.reconstructions()?.images(0..5)?;
    let wanted = Lpips::open(net, weights, &device)?.per_sample(&b, &a)?.to_vec1::<f32>()?;
    let wanted = f64::from(wanted.iter().sum::<f32>()) / 5.0;
    let got = rows[0].value.context("no value")?;
    assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].samples), (1, "lpips-squeeze", Some(5)));
    assert!(wanted > 0.0 && (got / wanted - 1.0).abs() < 1e-5, "{got} is not {wanted}");
    Ok(())
}

#[test]
fn the_feature_distance_over_several_taps_equals_pytorch() -> Result<()> {
    let (fixture, tables) = fixture()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    let table = "deepsim/caffenet";
    write_weights(&path, table, tables.get(table).context("no weights")?)?;
    let net = ComparatorKind::caffenet().open(Some(&path), 0, &Device::Cpu)?;
    let taps: Vec<(String, f64)> = fixture.note("taps")?;
    assert_eq!(taps.len(), 3);
    let taps = taps.into_iter().map(|(tap, weight)| TapDistance::deepsim(tap, weight)).collect();
    let distance = PerceptualDistance::new(net, taps)?;

    let mut errors = Errors::below(TOLERANCE);
    let (leaf, a, b) = pair(&fixture, "deepsim", PixelFormat::CAFFE_BGR)?;
    let distances = distance.between(&a, &distance.targets(&b)?)?;
    compare(&mut errors, &fixture, "deepsim", &distances, &leaf)?;
    for (mode, upsampling) in [("nearest", Upsampling::Nearest), ("bilinear", Upsampling::Bilinear)]
    {
        let wanted = fixture.tensor(&format!("deepsim/{mode}"))?;
        errors.tensor(mode, &map(&distances, upsampling)?, &wanted)?;
    }
    errors.settle("feature distance");
    Ok(())
}
