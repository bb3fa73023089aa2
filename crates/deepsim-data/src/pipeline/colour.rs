//! Colour jitter with the arithmetic of Pillow, as torchvision applies it to PIL images.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::picture::Picture;
use crate::random::SampleStream;

/// Random changes of colours, in a random order. A number of 0 leaves its property as it is.
///
/// ```
/// use deepsim_data::pipeline::{Pipeline, Step, colour::ColourJitter};
/// let jitter = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
/// let train = Pipeline::torchvision_train(224).then(Step::ColourJitter(jitter))?;
/// assert!(Pipeline::default().then(Step::ColourJitter(ColourJitter { hue: 0.6, ..jitter })).is_err());
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColourJitter {
    /// The factor of the brightness is uniform in `1 - brightness ..= 1 + brightness`, and at least 0.
    pub brightness: f64,
    /// The factor of the contrast, likewise.
    pub contrast: f64,
    /// The factor of the saturation, likewise.
    pub saturation: f64,
    /// The hue is shifted by a share of the colour circle that is uniform in `-hue ..= hue`, of 0 to 0.5.
    pub hue: f64,
}

impl ColourJitter {
    pub(super) fn check(&self) -> Result<(), DataError> {
        let Self { brightness, contrast, saturation, hue } = *self;
        let refuse = |wanted: &str, got: f64| {
            let (wanted, got) = (wanted.to_owned(), got.to_string());
            Err(DataError::Argument { operation: "transform: colour jitter", wanted, got })
        };
        for (name, value) in
            [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(&format!("a {name} of at least 0"), value);
            }
        }
        match (0.0..=0.5).contains(&hue) {
            true => Ok(()),
            false => refuse("a hue from 0 to 0.5", hue),
        }
    }

    /// Draws the changes and applies them.
    pub(super) fn apply(&self, picture: &mut Picture, random: &mut SampleStream) {
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        let mut factor = |strength: f64| random.between((1.0 - strength).max(0.0), 1.0 + strength);
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let shift = random.between(-self.hue, self.hue);
        for change in order {
            match change {
                0 if self.brightness > 0.0 => adjust_brightness(picture, factors[0]),
                1 if self.contrast > 0.0 => adjust_contrast(picture, factors[1]),
                2 if self.saturation > 0.0 => adjust_saturation(picture, factors[2]),
                3 if self.hue > 0.0 => adjust_hue(picture, shift),
                _ => {}
            }
        }
    }
}

impl fmt::Display for ColourJitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brightness, contrast, saturation, hue } = self;
        write!(
            f,
            "colours jittered by brightness {brightness}, contrast {contrast}, saturation {saturation}, hue {hue}"
        )
    }
}

/// Multiplies all values by `factor`; 1 changes nothing. Pillow's `ImageEnhance.Brightness`.
pub fn adjust_brightness(picture: &mut Picture, factor: f64) {
    let table = blends(0, factor);
    picture.rgb.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Multiplies all differences from the mean brightness by `factor`; 1 changes nothing. Pillow's
/// `ImageEnhance.Contrast`.
pub fn adjust_contrast(picture: &mut Picture, factor: f64) {
    let pixels = picture.rgb.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|pixel| u64::from(grey(*pixel))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8;
    let table = blends(mean, factor);
    picture.rgb.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Multiplies all differences from grey by `factor`; 0 makes the picture grey. Pillow's
/// `ImageEnhance.Color`.
pub fn adjust_saturation(picture: &mut Picture, factor: f64) {
    let factor = factor as f32;
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        let grey = grey(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Turns all hues by a share of the colour circle from -0.5 to 0.5. torchvision's `adjust_hue` of PIL
/// images, with Pillow's conversion to 8-bit HSV and back.
pub fn adjust_hue(picture: &mut Picture, shift: f64) {
    // Casts as numpy does: towards zero, then modulo 256.
    let turn = (shift * 255.0) as i32 as u8;
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = from_hsv([hue.wrapping_add(turn), saturation, value]);
    }
}

/// Brightness of a pixel, by Pillow's 16-bit weights.
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

/// Value between `from`, for a factor of 0, and `value`, for 1, or beyond them: Pillow's `Image.blend`.
fn blend(from: u8, value: u8, factor: f32) -> u8 {
    let (from, value) = (f32::from(from), f32::from(value));
    // The cast cuts off decimals, and saturates.
    (from + factor * (value - from)) as u8
}

fn blends(from: u8, factor: f64) -> [u8; 256] {
    std::array::from_fn(|value| blend(from, value as u8, factor as f32))
}

fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let below = |value: u8| f32::from(most - value) / range;
    let sixths = if red == most {
        below(blue) - below(green)
    } else if green == most {
        (2.0 + f64::from(below(red)) - f64::from(below(blue))) as f32
    } else {
        (4.0 + f64::from(below(green)) - f64::from(below(red))) as f32
    };
    let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(most);
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let within = f64::from((sixths - sector) as f32);
    let share = f64::from((f64::from(saturation) / 255.0) as f32);
    let less = |part: f64| (f64::from(value) * (1.0 - share * part)).round() as u8;
    let (low, falling, rising) = (less(1.0), less(within), less(1.0 - within));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
