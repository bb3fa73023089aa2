//! Real weights against activations that OpenCV and an integer implementation computed from them.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_nets::{ChannelOrder, Comparator, ComparatorKind, Images, PixelFormat};

use crate::support::{Errors, Fixture, relative, shared, values};

/// Single precision in both implementations, through five layers and thousands of products each.
const TOLERANCE: f64 = 2e-5;

fn open(kind: ComparatorKind) -> Result<Option<Box<dyn Comparator>>> {
    let Some(folder) = shared("weights") else { return Ok(None) };
    let path =
        kind.find_weights(Some(&folder)).context("the folder of weights has this network's")?;
    Ok(Some(kind.open(Some(&path), 0, &Device::Cpu)?))
}

fn golden(name: &str) -> Result<Option<Fixture>> {
    shared(&format!("golden/{name}.safetensors")).map(|path| Fixture::read(&path)).transpose()
}

/// Values as the network gets them; the file's mean is more precise than Caffe's usual one, so the
/// numbers are passed on as they are.
fn input(values: Tensor) -> Result<Images> {
    Ok(Images::new(values.unsqueeze(0)?, PixelFormat::CAFFE_BGR)?)
}

#[test]
fn alexnet_activations_equal_opencvs() -> Result<()> {
    let Some(net) = open(ComparatorKind::alexnet())? else { return Ok(()) };
    let cases: [(&str, &[&str]); 2] = [
        ("opencv_pelican", &["pool1", "pool2", "relu3", "relu4", "relu5", "pool5"]),
        ("opencv_great_grey_owl", &["pool1", "pool5"]),
    ];
    for (name, rows) in cases {
        let Some(golden) = golden(name)? else { return Ok(()) };
        let images = input(golden.tensor("input")?)?;
        let mut errors = Errors::below(TOLERANCE);
        for row in rows {
            let wanted = golden.tensor(&format!("alexnet.{row}"))?.unsqueeze(0)?;
            errors.tensor(row, &net.features(&images, row)?, &wanted)?;
        }
        // The paper's names are the same layers.
        for (tap, row) in [("CONV1", "pool1"), ("CONV5", "pool5")] {
            let wanted = golden.tensor(&format!("alexnet.{row}"))?.unsqueeze(0)?;
            errors.tensor(tap, &net.features(&images, tap)?, &wanted)?;
        }
        errors.settle(&format!("AlexNet on {name}"));
    }
    Ok(())
}

#[test]
fn the_other_order_does_not_fit_these_weights() -> Result<()> {
    let (Some(folder), Some(golden)) = (shared("weights"), golden("opencv_pelican")?) else {
        return Ok(());
    };
    let path =
        ComparatorKind::alexnet().find_weights(Some(&folder)).context("AlexNet's weights")?;
    let caffenet = ComparatorKind::caffenet().open(Some(&path), 0, &Device::Cpu)?;
    let images = input(golden.tensor("input")?)?;
    let got = values(&caffenet.features(&images, "CONV1")?)?;
    let error = relative(&got, golden.f32("alexnet.pool1")?);
    assert!(error > 100.0 * TOLERANCE, "pooling before normalising is only {error:.1e} off");
    Ok(())
}

#[test]
fn squeezenet_scores_equal_opencvs_and_name_the_animal() -> Result<()> {
    let Some(net) = open(ComparatorKind::squeezenet())? else { return Ok(()) };
    // Positions in the sorted list of ImageNet's classes.
    for (name, class) in [("opencv_pelican", 144), ("opencv_great_grey_owl", 24)] {
        let Some(golden) = golden(name)? else { return Ok(()) };
        let images = input(golden.tensor("input")?)?;
        let scores = net.features(&images, "LOGITS")?;
        let mut errors = Errors::below(TOLERANCE);
        let wanted = golden.tensor("squeezenet.logits")?.unsqueeze(0)?;
        errors.tensor("scores", &scores, &wanted)?;
        if let Ok(wanted) = golden.tensor("squeezenet.pool1") {
            errors.tensor("pool1", &net.features(&images, "POOL1")?, &wanted.unsqueeze(0)?)?;
        }
        errors.settle(&format!("SqueezeNet on {name}"));
        let scores = values(&scores)?;
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        assert_eq!(best, Some(class), "{name}");
    }
    Ok(())
}

#[test]
fn pictures_reach_the_network_in_its_own_order_and_range() -> Result<()> {
    for (file, name) in
        [("11_pelican.png", "opencv_pelican"), ("07_great_grey_owl.png", "opencv_great_grey_owl")]
    {
        let (Some(path), Some(golden)) = (shared(&format!("photos256/{file}")), golden(name)?)
        else {
            return Ok(());
        };
        let picture = Picture::read_png(&path)?;
        let (from, side) = (14, 227);
        let mut planes = Vec::with_capacity(3 * side * side);
        for channel in 0..3 {
            for y in from..from + side {
                for x in from..from + side {
                    planes.push(picture.rgb[(y * picture.width + x) * 3 + channel]);
                }
            }
        }
        let mean = [104.01, 116.67, 122.68];
        let format = PixelFormat { order: ChannelOrder::Bgr, mean, scale: [1.0; 3] };
        let images = Images::from_u8(&planes, 1, side, side, format, &Device::Cpu)?;
        let error = relative(&values(images.tensor())?, golden.f32("input")?);
        assert!(error < 1e-6, "{file}: {error:.1e}");
    }
    Ok(())
}

/// The published activations of the integer network that the weights come from. It cuts off
/// fractions after every layer, so ours can only be expected to rise and fall with them.
#[test]
fn alexnet_follows_the_integer_network_it_comes_from() -> Result<()> {
    let (Some(net), Some(golden)) =
        (open(ComparatorKind::alexnet())?, golden("alexnet_int8_goldfish")?)
    else {
        return Ok(());
    };
    // The golden network takes RGB, (pixel/255 - mean)/std * 32; the weights here take BGR pixels
    // minus a mean.
    let rgb = golden.f32("input_int8_rgb")?;
    let (plane, deviation) = (rgb.len() / 3, [0.229, 0.224, 0.225]);
    let bgr: Vec<f32> = (0..3)
        .rev()
        .flat_map(|c| {
            rgb[c * plane..][..plane].iter().map(move |v| v / 32.0 * 255.0 * deviation[c])
        })
        .collect();
    let images = input(Tensor::from_vec(bgr, (3, 227, 227), &Device::Cpu)?)?;
    for (tensor, row, least) in [
        ("emul.pool1", "pool1", 0.995),
        ("emul.pool2", "pool2", 0.975),
        ("emul.conv3_relu", "relu3", 0.96),
        ("ref.conv4_relu", "relu4", 0.95),
        ("ref.pool5", "pool5", 0.95),
    ] {
        let got = net.features(&images, row)?.squeeze(0)?;
        // Stored with channels last, whatever its shape says.
        let got = if row == "relu3" { got.permute((1, 2, 0))?.contiguous()? } else { got };
        let correlation = correlation(&values(&got)?, golden.f32(tensor)?);
        assert!(correlation > least, "{tensor}: correlation {correlation:.4}, expected {least}");
    }
    Ok(())
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let centred = |values: &[f32]| {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        values.iter().map(|&v| f64::from(v) - mean).collect::<Vec<_>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (centred(a), centred(b));
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}
