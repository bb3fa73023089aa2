//! Differences of draws in bands of spatial frequency: whether they are different things, or one in other colours.

use rayon::prelude::*;

use super::SHARE;
use super::drawn::{Drawn, Vectors};
use crate::measure::Row;
use crate::metrics::naturalness::{BANDS, Powers, powers_of};
use crate::metrics::sharpness::Spectrum;

/// A row for each band: the root of the mean power of differences of draws, in percent of that of differences of
/// photographs.
pub(super) fn shares_of_bands(drawn: &Drawn, side: usize, of: &str) -> Vec<Row> {
    let size = 3 * side * side;
    let spectrum = Spectrum::new(side, side);
    let Vectors { targets, draws } = &drawn.pixels;
    let difference = |(a, b): (&[f32], &[f32])| {
        let values: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        // Caffe's order is blue, green, red.
        let (blue, rest) = values.split_at(side * side);
        let (green, red) = rest.split_at(side * side);
        powers_of(&spectrum, &[red, green, blue].concat())
    };
    let mean = |pairs: Vec<(&[f32], &[f32])>| {
        let all: Vec<Powers> = pairs.into_par_iter().map(difference).collect();
        let mut sum = Powers::default();
        all.iter().for_each(|one| sum.add(one));
        sum.scaled(1.0 / all.len().max(1) as f64)
    };
    let between = mean(neighbours(targets, size, drawn.n));
    let within = mean(neighbours(draws, size, drawn.draws));
    let row = |band: usize| {
        let range = &BANDS[band];
        let (large, small) = (1.0 / range.start, 1.0 / range.end);
        let size = match small < 2.0 {
            true => format!("below {large:.1}"),
            false => format!("of {small:.1} to {large:.1}"),
        };
        let name = format!("{SHARE}, details {size} pixels");
        let note =
            format!("root of the mean power of differences of brightness, Hann window; {of}");
        Row::share(name, within.bands[band].sqrt(), between.bands[band].sqrt(), note)
    };
    (0..BANDS.len()).map(row).collect()
}

/// Each image of a group and the next one of it, for groups of so many images of `size` numbers.
fn neighbours(values: &[f32], size: usize, group: usize) -> Vec<(&[f32], &[f32])> {
    let images: Vec<&[f32]> = values.chunks_exact(size).collect();
    images.chunks(group).flat_map(|group| group.windows(2)).map(|two| (two[0], two[1])).collect()
}
