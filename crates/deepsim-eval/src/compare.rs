//! Distances of two pictures, in pixels and in feature spaces.

use std::path::Path;

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_nets::{Comparator, ComparatorKind, Images, NetError, PixelFormat};
use rayon::prelude::*;

use crate::EvalError;
use crate::arrays::{images, numbers};
use crate::comparators::{self, is_random};
use crate::measure::{Row, Space};
use crate::metrics::lpips::LpipsNet;
use crate::metrics::pixels::{peak_signal_to_noise, root_mean_square_error};
use crate::metrics::sharpness::{HIGH, Spectrum};
use crate::metrics::ssim::structural_similarity;
use crate::metrics::statistics::{norm, percent_of_norm};
use crate::metrics::{luma, sharpness, ssim};
use crate::pair::{OpenMeasure, PairMeasure, PicturePair, same_size};

/// Distances of one picture from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Distances in image space, then in feature spaces. One that is not defined for these pictures, or
    /// needs larger ones, is a row without a value that says why.
    pub rows: Vec<Row>,
    /// Feature spaces that were not compared in because no weights were found.
    pub without_weights: Vec<Space>,
}

/// Distances of picture `b` from picture `a`, in image space and in feature spaces; see [`Comparer`].
///
/// # Errors
/// If the pictures differ in size, or weights do not fit.
pub fn compare(
    a: &Picture,
    b: &Picture,
    weights: Option<&Path>,
    random: bool,
    device: &Device,
) -> Result<Comparison, EvalError> {
    same_size(a, b)?;
    let comparer = Comparer::open(weights, random, device)?;
    let rows = comparer.rows(&[(a, b)])?.remove(0);
    Ok(Comparison { rows, without_weights: comparer.without_weights })
}

/// All distances, with their networks open, for any number of pictures.
///
/// A feature distance is relative: `||C(a) - C(b)|| / ||C(a)||`, in percent. Comparators whose
/// weights are neither in `weights` nor shipped are left out, or random if `random` says so, and their rows say
/// that. LPIPS is measured where the folder `weights` holds its trunk and heads.
pub struct Comparer {
    /// Networks, each with its taps.
    nets: Vec<(Box<dyn Comparator>, Vec<String>)>,
    lpips: Vec<OpenMeasure>,
    without_weights: Vec<Space>,
    device: Device,
}

impl Comparer {
    /// Opens the networks.
    ///
    /// # Errors
    /// If weights do not fit.
    pub fn open(weights: Option<&Path>, random: bool, device: &Device) -> Result<Self, EvalError> {
        let (mut nets, mut without_weights) = (Vec::<(ComparatorKind, Vec<String>)>::new(), vec![]);
        for space in Space::standard() {
            if !random && space.comparator.find_weights(weights).is_none() {
                without_weights.push(space);
                continue;
            }
            match nets.last_mut().filter(|(kind, _)| *kind == space.comparator) {
                Some((_, taps)) => taps.push(space.tap),
                None => nets.push((space.comparator, vec![space.tap])),
            }
        }
        let open = |(kind, taps): (ComparatorKind, _)| -> Result<_, EvalError> {
            Ok((comparators::open(&kind, weights, device)?, taps))
        };
        let nets = nets.into_iter().map(open).collect::<Result<_, _>>()?;
        let there = |net: &LpipsNet| weights.is_some_and(|folder| net.is_in(folder));
        let lpips = LpipsNet::ALL.into_iter().filter(there).map(PairMeasure::Lpips);
        let lpips = lpips.map(|net| OpenMeasure::open(&net, weights, false, device));
        let lpips = lpips.collect::<Result<_, _>>()?;
        Ok(Self { nets, lpips, without_weights, device: device.clone() })
    }

    /// Feature spaces that are not compared in because no weights were found.
    pub fn without_weights(&self) -> &[Space] {
        &self.without_weights
    }

    /// Rows of each pair: distances in image space, then in feature spaces. One that is not defined for these
    /// pictures, or needs larger ones, is a row without a value that says why.
    ///
    /// # Errors
    /// If the pictures are not all of one size.
    pub fn rows(&self, pairs: &[PicturePair<'_>]) -> Result<Vec<Vec<Row>>, EvalError> {
        let Some((first, _)) = pairs.first() else { return Ok(Vec::new()) };
        for (a, b) in pairs {
            same_size(first, a)?;
            same_size(first, b)?;
        }
        let mut rows: Vec<Vec<Row>> = pairs.par_iter().map(|(a, b)| in_pixels(a, b)).collect();
        let format = PixelFormat::CAFFE_BGR;
        let a = images(pairs.iter().map(|(a, _)| *a), format, &self.device)?;
        let b = images(pairs.iter().map(|(_, b)| *b), format, &self.device)?;
        let mut add = |column: Vec<Row>| {
            rows.iter_mut().zip(column).for_each(|(rows, row)| rows.push(row));
        };
        for (net, taps) in &self.nets {
            let (of_a, of_b) = (features(net, taps, &a)?, features(net, taps, &b)?);
            for (tap, (of_a, of_b)) in taps.iter().zip(of_a.iter().zip(&of_b)) {
                add(match (of_a, of_b) {
                    (Ok(of_a), Ok(of_b)) => {
                        let length = (of_a.len() / pairs.len()).max(1);
                        let each = of_a.chunks_exact(length).zip(of_b.chunks_exact(length));
                        each.map(|(a, b)| relative(net, tap, a, b)).collect()
                    }
                    (Err(reason), _) | (_, Err(reason)) => {
                        let (name, origin) = (name(net, tap), net.origin().to_string());
                        vec![Row::undefined(name, "%", reason, origin); pairs.len()]
                    }
                });
            }
        }
        for lpips in &self.lpips {
            add(match lpips.rows(pairs) {
                Err(error) if error.is_size() => lpips.undefined(&error, pairs.len()),
                result => result?,
            });
        }
        Ok(rows)
    }
}

/// Features of images at each of some taps, image after image; or the reason why the images are too small for a tap.
fn features(
    net: &dyn Comparator,
    taps: &[String],
    images: &Images,
) -> Result<Vec<Result<Vec<f32>, String>>, EvalError> {
    let names: Vec<&str> = taps.iter().map(String::as_str).collect();
    match net.features_at(images, &names) {
        Ok(found) => found.iter().map(|tensor| Ok(Ok(numbers(tensor)?))).collect(),
        Err(error @ NetError::Size { .. }) if taps.len() == 1 => Ok(vec![Err(error.to_string())]),
        // Deeper taps need larger images, so each is tried alone.
        Err(NetError::Size { .. }) => {
            let mut each = Vec::with_capacity(taps.len());
            for tap in taps {
                each.extend(features(net, std::slice::from_ref(tap), images)?);
            }
            Ok(each)
        }
        Err(error) => Err(error.into()),
    }
}

/// Name of the row that is better the larger it is, up to infinity.
const PEAK_SIGNAL: &str = "peak signal-to-noise ratio";
/// Name of the row that is better the larger it is, up to 1.
const SIMILARITY: &str = "structural similarity";
/// Name of the row that is better the nearer it is to 100 %.
const HIGH_FREQUENCIES: &str = "high-frequency power";

/// A number that is larger the further apart two pictures are by the row of this name.
pub(crate) fn badness(name: &str, value: f64) -> f64 {
    match name {
        PEAK_SIGNAL | SIMILARITY => -value,
        HIGH_FREQUENCIES => (value - 100.0).abs(),
        _ => value,
    }
}

/// Distances in image space, whatever the size.
fn in_pixels(a: &Picture, b: &Picture) -> Vec<Row> {
    let (height, width) = (a.height, a.width);
    let too_small = |least: usize| {
        let small = height < least || width < least;
        small.then(|| format!("needs sides of at least {least} pixels"))
    };
    let error = root_mean_square_error(&a.rgb, &b.rgb);
    let mut rows = vec![Row::new(
        "root mean square error",
        error,
        "grey levels",
        "over all pixels and channels",
    )];
    rows.push(match error == 0.0 {
        true => Row::undefined(PEAK_SIGNAL, "dB", "infinite: no error", ""),
        false => Row::new(PEAK_SIGNAL, peak_signal_to_noise(error), "dB", "peak 255"),
    });
    let (luma_a, luma_b) = (luma::from_interleaved(&a.rgb), luma::from_interleaved(&b.rgb));
    let note = "brightness, 11x11 Gaussian";
    let similarity = structural_similarity(&luma_a, &luma_b, height, width);
    rows.push(match (similarity, too_small(ssim::WINDOW)) {
        (Some(value), _) => Row::new(SIMILARITY, value, "", note),
        (None, reason) => Row::undefined(SIMILARITY, "", &reason.unwrap_or_default(), note),
    });
    let spectrum = Spectrum::new(height, width);
    let power = |luma: &[f32]| spectrum.power(luma, &[HIGH])[0];
    let note = "of the first picture's";
    rows.push(match too_small(sharpness::LEAST_SIDE) {
        Some(reason) => Row::undefined(HIGH_FREQUENCIES, "%", &reason, note),
        None => Row::share(HIGH_FREQUENCIES, power(&luma_b), power(&luma_a), note),
    });
    rows
}

fn name(net: &dyn Comparator, tap: &str) -> String {
    let random = if is_random(net) { ", random weights" } else { "" };
    format!("{} {tap} feature space{random}", net.name())
}

/// Relative distance of the features of two images, `||C(a) - C(b)|| / ||C(a)||`, in percent;
/// undefined if all features of the first are zero.
///
/// # Shapes
/// Two times `(1, 3, H, W)`
///
/// # Errors
/// If there is no such tap; [`NetError::Size`](deepsim_nets::NetError) if the images do not fit.
pub fn relative_distance(
    net: &dyn Comparator,
    tap: &str,
    a: &Images,
    b: &Images,
) -> Result<Row, EvalError> {
    let of = |images| numbers(&net.features(images, tap)?);
    Ok(relative(net, tap, &of(a)?, &of(b)?))
}

/// Relative distance of the features of two images.
fn relative(net: &dyn Comparator, tap: &str, of_a: &[f32], of_b: &[f32]) -> Row {
    let name = name(net, tap);
    let note = format!("of the norm; {}", net.origin());
    match norm(of_a) == 0.0 {
        true => Row::undefined(name, "%", "features of the first are all zero", note),
        false => Row::new(name, percent_of_norm(of_b, of_a), "%", note),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(found: &'a Comparison, name: &str) -> &'a Row {
        found.rows.iter().find(|row| row.name.starts_with(name)).expect(name)
    }

    #[test]
    fn equal_pictures_have_no_distance_and_other_sizes_are_refused() -> Result<(), EvalError> {
        let rgb = (0..64 * 64 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let a = Picture { width: 64, height: 64, rgb };
        let found = compare(&a, &a, None, true, &Device::Cpu)?;
        assert_eq!(row(&found, "root mean square").value, Some(0.0));
        assert_eq!(row(&found, "peak signal").value, None, "infinite, so not a number in JSON");
        assert_eq!(row(&found, "structural").value, Some(1.0));
        assert_eq!(row(&found, "alexnet").value, Some(0.0));

        let flat = Picture::new(64, 64, [128; 3]);
        let found = compare(&a, &flat, None, true, &Device::Cpu)?;
        assert!(row(&found, "root mean square").value.is_some_and(|v| v > 50.0));
        assert_eq!(row(&found, "high-frequency").value, Some(0.0));
        assert!(row(&found, "alexnet").value.is_some_and(|v| v > 0.0));
        let found = compare(&flat, &a, None, true, &Device::Cpu)?;
        let (value, note) =
            (row(&found, "high-frequency").value, &row(&found, "high-frequency").note);
        assert!(value.is_none() && note.starts_with("the reference has none"), "{value:?} {note}");

        let small = Picture::new(64, 32, [0; 3]);
        let message = compare(&a, &small, None, false, &Device::Cpu)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(message.contains("64x64") && message.contains("32x64"), "{message}");
        Ok(())
    }

    #[test]
    fn pictures_of_any_size_are_compared_and_what_needs_more_says_so() -> Result<(), EvalError> {
        for (height, width) in [(1, 1), (2, 1), (1, 9), (3, 3), (5, 5), (17, 17), (12, 40)] {
            let a = Picture::new(height, width, [90, 100, 110]);
            let b = Picture::new(height, width, [93, 104, 110]);
            let found = compare(&a, &b, None, true, &Device::Cpu)?;
            assert_eq!(found.rows.len(), 4 + Space::standard().len());
            let error = row(&found, "root mean square").value;
            assert!(error.is_some_and(|v| (v - (25f64 / 3.0).sqrt()).abs() < 1e-9));
            for name in ["structural", "high-frequency", "squeezenet FIRE9"] {
                let row = row(&found, name);
                let explained =
                    row.note.contains("sides of at least") || row.note.starts_with("the reference");
                assert!(row.value.is_some() || explained, "{width}x{height}: {row:?}");
            }
            let fire = &row(&found, "squeezenet FIRE9").note;
            let words = "squeezenet FIRE9: expected sides of at least 21 pixels, found ";
            assert!(fire.starts_with(words), "{fire}");
        }
        Ok(())
    }

    #[test]
    fn networks_without_weights_are_left_out_unless_random_ones_are_asked_for()
    -> Result<(), EvalError> {
        let (a, b) = (Picture::new(64, 64, [0; 3]), Picture::new(64, 64, [9; 3]));
        let found = compare(&a, &b, None, false, &Device::Cpu)?;
        let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        // Shipped comparators are found without a folder.
        let shipped = [
            "alexnet-instance CONV3",
            "exemplar-cnn CONV3",
            "efficientnet-lite0 STAGE5",
            "efficientnet-lite0 HEAD",
        ];
        let shipped = shipped.map(|name| format!("{name} feature space"));
        assert_eq!(names(&found.rows[4..]), shipped);
        assert!(found.rows[4..].iter().all(|row| row.value.is_some_and(|value| value > 0.0)));
        let left_out: Vec<String> = found.without_weights.iter().map(Space::to_string).collect();
        assert_eq!(left_out, ["alexnet:CONV3", "squeezenet:POOL4", "squeezenet:FIRE9"]);
        let found = compare(&a, &b, None, true, &Device::Cpu)?;
        assert!(found.without_weights.is_empty());
        for name in names(&found.rows[4..]) {
            assert_eq!(shipped.contains(&name), !name.ends_with(", random weights"), "{name}");
        }
        Ok(())
    }
}
