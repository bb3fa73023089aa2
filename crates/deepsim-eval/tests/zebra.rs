//! The paper's argument against distances in image space (v1, section 2): a grey picture is nearer
//! to a zebra than the same zebra is whose stripes have moved by one stripe.

use candle_core::Device;
use deepsim_eval::metrics::sharpness::{HIGH, MIDDLE, Spectrum};
use deepsim_eval::metrics::statistics::euclidean_distance;
use deepsim_eval::metrics::{euclidean, luma};
use deepsim_nets::{ComparatorKind, Images, NetError, PixelFormat};

const SIDE: usize = 64;

/// Vertical stripes, each `width` pixels wide, moved by `shift` pixels.
fn zebra(width: usize, shift: usize) -> Vec<u8> {
    let pixel = |i: usize| 60 + 120 * ((i % SIDE + shift) / width % 2) as u8;
    (0..3 * SIDE * SIDE).map(pixel).collect()
}

fn images(pictures: &[&[u8]]) -> Result<Images, NetError> {
    let (n, format) = (pictures.len(), PixelFormat::CAFFE_BGR);
    Images::from_u8(&pictures.concat(), n, SIDE, SIDE, format, &Device::Cpu)
}

fn rows(tensor: &candle_core::Tensor) -> Result<Vec<Vec<f32>>, NetError> {
    Ok(tensor.flatten_from(1)?.to_vec2()?)
}

/// How much farther grey is than the moved zebra.
fn grey_over_moved(rows: &[Vec<f32>]) -> f64 {
    euclidean_distance(&rows[0], &rows[2]) / euclidean_distance(&rows[0], &rows[1])
}

#[test]
fn pixels_prefer_grey_and_features_prefer_the_zebra() -> Result<(), NetError> {
    let grey = vec![120; 3 * SIDE * SIDE];
    // Random weights: it is the architecture, with its pooling, that does not mind a small shift.
    // Each network at a scale of stripes that its receptive fields span; coarser ones it sees
    // stripe by stripe, as pixels do.
    for (kind, tap, width) in [
        (ComparatorKind::alexnet(), "CONV2", 8),
        (ComparatorKind::alexnet(), "CONV5", 8),
        (ComparatorKind::exemplar_cnn(), "CONV3", 4),
        (ComparatorKind::squeezenet(), "FIRE9", 8),
    ] {
        let images = images(&[&zebra(width, 0), &zebra(width, width), &grey])?;
        let pixels = grey_over_moved(&rows(images.tensor())?);
        assert!((pixels - 0.5).abs() < 1e-6, "grey is half as far in image space, found {pixels}");
        let net = kind.open(None, 0, &Device::Cpu)?;
        let features = grey_over_moved(&rows(&net.features(&images, tap)?)?);
        assert!(features > 1.5, "{} {tap}: grey is only {features} times as far", kind.name());
    }
    Ok(())
}

#[test]
fn the_normalised_error_shares_the_weakness_and_sharpness_does_not() -> Result<(), NetError> {
    let (still, moved, grey) = (zebra(4, 0), zebra(4, 4), vec![120; 3 * SIDE * SIDE]);
    // Test images: zebras at eight places, so that N is a distance between different zebras.
    let tests: Vec<Vec<u8>> = (0..8).map(|shift| zebra(4, shift)).collect();
    let all: Vec<&[u8]> = tests.iter().map(Vec::as_slice).collect();
    let mut samples: Vec<f32> = rows(images(&all)?.tensor())?.concat();
    let pairs = euclidean::mean_pair_distance(&mut samples, 3 * SIDE * SIDE, 0)
        .expect("eight samples of equal length");
    let rows = rows(images(&[&still, &moved, &grey])?.tensor())?;
    let error =
        |i: usize| euclidean::normalised_error(&[euclidean_distance(&rows[0], &rows[i])], &pairs).0;
    assert!(error(1) > 100.0, "the moved zebra is as bad as a random picture: {} %", error(1));
    assert!(error(2) < 75.0, "grey is better than a random picture: {} %", error(2));

    let spectrum = Spectrum::new(SIDE, SIDE);
    let power = |picture: &[u8]| {
        let values: Vec<f32> = picture.iter().map(|&v| v.into()).collect();
        let [high, middle] = spectrum.power(&luma::from_planes(&values), &[HIGH, MIDDLE]);
        high + middle
    };
    assert!((power(&moved) / power(&still) - 1.0).abs() < 0.05, "a moved zebra is as sharp");
    assert!(power(&grey) < 1e-6 * power(&still), "grey is not");
    Ok(())
}
