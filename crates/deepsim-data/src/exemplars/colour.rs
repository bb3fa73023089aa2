//! Colour changes of a patch.

use rand_core::Rng;

use super::PATCH;
use crate::random::{between, normal};

/// Principal components of the colours of STL-10, as published with the Exemplar-CNN, for red,
/// green and blue; the last is brightness.
const COMPONENTS: [[f32; 3]; 3] =
    [[-0.2130, 0.7856, -0.5809], [0.8021, -0.1989, -0.5631], [0.5579, 0.5859, 0.5878]];

/// A change of colours: along the principal components, then of hue, saturation and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourChange {
    /// Factors of the three components: 2^N(0,1), 2^N(0,1), 2^(N(0,1)/2).
    pub components: [f32; 3],
    /// Change of the saturation.
    pub saturation: Curve,
    /// Change of the value.
    pub value: Curve,
    /// Added to the hue, in turns; -0.1 to 0.1.
    pub hue: f32,
}

/// `x -> factor * x^power + offset`, for numbers between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// 2^-2 to 2^2, uniform in the exponent.
    pub power: f32,
    /// 2^-0.5 to 2^0.5, uniform in the exponent.
    pub factor: f32,
    /// -0.1 to 0.1.
    pub offset: f32,
}

impl Curve {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            power: between(rng, -2.0, 2.0).exp2(),
            factor: between(rng, -0.5, 0.5).exp2(),
            offset: between(rng, -0.1, 0.1),
        }
    }

    fn at(&self, x: f32) -> f32 {
        (self.factor * x.powf(self.power) + self.offset).clamp(0.0, 1.0)
    }
}

impl ColourChange {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let [first, second] = normal(rng);
        let [third, _] = normal(rng);
        Self {
            components: [first.exp2(), second.exp2(), (0.5 * third).exp2()],
            saturation: Curve::draw(rng),
            value: Curve::draw(rng),
            hue: between(rng, -0.1, 0.1),
        }
    }

    /// Changes a patch in place.
    ///
    /// # Shapes
    /// three planes of 32x32
    pub(super) fn apply(&self, patch: &mut [u8], mean: [f32; 3]) {
        let mut pixels: Vec<[f32; 3]> = (0..PATCH * PATCH)
            .map(|at| {
                self.shifted([0, 1, 2].map(|c| f32::from(patch[c * PATCH * PATCH + at])), mean)
            })
            .collect();
        // Stretched to 0..1 over the patch, all channels together, before the change of contrast.
        let all = || pixels.iter().flatten().copied();
        let (low, high) = (all().fold(f32::MAX, f32::min), all().fold(f32::MIN, f32::max));
        let range = (high - low).max(1e-3);
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let [hue, saturation, value] = to_hsv(pixel.map(|x| (x - low) / range));
            let changed = [
                (hue + self.hue).rem_euclid(1.0),
                self.saturation.at(saturation),
                self.value.at(value),
            ];
            for (channel, x) in to_rgb(changed).into_iter().enumerate() {
                patch[channel * PATCH * PATCH + at] = (255.0 * x).round() as u8;
            }
        }
    }

    /// A colour after the change along the principal components, 0 to 1.
    fn shifted(&self, rgb: [f32; 3], mean: [f32; 3]) -> [f32; 3] {
        let centred: [f32; 3] = std::array::from_fn(|c| (rgb[c] - mean[c]) / 255.0);
        let mut out = mean.map(|m| m / 255.0);
        for (component, factor) in COMPONENTS.iter().zip(self.components) {
            let along: f32 = component.iter().zip(centred).map(|(a, b)| a * b).sum();
            for (out, share) in out.iter_mut().zip(component) {
                *out += factor * along * share;
            }
        }
        out.map(|x| x.clamp(0.0, 1.0))
    }
}

/// Hue in turns, saturation and value of a colour, all 0 to 1.
fn to_hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = high - low;
    if range <= 0.0 {
        return [0.0, 0.0, high];
    }
    let sixth = if high == red {
        (green - blue) / range
    } else if high == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    [(sixth / 6.0).rem_euclid(1.0), range / high, high]
}

fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|shift| {
        let sixth = (shift + 6.0 * hue) % 6.0;
        value * (1.0 - saturation * sixth.min(4.0 - sixth).clamp(0.0, 1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsv_and_back_is_the_same_colour() {
        for code in 0..11 * 11 * 11 {
            let rgb = [code % 11, code / 11 % 11, code / 121].map(|x| x as f32 / 10.0);
            let back = to_rgb(to_hsv(rgb));
            assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-5), "{rgb:?} {back:?}");
        }
        // Python's colorsys.rgb_to_hsv(0.2, 0.6, 0.4)
        let [h, s, v] = to_hsv([0.2, 0.6, 0.4]);
        assert!((h - 5.0 / 12.0).abs() < 1e-6 && (s - 2.0 / 3.0).abs() < 1e-6 && v == 0.6);
    }

    #[test]
    fn components_are_a_rotation() {
        for (i, a) in COMPONENTS.iter().enumerate() {
            for (j, b) in COMPONENTS.iter().enumerate() {
                let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                let wanted = if i == j { 1.0 } else { 0.0 };
                assert!((product - wanted).abs() < 1e-3, "{i} {j}: {product}");
            }
        }
    }

    #[test]
    fn no_change_only_stretches_the_contrast() {
        let same = Curve { power: 1.0, factor: 1.0, offset: 0.0 };
        let none = ColourChange { components: [1.0; 3], saturation: same, value: same, hue: 0.0 };
        let mut patch: Vec<u8> = (0..3 * PATCH * PATCH).map(|i| 50 + (i * 7 % 101) as u8).collect();
        let wanted: Vec<u8> =
            patch.iter().map(|x| (f32::from(x - 50) * 2.55).round() as u8).collect();
        none.apply(&mut patch, [110.0, 120.0, 100.0]);
        let apart = patch.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(1), "{apart:?} levels apart");
    }
}
