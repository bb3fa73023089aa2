//! Deformations of a seed patch.

use rand_core::Rng;

use super::PATCH;
use super::colour::ColourChange;
use super::seeds::Seed;
use crate::random::between;
use crate::square::Square;

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
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
        Self {
            scale: between(rng, FRAC_1_SQRT_2, SQRT_2),
            shift: std::array::from_fn(|_| between(rng, -0.25, 0.25)),
            angle: between(rng, -20.0, 20.0),
            colour: ColourChange::draw(rng),
        }
    }

    fn square(&self, seed: &Seed) -> Square {
        let side = seed.side / self.scale;
        let (row, column) = (seed.row + self.shift[0] * side, seed.column + self.shift[1] * side);
        Square { row, column, side, angle: self.angle }
    }

    /// Returns true if the smallest upright square around the rotated one is in the picture.
    pub(super) fn stays_inside(&self, seed: &Seed, height: usize, width: usize) -> bool {
        self.square(seed).is_inside(height, width)
    }

    /// Cuts the deformed square out of a picture and scales it to a patch.
    ///
    /// # Shapes
    /// three planes of `height x width` -> three planes of 32x32, 0 to 255
    pub(super) fn cut(&self, seed: &Seed, picture: &[u8], height: usize, width: usize) -> Vec<u8> {
        let mut patch = vec![0; 3 * PATCH * PATCH];
        self.square(seed).cut(picture, (height, width), PATCH, &mut patch);
        patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    const DRAWS: usize = 20_000;

    /// Kolmogorov's distance of the values from a distribution, times the root of their number: above
    /// 1.95 in one of a thousand fair samples.
    fn distance(mut values: Vec<f32>, distribution: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f32::total_cmp);
        let n = values.len() as f64;
        let apart = values.iter().enumerate().map(|(i, value)| {
            let wanted = distribution(f64::from(*value));
            (wanted - i as f64 / n).abs().max((wanted - (i + 1) as f64 / n).abs())
        });
        apart.fold(0.0, f64::max) * n.sqrt()
    }

    /// The standard normal distribution, by Simpson's rule.
    fn normal(x: f64) -> f64 {
        let steps = 200;
        let width = x / f64::from(steps);
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let sum: f64 = (0..steps)
            .map(|i| {
                let a = f64::from(i) * width;
                density(a) + 4.0 * density(a + width / 2.0) + density(a + width)
            })
            .sum();
        0.5 + sum * width / 6.0
    }

    #[test]
    fn everything_is_drawn_from_its_range() {
        let draw = |i| Deformation::draw(&mut stream(3, Purpose::Deformation, i / 150, i % 150));
        let all: Vec<Deformation> = (0..DRAWS as u64).map(draw).collect();
        let (root, half) = (std::f64::consts::SQRT_2, std::f64::consts::FRAC_1_SQRT_2);
        type Value = fn(&Deformation) -> f32;
        let uniform: [(&str, Value, f64, f64); 11] = [
            ("scale", |d| d.scale, half, root),
            ("shift down", |d| d.shift[0], -0.25, 0.25),
            ("shift right", |d| d.shift[1], -0.25, 0.25),
            ("angle", |d| d.angle, -20.0, 20.0),
            ("value power", |d| d.colour.value.power.log2(), -2.0, 2.0),
            ("value factor", |d| d.colour.value.factor.log2(), -0.5, 0.5),
            ("value offset", |d| d.colour.value.offset, -0.1, 0.1),
            ("saturation power", |d| d.colour.saturation.power.log2(), -2.0, 2.0),
            ("saturation factor", |d| d.colour.saturation.factor.log2(), -0.5, 0.5),
            ("saturation offset", |d| d.colour.saturation.offset, -0.1, 0.1),
            ("hue", |d| d.colour.hue, -0.1, 0.1),
        ];
        for (name, value, from, to) in uniform {
            let values: Vec<f32> = all.iter().map(value).collect();
            let far = distance(values, |x| ((x - from) / (to - from)).clamp(0.0, 1.0));
            assert!(far < 1.95, "{name}: {far}");
        }
        for (component, std) in [1.0, 1.0, 0.5].into_iter().enumerate() {
            let values = all.iter().map(|d| d.colour.components[component].log2()).collect();
            let far = distance(values, |x| normal(x / std));
            assert!(far < 1.95, "component {component}: {far}");
        }
        // The test can fail: another range is noticed.
        let angles = all.iter().map(|d| d.angle).collect();
        assert!(distance(angles, |x| ((x + 21.0) / 42.0).clamp(0.0, 1.0)) > 1.95);
    }

    #[test]
    fn scale_enlarges_and_shift_is_in_sides_of_the_scaled_square() {
        let mut rng = stream(0, Purpose::Deformation, 0, 0);
        let deformation =
            Deformation { scale: 2.0, shift: [0.25, -0.5], ..Deformation::draw(&mut rng) };
        let seed = Seed { picture: 0, row: 40.0, column: 50.0, side: 32.0 };
        let square = deformation.square(&seed);
        assert_eq!((square.side, square.row, square.column), (16.0, 44.0, 42.0));
    }
}
