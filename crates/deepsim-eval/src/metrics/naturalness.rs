//! Nearness of spatial frequencies to those of photographs.
//!
//! More high frequencies are not always better: blur has too few of them and noise has too many. The distance of the
//! powers in several bands is 0 where there is as much detail of every size as in the originals, and grows with a
//! lack as with an excess. Generators that end with up-convolutions of stride two draw a grid of that period, which
//! the eye sees at once; its power is compared with that of the frequencies beside it.

use std::ops::Range;

use deepsim_nets::{Images, PixelFormat};
use rayon::prelude::*;

use super::luma;
use super::sharpness::Spectrum;
use crate::EvalError;
use crate::arrays::numbers;

/// Bands of radial frequency, in cycles per pixel: details of 8 to 16, 4 to 8, 2.7 to 4 and below 2.7 pixels.
pub const BANDS: [Range<f64>; 4] = [0.0625..0.125, 0.125..0.25, 0.25..0.375, 0.375..1.0];

/// Power of rounding to bytes: a twelfth of a grey level squared. Added to all powers, so that flat images compare.
const ROUNDING: f64 = 1.0 / 12.0;

/// Powers of the brightness of one image, or sums over several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Powers {
    /// Power in each of [`BANDS`].
    pub bands: [f64; 4],
    /// Power that an image would have if all frequencies had as much as those of period two: half a cycle per pixel
    /// along an axis.
    pub grid: f64,
    /// The same of the other frequencies above 3/8 of a cycle per pixel along an axis.
    pub beside: f64,
}

impl Powers {
    /// Adds the powers of another image.
    pub fn add(&mut self, other: &Self) {
        self.bands.iter_mut().zip(other.bands).for_each(|(sum, power)| *sum += power);
        self.grid += other.grid;
        self.beside += other.beside;
    }

    /// Returns all powers times a factor.
    pub fn scaled(&self, factor: f64) -> Self {
        let bands = self.bands.map(|power| power * factor);
        Self { bands, grid: self.grid * factor, beside: self.beside * factor }
    }

    /// Distance from the powers of an original, in dB: the mean over the bands of the absolute logarithm of their
    /// ratio. 0 means equal, 3 a factor of two, in either direction.
    ///
    /// ```
    /// use deepsim_eval::metrics::naturalness::Powers;
    /// let powers = |power: f64| Powers { bands: [power; 4], grid: 0.0, beside: 0.0 };
    /// let distance = |power| powers(power).distance(&powers(100.0));
    /// assert!(distance(100.0) == 0.0 && (distance(200.0) - 3.01).abs() < 0.01);
    /// assert!((distance(50.0) - distance(200.0)).abs() < 0.01);
    /// ```
    pub fn distance(&self, original: &Self) -> f64 {
        let bands = self.bands.iter().zip(original.bands);
        let logs = bands.map(|(a, b)| decibel(a + ROUNDING, b + ROUNDING).abs());
        logs.sum::<f64>() / self.bands.len() as f64
    }

    /// Power of the grid of period two beside that of its neighbours, against the same of the originals, in dB: about
    /// 0 without a grid.
    pub fn grid_excess(&self, originals: &Self) -> f64 {
        let own = |powers: &Self| decibel(powers.grid + ROUNDING, powers.beside + ROUNDING);
        own(self) - own(originals)
    }
}

fn decibel(a: f64, b: f64) -> f64 {
    10.0 * (a / b).log10()
}

/// Powers of the brightness of every image.
///
/// # Shapes
/// `(N, 3, H, W)` -> `N`
///
/// # Errors
/// If the images cannot be read back from their device.
pub fn powers(images: &Images) -> Result<Vec<Powers>, EvalError> {
    let (height, width) = (images.height(), images.width());
    let spectrum = Spectrum::new(height, width);
    let rgb = numbers(images.convert(PixelFormat::RGB_U8)?.tensor())?;
    Ok(rgb.par_chunks_exact(3 * height * width).map(|rgb| powers_of(&spectrum, rgb)).collect())
}

/// Powers of the brightness of one image in planes of red, green and blue.
pub(crate) fn powers_of(spectrum: &Spectrum, rgb: &[f32]) -> Powers {
    of(spectrum, &luma::from_planes(rgb))
}

/// Powers of one image's brightness.
fn of(spectrum: &Spectrum, luma: &[f32]) -> Powers {
    let mut powers = Powers::default();
    let (mut grids, mut others) = (0.0, 0.0);
    spectrum.each(luma, |power, [y, x], [from_y, from_x]| {
        let radius = x.hypot(y);
        for (sum, band) in powers.bands.iter_mut().zip(&BANDS) {
            if band.contains(&radius) {
                *sum += power;
            }
        }
        if x >= from_x || y >= from_y {
            powers.grid += power;
            grids += 1.0;
        } else if x.max(y) > 0.375 {
            powers.beside += power;
            others += 1.0;
        }
    });
    let all = luma.len() as f64;
    powers.grid *= all / f64::max(grids, 1.0);
    powers.beside *= all / f64::max(others, 1.0);
    powers
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::{normal, stream};

    use super::*;

    const SIDE: usize = 64;

    fn noise(seed: u64, deviation: f64) -> Vec<f32> {
        normal(&mut stream(seed, "test", 0), SIDE * SIDE, deviation)
    }

    /// Each pixel with its neighbours, `times` over.
    fn blurred(mut image: Vec<f32>, times: usize) -> Vec<f32> {
        for _ in 0..times {
            let at = |y: usize, x: usize| image[y % SIDE * SIDE + x % SIDE];
            image = (0..SIDE * SIDE)
                .map(|i| {
                    let (y, x) = (i / SIDE, i % SIDE);
                    (at(y, x) + at(y + 1, x) + at(y, x + 1) + at(y + 1, x + 1)) / 4.0
                })
                .collect();
        }
        image
    }

    fn powers(image: &[f32]) -> Powers {
        of(&Spectrum::new(SIDE, SIDE), image)
    }

    #[test]
    fn blur_and_noise_are_both_farther_than_another_image_of_the_kind() {
        let original = powers(&blurred(noise(0, 60.0), 2));
        let distance = |image: &[f32]| powers(image).distance(&original);
        let other = distance(&blurred(noise(1, 60.0), 2));
        let smooth = distance(&blurred(noise(2, 60.0), 6));
        let mut noisy = blurred(noise(3, 60.0), 2);
        noisy.iter_mut().zip(noise(4, 20.0)).for_each(|(value, noise)| *value += noise);
        assert!(other < 0.5, "{other}");
        assert!(smooth > 4.0 && distance(&noisy) > 4.0, "{smooth} {}", distance(&noisy));
        assert_eq!(distance(&[77.0; SIDE * SIDE]), powers(&[0.0; SIDE * SIDE]).distance(&original));
    }

    #[test]
    fn a_grid_of_period_two_stands_out_and_noise_does_not() {
        let original = powers(&blurred(noise(0, 60.0), 1));
        let excess = |image: &[f32]| powers(image).grid_excess(&original);
        let grid = |image: Vec<f32>, columns: bool| -> Vec<f32> {
            let at = |i: usize| if columns { i % SIDE } else { i / SIDE };
            let sign = |i: usize| if at(i).is_multiple_of(2) { 1.0 } else { -1.0 };
            image.iter().enumerate().map(|(i, value)| value + 4.0 * sign(i)).collect()
        };
        assert!(excess(&blurred(noise(1, 60.0), 1)).abs() < 2.0);
        for columns in [true, false] {
            let gridded = excess(&grid(blurred(noise(1, 60.0), 1), columns));
            assert!(gridded > 10.0, "{gridded}");
        }
        // White noise has as much there as beside, the blurred original less: that much and no more.
        let white = powers(&noise(5, 10.0));
        assert!((white.grid / white.beside - 1.0).abs() < 0.2, "{white:?}");
    }
}
