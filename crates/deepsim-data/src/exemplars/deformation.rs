//! How a seed patch is deformed.

use rand_core::Rng;

use super::PATCH;
use super::colour::ColourChange;
use super::seeds::Seed;
use crate::random::between;

/// One deformation, drawn from the ranges of the release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deformation {
    /// The side of the square is divided by this, which enlarges what it shows; 1/√2 to √2.
    pub scale: f32,
    /// Shift of the centre down and to the right, in sides of the scaled square; -0.25 to 0.25 each.
    pub shift: [f32; 2],
    /// Rotation in degrees; -20 to 20.
    pub angle: f32,
    /// Change of the colours.
    pub colour: ColourChange,
}

impl Deformation {
    /// Draws a deformation.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
        Self {
            scale: between(rng, FRAC_1_SQRT_2, SQRT_2),
            shift: std::array::from_fn(|_| between(rng, -0.25, 0.25)),
            angle: between(rng, -20.0, 20.0),
            colour: ColourChange::draw(rng),
        }
    }

    /// Centre (row, column) and side of the deformed square, in pixels.
    fn square(&self, seed: &Seed) -> (f32, f32, f32) {
        let side = seed.side / self.scale;
        (seed.row + self.shift[0] * side, seed.column + self.shift[1] * side, side)
    }

    /// Whether the smallest upright square around the rotated one is in the picture.
    pub(super) fn stays_inside(&self, seed: &Seed, height: usize, width: usize) -> bool {
        let (row, column, side) = self.square(seed);
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let reach = side * (sin.abs() + cos.abs()) / 2.0;
        let inside = |at: f32, length: usize| at >= reach && at + reach <= length as f32;
        inside(row, height) && inside(column, width)
    }

    /// Cuts the deformed square out of a picture and scales it to a patch: the mean of bilinear
    /// samples at most a pixel apart.
    ///
    /// # Shapes
    /// three planes of `height x width` -> three planes of 32x32, 0 to 255
    pub(super) fn cut(&self, seed: &Seed, picture: &[u8], height: usize, width: usize) -> Vec<u8> {
        let (row, column, side) = self.square(seed);
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let fine = (side / PATCH as f32).ceil().max(1.0) as usize;
        let step = side / (PATCH * fine) as f32;
        let plane = height * width;
        let mut patch = vec![0; 3 * PATCH * PATCH];
        for at in 0..PATCH * PATCH {
            let mut sums = [0f32; 3];
            for sample in 0..fine * fine {
                // From the centre, in pixels.
                let offset = |cell: usize, part: usize| {
                    ((cell * fine + part) as f32 + 0.5) * step - side / 2.0
                };
                let (down, right) =
                    (offset(at / PATCH, sample / fine), offset(at % PATCH, sample % fine));
                let y = Between::new(row + cos * down + sin * right, height);
                let x = Between::new(column + cos * right - sin * down, width);
                for (sum, plane) in sums.iter_mut().zip(picture.chunks_exact(plane)) {
                    let line = |row: usize| {
                        let row = &plane[row * width..];
                        x.mix(f32::from(row[x.low]), f32::from(row[x.high]))
                    };
                    *sum += y.mix(line(y.low), line(y.high));
                }
            }
            for (channel, sum) in sums.iter().enumerate() {
                let mean = sum / (fine * fine) as f32;
                patch[channel * PATCH * PATCH + at] = mean.round().clamp(0.0, 255.0) as u8;
            }
        }
        patch
    }
}

/// A place between two neighbouring pixels of a line.
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Between {
    /// The place `at`, in pixels from the line's edge; beyond the middle of the first and the last
    /// pixel, that pixel.
    fn new(at: f32, length: usize) -> Self {
        let at = (at - 0.5).clamp(0.0, (length - 1) as f32);
        let low = at as usize;
        Self { low, high: (low + 1).min(length - 1), share: at - low as f32 }
    }

    fn mix(&self, low: f32, high: f32) -> f32 {
        low + self.share * (high - low)
    }
}
