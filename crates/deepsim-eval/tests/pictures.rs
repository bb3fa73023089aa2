//! Distances of pictures against NumPy and SciPy: see `fixtures/make_picture_fixture.py`.

use deepsim_eval::metrics::sharpness::{HIGH, MIDDLE, Spectrum};
use deepsim_eval::metrics::{luma, pixels, ssim};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    root_mean_square_error: f64,
    peak_signal_to_noise: f64,
    structural_similarity: f64,
    high_power: [f64; 2],
    middle_power: [f64; 2],
}

const HEIGHT: usize = 48;
const WIDTH: usize = 40;

/// The two pictures of the fixture, interleaved RGB.
fn pictures() -> (Vec<u8>, Vec<u8>) {
    let mut pair = (Vec::new(), Vec::new());
    for i in 0..HEIGHT * WIDTH * 3 {
        let (y, x, c) = (i / (3 * WIDTH), i / 3 % WIDTH, i % 3);
        let a = (y * 5 + x * 3 + c * 40 + (y / 6 + x / 5) % 2 * 60) % 256;
        let b = (a + (y * 7 + x * 13 + c * 5 + y * x) % 41).saturating_sub(18).min(255);
        pair.0.push(a as u8);
        pair.1.push(b as u8);
    }
    pair
}

#[test]
fn every_distance_agrees_with_numpy() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/pictures.json")).expect("the fixture is valid");
    let (a, b) = pictures();
    let close = |got: f64, wanted: f64, what: &str| {
        assert!((got / wanted - 1.0).abs() < 1e-6, "{what}: {got} against {wanted}");
    };
    let error = pixels::root_mean_square_error(&a, &b);
    close(error, fixture.root_mean_square_error, "RMSE");
    close(pixels::peak_signal_to_noise(error), fixture.peak_signal_to_noise, "PSNR");

    let (a, b) = (luma::from_interleaved(&a), luma::from_interleaved(&b));
    let similarity = ssim::structural_similarity(&a, &b, HEIGHT, WIDTH).expect("large enough");
    close(similarity, fixture.structural_similarity, "SSIM");
    let same = ssim::structural_similarity(&a, &a, HEIGHT, WIDTH).expect("large enough");
    close(same, 1.0, "SSIM of a picture with itself");

    let spectrum = Spectrum::new(HEIGHT, WIDTH);
    for (luma, index) in [(&a, 0), (&b, 1)] {
        let [high, middle] = spectrum.power(luma, &[HIGH, MIDDLE]);
        close(high, fixture.high_power[index], "high-frequency power");
        close(middle, fixture.middle_power[index], "middle-frequency power");
    }
}
