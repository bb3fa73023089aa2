//! Sharpness as the power of high spatial frequencies.
//!
//! Squared error rewards averages of all plausible images, and averages are smooth: fine detail is
//! missing (paper, section 1). The share of the originals' high-frequency power that
//! reconstructions keep makes this a number: 100 % is as much fine detail as in the originals,
//! whether or not it is in the right place; below is blur, above is noise or ringing.
//!
//! The power is that of the brightness' Fourier transform under a Hann window (which keeps the jump
//! between opposite edges out of the high frequencies), summed over a band of radial frequencies.

use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use deepsim_nets::{Images, PixelFormat};
use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::luma;
use crate::EvalError;
use crate::arrays::numbers;

/// High frequencies: above a quarter of a cycle per pixel, i.e. details finer than four pixels.
pub const HIGH: Range<f64> = 0.25..1.0;

/// Middle frequencies: details of four to eight pixels.
pub const MIDDLE: Range<f64> = 0.125..0.25;

/// The bands that [`power`] sums over, in words: [`HIGH`], then [`MIDDLE`].
pub const BANDS: [&str; 2] = ["above 1/4 cycle per pixel", "1/8 to 1/4 cycle per pixel"];

/// Height and width from which high frequencies are more than the window's own.
pub const LEAST_SIDE: usize = 4;

/// Power spectra of images of one size.
#[derive(Clone)]
pub struct Spectrum {
    height: usize,
    width: usize,
    window: Vec<f64>,
    rows: Arc<dyn Fft<f64>>,
    columns: Arc<dyn Fft<f64>>,
}

impl std::fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spectrum({} x {})", self.height, self.width)
    }
}

impl Spectrum {
    /// Prepares for images of `height` x `width` pixels, both at least 1.
    pub fn new(height: usize, width: usize) -> Self {
        let hann = |i: usize, n: usize| 0.5 - 0.5 * (TAU * i as f64 / n as f64).cos();
        let window: Vec<f64> =
            (0..height * width).map(|i| hann(i / width, height) * hann(i % width, width)).collect();
        let mut planner = FftPlanner::new();
        let (rows, columns) = (planner.plan_fft_forward(width), planner.plan_fft_forward(height));
        Self { height, width, window, rows, columns }
    }

    /// Power of an image in each of `bands` (cycles per pixel, start included), normalised so that
    /// white noise has its variance as power over all frequencies but 0.
    ///
    /// # Shapes
    /// `H * W` numbers, row-major; what is beyond is ignored
    pub fn power<const N: usize>(&self, luma: &[f32], bands: &[Range<f64>; N]) -> [f64; N] {
        let mut power = [0.0; N];
        self.each(luma, |value, [y, x], _| {
            let radius = x.hypot(y);
            for (sum, band) in power.iter_mut().zip(bands) {
                if band.contains(&radius) {
                    *sum += value;
                }
            }
        });
        power
    }

    /// Calls `each` with the power at every frequency but 0, normalised as in [`Spectrum::power`], the vertical and
    /// horizontal frequency, and the least frequencies that the window does not tell from half a cycle per pixel.
    pub(super) fn each(&self, luma: &[f32], mut each: impl FnMut(f64, [f64; 2], [f64; 2])) {
        let (height, width) = (self.height, self.width);
        let n = (height * width) as f64;
        // Taking the mean away first keeps it from leaking into low frequencies.
        let mean = luma.iter().take(height * width).map(|&v| f64::from(v)).sum::<f64>() / n;
        let mut values: Vec<Complex<f64>> = (luma.iter().zip(&self.window))
            .map(|(&value, window)| Complex::new((f64::from(value) - mean) * window, 0.0))
            .collect();
        self.rows.process(&mut values);
        let mut transposed: Vec<Complex<f64>> =
            (0..height * width).map(|i| values[i % height * width + i / height]).collect();
        self.columns.process(&mut transposed);

        let frequency = |index: usize, n: usize| index.min(n - index) as f64 / n as f64;
        let gain: f64 = self.window.iter().map(|w| w * w).sum::<f64>() * n;
        // The window spreads a frequency over its neighbours.
        let half = [height, width].map(|n| 0.5 - 1.5 / n as f64);
        for (index, value) in transposed.iter().enumerate().skip(1) {
            let (x, y) = (frequency(index / height, width), frequency(index % height, height));
            each(value.norm_sqr() / gain, [y, x], half);
        }
    }
}

/// Power of the brightness of every image in [`BANDS`].
///
/// # Shapes
/// `(N, 3, H, W)` -> `N`
///
/// # Errors
/// If the images cannot be read back from their device.
pub fn power(images: &Images) -> Result<Vec<[f64; 2]>, EvalError> {
    let (height, width) = (images.height(), images.width());
    let spectrum = Spectrum::new(height, width);
    let rgb = numbers(images.convert(PixelFormat::RGB_U8)?.tensor())?;
    Ok(rgb
        .par_chunks_exact(3 * height * width)
        .map(|image| spectrum.power(&luma::from_planes(image), &[HIGH, MIDDLE]))
        .collect())
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::{normal, stream};

    use super::*;

    fn wave(height: usize, width: usize, fy: f64, fx: f64) -> Vec<f32> {
        let phase = |i: usize| TAU * (fy * (i / width) as f64 + fx * (i % width) as f64);
        (0..height * width).map(|i| (100.0 + 10.0 * phase(i).sin()) as f32).collect()
    }

    #[test]
    fn a_wave_has_half_its_squared_amplitude_in_its_own_band_only() {
        for (height, width) in [(64, 64), (64, 96), (40, 72)] {
            let spectrum = Spectrum::new(height, width);
            for (fy, fx, band) in
                [(0.375, 0.0, 0), (0.25, 0.25, 0), (0.125, 0.125, 1), (0.0, 0.1875, 1)]
            {
                // Whole numbers of periods and of windows' lobes away from the bands' edges.
                let power = spectrum.power(&wave(height, width, fy, fx), &[HIGH, MIDDLE]);
                assert!(
                    (power[band] / 50.0 - 1.0).abs() < 0.01,
                    "{height}x{width} {fy} {fx}: {power:?}"
                );
                assert!(power[1 - band] < 0.5, "{height}x{width} {fy} {fx}: {power:?}");
            }
        }
    }

    #[test]
    fn white_noise_has_its_variance_spread_evenly() {
        let spectrum = Spectrum::new(64, 64);
        let bands = [0.001..1.0, HIGH];
        let noise = normal(&mut stream(0, "test", 0), 64 * 64 * 50, 3.0);
        let mut sums = [0.0; 2];
        for image in noise.chunks_exact(64 * 64) {
            let power = spectrum.power(image, &bands);
            sums.iter_mut().zip(power).for_each(|(sum, power)| *sum += power / 50.0);
        }
        assert!((sums[0] / 9.0 - 1.0).abs() < 0.03, "{sums:?}");
        // The square except a disc of radius 1/4 in the unit square of frequencies.
        let share = 1.0 - std::f64::consts::PI / 16.0;
        assert!((sums[1] / sums[0] / share - 1.0).abs() < 0.02, "{sums:?}");
    }

    #[test]
    fn blur_lowers_it_and_flat_or_shifted_images_do_what_they_should() {
        let spectrum = Spectrum::new(64, 64);
        let image = normal(&mut stream(1, "test", 0), 64 * 64, 20.0);
        let blurred: Vec<f32> =
            (0..64 * 64).map(|i| (image[i] + image[i / 64 * 64 + (i + 1) % 64]) / 2.0).collect();
        let power = |image: &[f32]| spectrum.power(image, &[HIGH])[0];
        assert!(power(&blurred) < 0.6 * power(&image));
        assert_eq!(power(&[77.0; 64 * 64]), 0.0);
        let brighter: Vec<f32> = image.iter().map(|v| v + 32.0).collect();
        assert!((power(&brighter) / power(&image) - 1.0).abs() < 1e-4);
    }
}
