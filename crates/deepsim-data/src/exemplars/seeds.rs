//! Random places of seed patches, in proportion to the local energy of high frequencies.

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rand_chacha::ChaCha12Rng;

use super::PATCH;
use crate::memory::rgb_zeros;
use crate::order::Permutation;
use crate::panics::guarded;
use crate::random::{Purpose, below, stream, uniform};
use crate::{DataError, Source};

/// Scales of pictures at which a patch of 32 pixels is a seed; one of them is drawn for each class.
pub const SCALES: [f32; 4] = [0.512, 0.64, 0.8, 1.0];

/// Energy is computed on every fourth pixel.
const SUBSAMPLING: usize = 4;
/// Cells at each border in which no patch is centred: half a patch and one more.
const BORDER: usize = PATCH / SUBSAMPLING / 2 + 1;
/// Standard deviation, in cells, of the low-pass filter whose rest counts as high frequencies.
const LOW_PASS: f32 = 2.0;

/// Mean energy, in squared levels, below which a picture has no detail but rounding errors.
const FLAT: f64 = 1e-3;

/// A square of a picture from which a surrogate class is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seed {
    /// The picture.
    pub picture: usize,
    /// Row of the centre in pixels.
    pub row: f32,
    /// Column of the centre in pixels.
    pub column: f32,
    /// Side in pixels: 32 over one of [`SCALES`].
    pub side: f32,
}

/// One seed in each of `classes` pictures, and the mean colour of all of them.
pub(super) fn choose(
    pictures: &dyn Source,
    classes: usize,
    seed: u64,
) -> Result<(Vec<Seed>, [f32; 3]), DataError> {
    let (height, width) = (pictures.height(), pictures.width());
    let mut picture = rgb_zeros(1, height, width)?;
    let (mut seeds, mut sums, mut pixels) = (Vec::new(), [0u64; 3], 0u64);
    if !pictures.is_empty() {
        let order = Permutation::new(pictures.len(), seed, u64::MAX);
        for position in 0..pictures.len() {
            if seeds.len() == classes {
                break;
            }
            let index = order.get(position);
            guarded(index, || None, || pictures.read(index, &mut picture))?;
            let mut rng = stream(seed, Purpose::Exemplar, 0, index as u64);
            let Some(found) = find(&picture, height, width, index, &mut rng) else { continue };
            let (rows, columns) = found.pixels(height, width);
            pixels += (rows.len() * columns.len()) as u64;
            for (sum, plane) in sums.iter_mut().zip(picture.chunks_exact(height * width)) {
                for row in rows.clone() {
                    let row = &plane[row * width..][columns.clone()];
                    *sum += row.iter().map(|value| u64::from(*value)).sum::<u64>();
                }
            }
            seeds.push(found);
        }
    }
    if seeds.len() < classes {
        return Err(DataError::Argument {
            operation: "surrogate classes",
            wanted: format!("{classes} pictures of at least {} pixels with some detail", 2 * PATCH),
            got: format!("{} of {height}x{width} pixels", seeds.len()),
        });
    }
    Ok((seeds, sums.map(|sum| (sum as f64 / pixels as f64) as f32)))
}

impl Seed {
    /// Rows and columns of the whole pixels inside.
    fn pixels(
        &self,
        height: usize,
        width: usize,
    ) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let range = |centre: f32, length: usize| {
            let edge = |at: f32| (at.round().max(0.0) as usize).min(length);
            edge(centre - self.side / 2.0)..edge(centre + self.side / 2.0)
        };
        (range(self.row, height), range(self.column, width))
    }
}

/// Draws a seed in a picture; `None` if it has no detail where a patch could be.
fn find(
    picture: &[u8],
    height: usize,
    width: usize,
    index: usize,
    rng: &mut ChaCha12Rng,
) -> Option<Seed> {
    // A scale at which nothing is found is not drawn again.
    let mut scales = SCALES.to_vec();
    while !scales.is_empty() {
        let scale = scales.swap_remove(below(rng, scales.len()));
        let energy = energy(picture, height, width, scale);
        let total: f64 = energy.values.iter().map(|value| f64::from(*value)).sum();
        if total <= FLAT * energy.values.len() as f64 {
            continue;
        }
        let mut rest = f64::from(uniform(rng)) * total;
        let cell = energy.values.iter().position(|value| {
            rest -= f64::from(*value);
            rest < 0.0
        });
        let cell = cell.or_else(|| energy.values.iter().rposition(|value| *value > 0.0))?;
        let place = |at: usize| (at * SUBSAMPLING) as f32 / scale;
        return Some(Seed {
            picture: index,
            row: place(cell / energy.width),
            column: place(cell % energy.width),
            side: PATCH as f32 / scale,
        });
    }
    None
}

/// A map of cells.
struct Map {
    width: usize,
    values: Vec<f32>,
}

/// Energy of high frequencies at `scale`, zero at the border.
fn energy(picture: &[u8], height: usize, width: usize, scale: f32) -> Map {
    let (rows, columns) = (height.div_ceil(SUBSAMPLING), width.div_ceil(SUBSAMPLING));
    let mut values = vec![0f32; rows * columns];
    for plane in picture.chunks_exact(height * width) {
        for row in 0..rows {
            for column in 0..columns {
                let at = row * SUBSAMPLING * width + column * SUBSAMPLING;
                values[row * columns + column] += f32::from(plane[at]);
            }
        }
    }
    let scaled = |cells: usize| (cells as f32 * scale).ceil() as usize;
    let (height, width) = (scaled(rows), scaled(columns));
    let mut values = resize(values, (rows, columns), (height, width));
    let low = low_pass(&values, width, LOW_PASS);
    for (value, low) in values.iter_mut().zip(&low) {
        *value = (*value - low).powi(2);
    }
    let radius = (PATCH / SUBSAMPLING / 4) as f32;
    let mut values = low_pass(&values, width, radius.min(height as f32 / 4.0));
    let inside = |at: usize, length: usize| at >= BORDER && at + BORDER < length;
    for (at, value) in values.iter_mut().enumerate() {
        if !inside(at / width, height) || !inside(at % width, width) {
            *value = 0.0;
        }
    }
    Map { width, values }
}

fn resize(values: Vec<f32>, from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    if from == to {
        return values;
    }
    let pixels = values.into_iter().map(F32::new).collect();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let mut resized = TypedImage::<F32>::new(to.1 as u32, to.0 as u32);
    // Sizes fit by construction; a map of zeros has no place for a seed.
    let done = TypedImage::from_pixels(from.1 as u32, from.0 as u32, pixels)
        .ok()
        .and_then(|image| Resizer::new().resize_typed(&image, &mut resized, &options).ok());
    if done.is_none() {
        return vec![0.0; to.0 * to.1];
    }
    resized.pixels().iter().map(|pixel| pixel.0).collect()
}

/// Gaussian filter; beyond the border, the map has the values at the border.
fn low_pass(values: &[f32], width: usize, sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weight = |d: isize| (-0.5 * (d as f32 / sigma).powi(2)).exp();
    let total: f32 = (-reach..=reach).map(weight).sum();
    let height = values.len() / width;
    let pass = |values: &[f32], along: usize, length: usize| -> Vec<f32> {
        let at = |i: usize, d: isize| {
            let place = (i / along % length) as isize;
            let to = (place + d).clamp(0, length as isize - 1);
            values[(i as isize + (to - place) * along as isize) as usize]
        };
        let sum = |i: usize| (-reach..=reach).map(|d| weight(d) * at(i, d)).sum::<f32>() / total;
        (0..values.len()).map(sum).collect()
    };
    pass(&pass(values, 1, width), width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_where_the_detail_is() {
        // Grey, except for a chequered square around row 60, column 36.
        let (height, width) = (96, 96);
        let mut picture = vec![128u8; 3 * height * width];
        for plane in picture.chunks_exact_mut(height * width) {
            for (row, column) in (52..68).flat_map(|r| (28..44).map(move |c| (r, c))) {
                plane[row * width + column] = if (row / 4 + column / 4) % 2 == 0 { 0 } else { 255 };
            }
        }
        let mut rng = stream(0, Purpose::Exemplar, 0, 0);
        let (mut near, draws) = (0, 200);
        for _ in 0..draws {
            let seed = find(&picture, height, width, 0, &mut rng).expect("there is detail");
            assert!(SCALES.iter().any(|scale| (32.0 / scale - seed.side).abs() < 1e-4));
            let inside = |at: f32| at >= seed.side / 2.0 && at + seed.side / 2.0 <= 96.0;
            assert!(inside(seed.row) && inside(seed.column), "{seed:?}");
            near += usize::from((seed.row - 60.0).hypot(seed.column - 36.0) < 24.0);
        }
        assert!(near > draws * 9 / 10, "{near} of {draws} seeds near the only detail");
        assert_eq!(find(&vec![9; 3 * 96 * 96], 96, 96, 0, &mut rng), None);
    }

    #[test]
    fn low_pass_keeps_what_is_flat_and_the_sum_of_what_is_not() {
        let flat = low_pass(&[3.0; 20], 5, 1.5);
        assert!(flat.iter().all(|value| (value - 3.0).abs() < 1e-5));
        let mut point = vec![0.0; 21 * 21];
        point[10 * 21 + 10] = 1.0;
        let spread = low_pass(&point, 21, 1.5);
        assert!((spread.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        // Standard deviation along one axis.
        let variance: f32 =
            spread.iter().enumerate().map(|(i, v)| v * ((i % 21) as f32 - 10.0).powi(2)).sum();
        assert!((variance.sqrt() - 1.5).abs() < 0.05, "{}", variance.sqrt());
    }
}
