//! One chosen perceptual measure of two pictures, with a map of where they differ.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_loss::{Distances, PerceptualDistance, TapDistance, Upsampling};
use deepsim_nets::{ComparatorKind, PixelFormat};

use crate::EvalError;
use crate::arrays::{images, numbers};
use crate::comparators::{RANDOM_SEED, is_random, open_known};
use crate::measure::{Row, Space};
use crate::metrics::lpips::{Lpips, LpipsNet};

/// A perceptual measure of two pictures, written `lpips-alex`, `lpips-squeeze`, `lpips-vgg` or
/// `feature:NET:TAP[,TAP]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairMeasure {
    /// LPIPS.
    Lpips(LpipsNet),
    /// The paper's feature distance, `½ Σ (C(a) - C(b))²`, summed over taps.
    Feature {
        /// The comparator.
        comparator: ComparatorKind,
        /// Taps of the comparator.
        taps: Vec<String>,
    },
}

impl fmt::Display for PairMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lpips(net) => write!(f, "{net}"),
            Self::Feature { comparator, taps } => {
                write!(f, "feature:{}:{}", comparator, taps.join(","))
            }
        }
    }
}

impl FromStr for PairMeasure {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        if let Some(net) = LpipsNet::ALL.into_iter().find(|net| net.name() == text) {
            return Ok(Self::Lpips(net));
        }
        let unknown = || EvalError::Unknown {
            what: "measure of two pictures",
            known: "lpips-alex, lpips-squeeze, lpips-vgg, feature:NET:TAP[,TAP]".into(),
            got: text.into(),
        };
        let Space { comparator, tap } =
            text.strip_prefix("feature:").ok_or_else(unknown)?.parse()?;
        let taps: Vec<String> = tap.split(',').map(str::to_owned).collect();
        if taps.iter().any(String::is_empty) {
            return Err(unknown());
        }
        Ok(Self::Feature { comparator, taps })
    }
}

/// Two pictures to compare, the reference first.
pub type PicturePair<'a> = (&'a Picture, &'a Picture);

/// Refuses pictures of two sizes.
pub(crate) fn same_size(a: &Picture, b: &Picture) -> Result<(), EvalError> {
    if (b.height, b.width) == (a.height, a.width) {
        return Ok(());
    }
    let wanted = format!("two pictures of {}x{} pixels", a.width, a.height);
    let got = format!("the second of {}x{}; crop or resize one first", b.width, b.height);
    Err(EvalError::input("compare", wanted, got))
}

/// Distance of two pictures, with its parts and a map.
#[derive(Clone, Debug)]
pub struct PairMeasured {
    /// The distance, then the part of every layer.
    pub rows: Vec<Row>,
    /// Map of the distance: height x width numbers of at least 0, row-major.
    pub map: Vec<f32>,
}

/// Measures how far picture `b` is from picture `a`. Weights are looked for in the folder `weights`;
/// random ones are only used if `random` says so, and the rows tell.
///
/// # Errors
/// If the pictures differ in size, or weights are missing or do not fit; [`EvalError::is_size`] tells
/// pictures that are too small.
pub fn measure_pair(
    measure: &PairMeasure,
    a: &Picture,
    b: &Picture,
    weights: Option<&Path>,
    random: bool,
    device: &Device,
) -> Result<PairMeasured, EvalError> {
    same_size(a, b)?;
    let distance = OpenMeasure::open(measure, weights, random, device)?;
    let distances = distance.between(&[(a, b)])?;
    Ok(PairMeasured {
        rows: rows(measure, &distances, &distance.origin)?,
        map: numbers(&distances.map(Upsampling::Bilinear)?)?,
    })
}

/// A perceptual measure with its network open, for any number of pictures.
#[derive(Clone, Debug)]
pub struct OpenMeasure {
    measure: PairMeasure,
    network: Network,
    /// Origin of the weights.
    origin: String,
    device: Device,
}

#[derive(Clone, Debug)]
enum Network {
    Lpips(Lpips),
    Feature(PerceptualDistance),
}

impl OpenMeasure {
    /// Opens a measure. Weights are looked for in the folder `weights`; random ones are only used if `random` says
    /// so.
    ///
    /// # Errors
    /// If weights are missing or do not fit.
    pub fn open(
        measure: &PairMeasure,
        weights: Option<&Path>,
        random: bool,
        device: &Device,
    ) -> Result<Self, EvalError> {
        let folder = weights.unwrap_or(Path::new("."));
        let (network, origin) = match measure {
            PairMeasure::Lpips(net) => {
                let lpips = match random {
                    true => Lpips::untrained(*net, weights, RANDOM_SEED, device)?,
                    false => Lpips::open(*net, folder, device)?,
                };
                let origin = lpips.origin();
                (Network::Lpips(lpips), origin)
            }
            PairMeasure::Feature { comparator, taps } => {
                let net = open_known("feature distance", comparator, weights, random, device)?;
                let word = if is_random(&*net) { ", untrained" } else { "" };
                let origin = format!("half the sum of squares; {}{word}", net.origin());
                let taps = taps.iter().map(|tap| TapDistance::deepsim(tap.as_str(), 1.0)).collect();
                (Network::Feature(PerceptualDistance::new(net, taps)?), origin)
            }
        };
        Ok(Self { measure: measure.clone(), network, origin, device: device.clone() })
    }

    /// Returns the measure.
    pub fn measure(&self) -> &PairMeasure {
        &self.measure
    }

    /// The distance of each pair, without its parts.
    ///
    /// # Errors
    /// If the pictures are not all of one size; [`EvalError::is_size`] tells pictures that are too small.
    pub fn rows(&self, pairs: &[PicturePair<'_>]) -> Result<Vec<Row>, EvalError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let values = numbers(&self.between(pairs)?.per_sample()?)?;
        let row =
            |value: f32| Row::new(self.measure.to_string(), f64::from(value), "", &*self.origin);
        Ok(values.into_iter().map(row).collect())
    }

    /// Rows of `n` pairs that are too small.
    pub(crate) fn undefined(&self, error: &EvalError, n: usize) -> Vec<Row> {
        let name = self.measure.to_string();
        vec![Row::undefined(name, "", &error.to_string(), &*self.origin); n]
    }

    fn between(&self, pairs: &[PicturePair<'_>]) -> Result<Distances, EvalError> {
        for (a, b) in pairs {
            same_size(pairs[0].0, a)?;
            same_size(pairs[0].0, b)?;
        }
        let format = PixelFormat::RGB_U8;
        let a = images(pairs.iter().map(|(a, _)| *a), format, &self.device)?;
        let b = images(pairs.iter().map(|(_, b)| *b), format, &self.device)?;
        match &self.network {
            Network::Lpips(lpips) => lpips.between(&b, &a),
            Network::Feature(distance) => Ok(distance.between(&b, &distance.targets(&a)?)?),
        }
    }
}

fn rows(measure: &PairMeasure, distances: &Distances, origin: &str) -> Result<Vec<Row>, EvalError> {
    let value = |tensor: &Tensor| -> Result<f64, EvalError> { Ok(f64::from(numbers(tensor)?[0])) };
    let whole = value(&distances.per_sample()?)?;
    let mut rows = vec![Row::new(measure.to_string(), whole, "", origin)];
    for (tap, part) in distances.per_tap()? {
        let part = value(&part)?;
        let share = if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        rows.push(Row::new(format!("  {tap}"), part, "", format!("{share:.1} %")));
    }
    Ok(rows)
}

/// Colours from none to most: black, violet, red, orange, pale yellow, of rising brightness.
const HEAT: [[f32; 3]; 6] = [
    [0.0, 0.0, 4.0],
    [66.0, 10.0, 104.0],
    [147.0, 38.0, 103.0],
    [221.0, 81.0, 58.0],
    [252.0, 165.0, 10.0],
    [252.0, 255.0, 164.0],
];

/// A map as a picture: black is 0, and the brightest colour the largest value of the map.
///
/// # Shapes
/// `height * width` numbers, row-major
///
/// # Errors
/// If there are more or fewer numbers.
///
/// ```
/// let picture = deepsim_eval::pair::heat_map(&[0.0, 3.0], 1, 2)?;
/// assert_eq!(picture.rgb, [0, 0, 4, 252, 255, 164]);
/// # Ok::<(), deepsim_eval::EvalError>(())
/// ```
pub fn heat_map(map: &[f32], height: usize, width: usize) -> Result<Picture, EvalError> {
    if map.len() != height * width {
        let wanted = format!("{height} x {width} numbers");
        return Err(EvalError::input("heat map", wanted, map.len().to_string()));
    }
    let largest = map.iter().copied().filter(|v| v.is_finite()).fold(0f32, f32::max);
    let colour = |&value: &f32| -> [u8; 3] {
        let part = if largest > 0.0 && value > 0.0 { (value / largest).min(1.0) } else { 0.0 };
        let at = part * (HEAT.len() - 1) as f32;
        let first = (at as usize).min(HEAT.len() - 2);
        let (low, high, part) = (HEAT[first], HEAT[first + 1], at - first as f32);
        std::array::from_fn(|c| (low[c] + part * (high[c] - low[c])).round() as u8)
    };
    Ok(Picture { width, height, rgb: map.iter().flat_map(colour).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_written_as_they_are_read() -> Result<(), EvalError> {
        for text in [
            "lpips-alex",
            "lpips-squeeze",
            "lpips-vgg",
            "feature:alexnet:CONV3",
            "feature:caffenet:A,B",
        ] {
            assert_eq!(text.parse::<PairMeasure>()?.to_string(), text);
        }
        for wrong in ["", "lpips", "alexnet:CONV3", "feature:", "feature:alexnet:CONV1,,CONV2"] {
            let message = wrong.parse::<PairMeasure>().expect_err(wrong).to_string();
            assert!(message.starts_with("unknown"), "{message}");
        }
        Ok(())
    }

    #[test]
    fn a_difference_is_found_where_it_is() -> Result<(), EvalError> {
        let rgb = (0..64 * 96 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let a = Picture { width: 96, height: 64, rgb };
        let mut b = a.clone();
        b.paste(&Picture::new(24, 24, [200, 40, 90]), 8, 64);
        let measures = ["lpips-alex", "lpips-squeeze", "lpips-vgg", "feature:alexnet:CONV1,CONV2"];
        for measure in measures {
            let measure: PairMeasure = measure.parse()?;
            let measured = measure_pair(&measure, &a, &b, None, true, &Device::Cpu)?;
            let value = |row: &Row| row.value.unwrap_or(f64::NAN);
            let parts: f64 = measured.rows[1..].iter().map(value).sum();
            assert!((parts / value(&measured.rows[0]) - 1.0).abs() < 1e-5);
            assert!(measured.rows[0].note.contains("random weights"), "{}", measured.rows[0].note);
            // The half with the difference has most of it.
            let right = |(i, v): (usize, &f32)| if i % 96 >= 48 { *v } else { 0.0 };
            let (right, all): (f32, f32) =
                (measured.map.iter().enumerate().map(right).sum(), measured.map.iter().sum());
            assert!(right > 0.7 * all, "{measure}: {right} of {all}");
            let message = measure_pair(&measure, &a, &b, None, false, &Device::Cpu)
                .expect_err("no weights")
                .to_string();
            assert!(message.contains("expected"), "{message}");
        }
        Ok(())
    }

    #[test]
    fn pictures_that_are_too_small_are_told_the_size_that_is_needed() {
        let a = Picture::new(17, 20, [90; 3]);
        for (measure, words) in [
            ("lpips-alex", "lpips-alex: expected sides of at least 31 pixels, found 17 x 20"),
            ("feature:squeezenet:FIRE9", "squeezenet FIRE9: expected sides of at least 21 pixels"),
            ("feature:vgg16:pool5", "vgg16 pool5: expected sides of at least 32 pixels"),
            ("feature:alexnet:CONV1,CONV5", "alexnet CONV5: expected sides of at least 39 pixels"),
        ] {
            let measure: PairMeasure = measure.parse().expect(measure);
            let error = measure_pair(&measure, &a, &a, None, true, &Device::Cpu).expect_err(words);
            assert!(error.is_size(), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn empty_and_broken_maps_are_drawn() -> Result<(), EvalError> {
        assert_eq!(heat_map(&[0.0; 4], 2, 2)?.rgb[..3], [0, 0, 4]);
        let picture = heat_map(&[f32::NAN, f32::INFINITY, -1.0, 2.0], 2, 2)?;
        assert_eq!(picture.rgb[..9], [0, 0, 4, 252, 255, 164, 0, 0, 4]);
        assert!(heat_map(&[0.0; 3], 2, 2).is_err());
        Ok(())
    }
}
