//! Colour histograms of sets of pictures, and distances of two of them.
//!
//! For each of red, green, blue and luma (ITU-R BT.601, rounded), grey levels are counted in 64 bins of 4
//! levels. The distances do not ask where a colour is: they show casts, faded colours and lost contrast,
//! which errors pixel by pixel mix with everything else.

/// Bins of a histogram.
pub const BINS: usize = 64;

/// Grey levels in a bin.
pub const LEVELS: usize = 256 / BINS;

/// Channels of which there are histograms.
pub const CHANNELS: [&str; 4] = ["red", "green", "blue", "luma"];

/// Weights of red, green and blue in luma, in thousandths.
const LUMA: [usize; 3] = [299, 587, 114];

/// Counts of grey levels over all pixels of a set of pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histograms([[u64; BINS]; CHANNELS.len()]);

impl Default for Histograms {
    fn default() -> Self {
        Self([[0; BINS]; CHANNELS.len()])
    }
}

impl Histograms {
    /// Adds the pixels of a picture.
    ///
    /// # Shapes
    /// `3 * H * W` bytes in planes of red, green and blue
    pub fn add(&mut self, rgb: &[u8]) {
        let (red, rest) = rgb.split_at(rgb.len() / 3);
        let (green, blue) = rest.split_at(rest.len() / 2);
        for ((&red, &green), &blue) in red.iter().zip(green).zip(blue) {
            let rgb = [red, green, blue].map(usize::from);
            let luma =
                (rgb.iter().zip(LUMA).map(|(v, weight)| v * weight).sum::<usize>() + 500) / 1000;
            let [r, g, b] = rgb;
            for (bins, level) in self.0.iter_mut().zip([r, g, b, luma]) {
                bins[level / LEVELS] += 1;
            }
        }
    }

    /// Number of pixels.
    pub fn pixels(&self) -> u64 {
        self.0[0].iter().sum()
    }

    /// Cumulative shares of the bins of a channel.
    fn cumulative(&self, channel: usize) -> [f64; BINS] {
        let (mut sum, all) = (0, self.pixels() as f64);
        self.0[channel].map(|count| {
            sum += count;
            sum as f64 / all
        })
    }
}

/// Total variation distance of the histograms of each of [`CHANNELS`], `½ Σ |p - q|`: the share of the
/// pixels, from 0 to 1, that would have to change bins. NaN if there is no pixel.
///
/// ```
/// use deepsim_eval::metrics::colour::{Histograms, total_variation};
/// let (mut a, mut b) = (Histograms::default(), Histograms::default());
/// a.add(&[0, 0, 0, 0, 0, 0]); // two black pixels
/// b.add(&[0, 255, 0, 0, 0, 0]); // a black one and a red one
/// assert_eq!(total_variation(&a, &b), [0.5, 0.0, 0.0, 0.5]);
/// ```
pub fn total_variation(a: &Histograms, b: &Histograms) -> [f64; CHANNELS.len()] {
    let (n, m) = (a.pixels() as f64, b.pixels() as f64);
    std::array::from_fn(|channel| {
        let bins = a.0[channel].iter().zip(&b.0[channel]);
        bins.map(|(&p, &q)| (p as f64 / n - q as f64 / m).abs()).sum::<f64>() / 2.0
    })
}

/// Earth mover's distance of the histograms of each of [`CHANNELS`] in grey levels: the mean distance over
/// which values would have to be moved, `Σ |P - Q|` of the cumulative shares times the width of a bin. It is
/// exact for moves by whole bins, and less than a bin's width off for others. NaN if there is no pixel.
///
/// ```
/// use deepsim_eval::metrics::colour::{Histograms, earth_movers};
/// let (mut a, mut b) = (Histograms::default(), Histograms::default());
/// a.add(&[40, 90, 100, 200, 0, 0]);
/// b.add(&[48, 98, 100, 200, 0, 0]); // red is 8 levels brighter
/// assert_eq!(earth_movers(&a, &b)[..3], [8.0, 0.0, 0.0]);
/// ```
pub fn earth_movers(a: &Histograms, b: &Histograms) -> [f64; CHANNELS.len()] {
    std::array::from_fn(|channel| {
        let (p, q) = (a.cumulative(channel), b.cumulative(channel));
        p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>() * LEVELS as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::luma;

    fn of(pictures: &[&[u8]]) -> Histograms {
        let mut all = Histograms::default();
        pictures.iter().for_each(|rgb| all.add(rgb));
        all
    }

    /// Colours between `low` and `high` that fill a picture in no order.
    fn noise(n: usize, low: usize, high: usize) -> Vec<u8> {
        (0..3 * n).map(|i| (low + i * 7919 % 1009 * i % (high - low + 1)) as u8).collect()
    }

    #[test]
    fn distances_are_those_worked_out_by_hand() {
        // Red: 0, 10, 20, 255 (bins 0, 2, 5, 63) against 0, 0, 20, 20 (bins 0, 0, 5, 5); green and blue equal.
        let a = of(&[&[0, 10, 20, 255, 7, 7, 7, 7, 9, 9, 9, 9]]);
        let b = of(&[&[0, 0, 20, 20, 7, 7, 7, 7, 9, 9, 9, 9]]);
        assert_eq!((a.pixels(), b.pixels()), (4, 4));
        // Shares 1/4, 1/4, 1/4, 1/4 against 1/2, 1/2: half of 1/4 + 1/4 + 1/4 + 1/4.
        assert_eq!(total_variation(&a, &b)[..3], [0.5, 0.0, 0.0]);
        // One value of four moves over 2 bins, one over 58: (2 + 58) / 4 bins of 4 levels.
        assert_eq!(earth_movers(&a, &b)[..3], [60.0, 0.0, 0.0]);
        // Luma of (r, 7, 9) is 0.299 r + 5.135: 5, 8, 11, 81 (bins 1, 2, 2, 20) against 5, 5, 11, 11.
        assert_eq!(total_variation(&a, &b)[3], 0.25);
        assert_eq!(earth_movers(&a, &b)[3], (1.0 + 18.0) / 4.0 * 4.0);
    }

    #[test]
    fn equal_pictures_have_no_distance_and_a_shift_has_its_own_length() {
        let pixels = noise(500, 16, 200);
        let a = of(&[&pixels[..750], &pixels[750..]]);
        assert_eq!(total_variation(&a, &a), [0.0; 4]);
        assert_eq!(earth_movers(&a, &a), [0.0; 4]);
        for shift in [4u8, 12, 40, 52] {
            let moved: Vec<u8> = pixels.iter().map(|value| value + shift).collect();
            for distance in earth_movers(&a, &of(&[&moved[..750], &moved[750..]])) {
                assert!((distance - f64::from(shift)).abs() < 1e-9, "{distance} for {shift}");
            }
        }
        // Not whole bins: less than a bin off.
        let moved: Vec<u8> = pixels.iter().map(|value| value + 6).collect();
        let distances = earth_movers(&a, &of(&[&moved[..750], &moved[750..]]));
        assert!(distances.iter().all(|d| (d - 6.0).abs() < LEVELS as f64), "{distances:?}");
    }

    #[test]
    fn sets_of_other_sizes_are_compared_by_shares_and_an_empty_one_by_nothing() {
        let pixels = noise(100, 0, 255);
        let (one, three) = (of(&[&pixels]), of(&[&pixels, &pixels, &pixels]));
        assert!(total_variation(&one, &three).iter().all(|d| *d < 1e-12));
        assert!(earth_movers(&one, &three).iter().all(|d| *d < 1e-9));
        let black = of(&[&[0; 30]]);
        assert_eq!(total_variation(&black, &of(&[&[255; 30]])), [1.0; 4]);
        assert!(earth_movers(&black, &Histograms::default()).iter().all(|d| d.is_nan()));
    }

    #[test]
    fn luma_is_that_of_the_other_metrics() {
        for rgb in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 77], [255, 255, 255]] {
            let brightness = luma::from_interleaved(&rgb)[0].round() as usize;
            assert_eq!(of(&[&rgb]).0[3][brightness / LEVELS], 1, "{rgb:?}");
        }
    }
}
