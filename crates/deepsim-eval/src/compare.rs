//! All distances of two pictures at once.

use std::path::Path;

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_nets::{Comparator, Images, PixelFormat};

use crate::EvalError;
use crate::luma;
use crate::measure::Row;
use crate::measure::context::{Space, is_random, numbers, open_comparator};
use crate::pixels::{peak_signal_to_noise, root_mean_square_error};
use crate::sharpness::{HIGH, Spectrum};
use crate::ssim::structural_similarity;
use crate::statistics::{euclidean_distance, norm};

/// Distances of picture `b` from picture `a`, in image space and in feature spaces.
///
/// A feature distance is relative: `||C(a) - C(b)|| / ||C(a)||`, in percent. Comparators whose
/// weights are not found in `weights` are random, and their rows say so.
///
/// # Errors
/// If the pictures differ in size or are too small for a comparator, or weights do not fit.
pub fn compare(
    a: &Picture,
    b: &Picture,
    weights: Option<&Path>,
    device: &Device,
) -> Result<Vec<Row>, EvalError> {
    let (height, width) = (a.height, a.width);
    if (b.height, b.width) != (height, width) {
        return Err(EvalError::input(
            "compare",
            format!("two pictures of {width}x{height} pixels"),
            format!("the second of {}x{}", b.width, b.height),
        ));
    }
    let error = root_mean_square_error(&a.rgb, &b.rgb);
    let mut rows = vec![
        Row::new("root mean square error", error, "grey levels", "over all pixels and channels"),
        Row::new("peak signal-to-noise ratio", peak_signal_to_noise(error), "dB", "peak 255"),
    ];
    let (luma_a, luma_b) = (luma::from_interleaved(&a.rgb), luma::from_interleaved(&b.rgb));
    if let Some(value) = structural_similarity(&luma_a, &luma_b, height, width) {
        rows.push(Row::new("structural similarity", value, "", "brightness, 11x11 Gaussian"));
    }
    let spectrum = Spectrum::new(height, width);
    let power = |luma: &[f32]| spectrum.power(luma, &[HIGH])[0];
    let sharpness = 100.0 * power(&luma_b) / power(&luma_a);
    rows.push(Row::new("high-frequency power", sharpness, "%", "of the first picture's"));

    let images = |picture: &Picture| {
        let format = PixelFormat::CAFFE_BGR;
        Images::from_u8(&picture.to_planes(), 1, height, width, format, device)
    };
    let (a, b) = (images(a)?, images(b)?);
    for space in Space::standard() {
        let net = open_comparator(space.comparator, weights, device)?;
        rows.push(relative_distance(&*net, &space.tap, &a, &b)?);
    }
    Ok(rows)
}

/// Relative distance of the features of two images, `||C(a) - C(b)|| / ||C(a)||`, in percent.
///
/// # Shapes
/// Two times `(1, 3, H, W)`
///
/// # Errors
/// If there is no such tap, or the images do not fit.
pub fn relative_distance(
    net: &dyn Comparator,
    tap: &str,
    a: &Images,
    b: &Images,
) -> Result<Row, EvalError> {
    let (of_a, of_b) = (numbers(&net.features(a, tap)?)?, numbers(&net.features(b, tap)?)?);
    let distance = 100.0 * euclidean_distance(&of_a, &of_b) / norm(&of_a);
    let random = if is_random(net) { ", random weights" } else { "" };
    let name = format!("{} {tap} feature space{random}", net.name());
    Ok(Row::new(name, distance, "%", format!("of the norm; {}", net.origin())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_have_no_distance_and_other_sizes_are_refused() -> Result<(), EvalError> {
        let rgb = (0..64 * 64 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let a = Picture { width: 64, height: 64, rgb };
        let value = |rows: &[Row], name: &str| {
            rows.iter().find(|row| row.name.starts_with(name)).and_then(|row| row.value)
        };
        let rows = compare(&a, &a, None, &Device::Cpu)?;
        assert_eq!(value(&rows, "root mean square"), Some(0.0));
        assert_eq!(value(&rows, "peak signal"), None, "infinite, so not a number in JSON");
        assert_eq!(value(&rows, "structural"), Some(1.0));
        assert_eq!(value(&rows, "alexnet"), Some(0.0));

        let flat = Picture::new(64, 64, [128; 3]);
        let rows = compare(&a, &flat, None, &Device::Cpu)?;
        assert!(value(&rows, "root mean square").is_some_and(|v| v > 50.0));
        assert_eq!(value(&rows, "high-frequency"), Some(0.0));
        assert!(value(&rows, "alexnet").is_some_and(|v| v > 0.0));

        let small = Picture::new(64, 32, [0; 3]);
        let message = compare(&a, &small, None, &Device::Cpu)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(message.contains("64x64") && message.contains("32x64"), "{message}");
        Ok(())
    }
}
