//! Rectangles of random area and proportion, by torchvision's algorithm.

use crate::random::SampleStream;
use crate::source::Rectangle;

/// Default shares of the area: torchvision's, from 8 % to all of it.
pub const SCALE: [f64; 2] = [0.08, 1.0];
/// Default proportions, width over height: torchvision's, from 3:4 to 4:3.
pub const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Rectangles that are drawn until one fits.
const ATTEMPTS: usize = 10;

/// Draws the rectangle of torchvision's `RandomResizedCrop.get_params` in a picture of `height x width`.
///
/// The share of the area is uniform in `scale`, the proportion log-uniform in `ratio`, the place uniform.
/// Rectangles that do not fit are drawn anew; after ten of them, and where nothing is drawn, it is the largest
/// rectangle in the middle whose proportion is within `ratio`.
///
/// ```
/// use deepsim_data::{pipeline::{RATIO, SCALE, resized_crop}, random::SampleStream};
/// let part = resized_crop((300, 400), SCALE, RATIO, Some(&mut SampleStream::new(0, 0, 0)));
/// assert!(part.top + part.height <= 300 && part.left + part.width <= 400);
/// let middle = resized_crop((300, 900), SCALE, RATIO, None);
/// assert_eq!((middle.top, middle.left, middle.height, middle.width), (0, 250, 300, 400));
/// ```
pub fn resized_crop(
    (height, width): (usize, usize),
    scale: [f64; 2],
    ratio: [f64; 2],
    random: Option<&mut SampleStream>,
) -> Rectangle {
    let (full_height, full_width) = (height as f64, width as f64);
    if let Some(random) = random {
        let logarithms = ratio.map(f64::ln);
        for _ in 0..ATTEMPTS {
            let area = full_height * full_width * random.between(scale[0], scale[1]);
            let proportion = random.between(logarithms[0], logarithms[1]).exp();
            // Python rounds to even.
            let crop_width = (area * proportion).sqrt().round_ties_even() as usize;
            let crop_height = (area / proportion).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
                return Rectangle {
                    top: random.below(height - crop_height + 1),
                    left: random.below(width - crop_width + 1),
                    height: crop_height,
                    width: crop_width,
                };
            }
        }
    }
    let proportion = full_width / full_height;
    let whole = |side: f64, most: usize| (side.round_ties_even() as usize).clamp(1, most.max(1));
    let (crop_height, crop_width) = match proportion {
        narrow if narrow < ratio[0] => (whole(full_width / ratio[0], height), width),
        wide if wide > ratio[1] => (height, whole(full_height * ratio[1], width)),
        _ => (height, width),
    };
    Rectangle {
        top: (height - crop_height) / 2,
        left: (width - crop_width) / 2,
        height: crop_height,
        width: crop_width,
    }
}
