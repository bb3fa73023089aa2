//! Real photographs through archive, decoder, preprocessing and a real network: does it recognise as
//! many as it should?

use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::Device;
use deepsim_data::ilsvrc::Ilsvrc;
use deepsim_data::{Crop, Prepared, Source, Transform, read_range};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};

use crate::support::shared;

/// SqueezeNet's accuracy, measured with the same weights on the first 2,000 validation pictures by another
/// implementation.
const TOP1: f64 = 57.95;
const TOP5: f64 = 80.50;
/// Points: 400 pictures are right or wrong within 2.5 (top-1) and 2.0 (top-5) by chance alone.
const TOLERANCE: f64 = 3.0;

/// EfficientNet-Lite0's top-1 accuracy on all 50,000 validation pictures, as its authors state it.
const JUDGE_TOP1: f64 = 75.1;
/// Points: the pictures at hand were stretched to 227x227 and compressed again, and are only 400.
const JUDGE_TOLERANCE: f64 = 5.0;

/// Shares of the validation pictures whose class is the network's first guess, or among its first five, in percent.
fn recognised(net: &dyn Comparator, crop: Crop, side: usize) -> Result<Option<(f64, f64)>> {
    let Some(folder) = shared("ilsvrc-mini") else { return Ok(None) };
    // Copied, because an index is written beside an archive.
    let copy = tempfile::tempdir()?;
    for name in ["ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"] {
        std::fs::copy(folder.join(name), copy.path().join(name))?;
    }
    let files = Arc::new(Ilsvrc::open(copy.path())?.val()?);
    let pictures = Prepared::new(files, Transform::stretch(227, 227));
    let (mut first, mut five, n) = (0, 0, pictures.len());
    assert_eq!(n, 400);
    for start in (0..n).step_by(50) {
        let batch = read_range(&pictures, start..(start + 50).min(n), crop)?;
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&batch.pixels, batch.n, side, side, format, &Device::Cpu)?;
        let rows = net.features(&images, "PROB")?.to_vec2::<f32>()?;
        for (row, sample) in rows.iter().zip(&batch.samples) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4, "probabilities sum to 1");
            let class = sample.label.unwrap_or(u32::MAX) as usize;
            let better = row.iter().filter(|other| **other > row[class]).count();
            first += usize::from(better < 1);
            five += usize::from(better < 5);
        }
    }
    let percent = |count: usize| 100.0 * count as f64 / n as f64;
    Ok(Some((percent(first), percent(five))))
}

#[test]
#[expect(clippy::print_stdout, reason = "the numbers are what people look for")]
fn squeezenet_recognises_validation_pictures_as_often_as_elsewhere() -> Result<()> {
    let Some(weights) = shared("weights") else { return Ok(()) };
    let path = ComparatorKind::squeezenet().find_weights(Some(&weights));
    let net = ComparatorKind::squeezenet().open(path.as_deref(), 0, &Device::Cpu)?;
    let Some((top1, top5)) = recognised(&*net, Crop::Full, 227)? else { return Ok(()) };
    println!("SqueezeNet on 400 validation pictures: top-1 {top1:.2} %, top-5 {top5:.2} %");
    assert!((top1 - TOP1).abs() <= TOLERANCE, "top-1 {top1:.2} %, expected about {TOP1} %");
    assert!((top5 - TOP5).abs() <= TOLERANCE, "top-5 {top5:.2} %, expected about {TOP5} %");
    Ok(())
}

#[test]
#[expect(clippy::print_stdout, reason = "the numbers are what people look for")]
fn the_shipped_judge_recognises_validation_pictures_as_often_as_published() -> Result<()> {
    let kind = ComparatorKind::efficientnet_lite0();
    let path = kind.find_weights(None).context("the shipped weights")?;
    let net = kind.open(Some(&path), 0, &Device::Cpu)?;
    // The size of its training; the border of 1.5 pixels goes.
    let Some((top1, top5)) = recognised(&*net, Crop::Center(224), 224)? else { return Ok(()) };
    println!("EfficientNet-Lite0 on 400 validation pictures: top-1 {top1:.2} %, top-5 {top5:.2} %");
    let apart = (top1 - JUDGE_TOP1).abs();
    assert!(apart <= JUDGE_TOLERANCE, "top-1 {top1:.2} %, expected about {JUDGE_TOP1} %");
    Ok(())
}
