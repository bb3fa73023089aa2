//! Statistics of features over many pictures, and bounds for the input of a generator that follow from them.

use std::path::Path;

use candle_core::{Device, Tensor};
use deepsim_data::atomic::write_atomic;

use super::{npy, tensors, to_safetensors};
use crate::EvalError;
use crate::arrays::numbers;

/// Names of the four statistics in a file, after the tap: `CONV5.min`.
const NAMES: [&str; 4] = ["min", "max", "mean", "std"];

/// Least and greatest value, mean and population standard deviation of each feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Name of the tap.
    pub tap: String,
    /// Shape of one picture's features; `(C, 1, 1)` for numbers of whole channels.
    pub shape: Vec<usize>,
    /// Least values.
    pub min: Vec<f32>,
    /// Greatest values.
    pub max: Vec<f32>,
    /// Means.
    pub mean: Vec<f32>,
    /// Standard deviations.
    pub std: Vec<f32>,
}

impl Statistics {
    /// Statistics over pictures; with `per_channel` also over the positions of maps.
    ///
    /// # Shapes
    /// `features`: `(n, C)` or `(n, C, H, W)` -> `(C)`, `(C, H, W)`, or `(C, 1, 1)`
    ///
    /// # Errors
    /// If there are no features.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use deepsim_eval::features::Statistics;
    /// let features = Tensor::new(&[[1f32, 5.0], [3.0, 5.0]], &Device::Cpu)?;
    /// let found = Statistics::of("FC6", &features, false)?;
    /// assert_eq!((found.max, found.mean, found.std), (vec![3.0, 5.0], vec![2.0, 5.0], vec![1.0, 0.0]));
    /// # Ok::<(), deepsim_eval::EvalError>(())
    /// ```
    pub fn of(tap: &str, features: &Tensor, per_channel: bool) -> Result<Self, EvalError> {
        let dims = features.dims();
        let (n, shape) = match dims {
            [n, shape @ ..] if features.elem_count() > 0 => (*n, shape),
            _ => {
                return Err(EvalError::input(
                    "statistics",
                    "features (n, ...)",
                    format!("{dims:?}"),
                ));
            }
        };
        // Consecutive numbers of a picture that are counted together.
        let together = match shape {
            [_, positions @ ..] if per_channel => positions.iter().product(),
            _ => 1,
        };
        let shape: Vec<usize> = match shape {
            [channels, positions @ ..] if per_channel => {
                std::iter::once(*channels).chain(positions.iter().map(|_| 1)).collect()
            }
            shape => shape.into(),
        };
        let units: usize = shape.iter().product();
        let values = numbers(features)?;
        let of_unit = |unit: usize| {
            (0..n).flat_map(move |picture| {
                (picture * units + unit) * together..(picture * units + unit + 1) * together
            })
        };
        let (mut min, mut max) = (Vec::with_capacity(units), Vec::with_capacity(units));
        let (mut mean, mut std) = (Vec::with_capacity(units), Vec::with_capacity(units));
        for unit in 0..units {
            let all = || of_unit(unit).map(|at| values[at]);
            let count = (n * together) as f64;
            let centre = all().map(f64::from).sum::<f64>() / count;
            let variance =
                all().map(|value| (f64::from(value) - centre).powi(2)).sum::<f64>() / count;
            min.push(all().fold(f32::INFINITY, f32::min));
            max.push(all().fold(f32::NEG_INFINITY, f32::max));
            mean.push(centre as f32);
            std.push(variance.sqrt() as f32);
        }
        Ok(Self { tap: tap.into(), shape, min, max, mean, std })
    }

    /// Writes the statistics of some taps to a safetensors file: `TAP.min`, `TAP.max`, `TAP.mean`, `TAP.std`.
    ///
    /// # Errors
    /// If the file cannot be written, or two taps have one name.
    pub fn write(all: &[Self], path: &Path) -> Result<(), EvalError> {
        let mut found = Vec::new();
        for one in all {
            for (name, values) in NAMES.iter().zip([&one.min, &one.max, &one.mean, &one.std]) {
                let tensor = Tensor::from_slice(values, &*one.shape, &Device::Cpu)?;
                found.push((format!("{}.{name}", one.tap), tensor));
            }
        }
        Ok(write_atomic(path, &to_safetensors(found.into_iter(), None)?)?)
    }

    /// Reads the statistics of a tap, or those of the only one in the file.
    ///
    /// # Errors
    /// If the file cannot be read or lacks a tensor of the tap, or tensors differ in shape or are not finite.
    pub fn read(path: &Path, tap: &str) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(EvalError::io("reading statistics from", path))?;
        Self::parse(path, &bytes, tap)
    }

    fn parse(path: &Path, bytes: &[u8], tap: &str) -> Result<Self, EvalError> {
        let all = tensors(path, bytes)?;
        let mut taps: Vec<&str> =
            all.iter().filter_map(|(name, _)| name.strip_suffix(".min")).collect();
        taps.retain(|name| {
            *name == tap || !all.iter().any(|(other, _)| *other == format!("{tap}.min"))
        });
        let [tap] = taps[..] else {
            let found = if taps.is_empty() { "none".into() } else { taps.join(", ") };
            return Err(EvalError::features(path, format!("statistics of {tap}"), found));
        };
        let mut values = Vec::new();
        let mut shape: Option<Vec<usize>> = None;
        for name in NAMES.map(|name| format!("{tap}.{name}")) {
            let tensor = all.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor);
            let tensor = tensor.ok_or_else(|| EvalError::features(path, &*name, "none"))?;
            let first = shape.get_or_insert_with(|| tensor.dims().to_vec());
            if first[..] != *tensor.dims() {
                let found = format!("{:?} for {name}", tensor.dims());
                return Err(EvalError::features(
                    path,
                    format!("statistics of one shape, {first:?}"),
                    found,
                ));
            }
            values.push(finite(path, numbers(tensor)?)?);
        }
        let [min, max, mean, std] = values.try_into().expect("as many as names");
        Ok(Self { tap: tap.into(), shape: shape.unwrap_or_default(), min, max, mean, std })
    }
}

/// Bounds of a generator's input, and the mean and deviation from which it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Least values, one for each number of the input.
    pub least: Vec<f32>,
    /// Greatest values.
    pub greatest: Vec<f32>,
    /// Means and standard deviations, where the file has them.
    pub moments: Option<(Vec<f32>, Vec<f32>)>,
}

impl Bounds {
    /// Reads bounds for an input of a shape: from [`Statistics`] in a safetensors file, the least and greatest values,
    /// or with `deviations` the mean less and plus so many deviations; from a `.npy` file of shape `(2, ...)`, the
    /// least values and the greatest. Numbers for channels hold for all positions.
    ///
    /// # Errors
    /// If the file cannot be read, has another shape, a least value above the greatest, or numbers that are not
    /// finite; or if `deviations` is negative, or asked of a `.npy` file.
    pub fn read(
        path: &Path,
        tap: &str,
        shape: &[usize],
        deviations: Option<f64>,
    ) -> Result<Self, EvalError> {
        if let Some(k) = deviations.filter(|k| !(k.is_finite() && *k >= 0.0)) {
            return Err(EvalError::input("--deviations", "a number of at least 0", k.to_string()));
        }
        let whole = |from: &[usize], values: Vec<f32>| spread(path, shape, from, values);
        let bytes = std::fs::read(path).map_err(EvalError::io("reading bounds from", path))?;
        let (mut bounds, place) = if bytes.starts_with(npy::MAGIC) {
            if deviations.is_some() {
                let expected = "statistics in a .safetensors file for --deviations";
                return Err(EvalError::features(path, expected, "a .npy file"));
            }
            let npy::Array { shape: found, values } = npy::parse(path, &bytes)?;
            let ([2, from @ ..], half) = (&found[..], values.len() / 2) else {
                let expected = "bounds of shape (2, ...), the least and the greatest values";
                return Err(EvalError::features(path, expected, format!("{found:?}")));
            };
            let values = finite(path, values)?;
            let [least, greatest] = [&values[..half], &values[half..]].map(<[f32]>::to_vec);
            let (least, greatest) = (whole(from, least)?, whole(from, greatest)?);
            (Self { least, greatest, moments: None }, "")
        } else {
            let Statistics { tap: _, shape: from, min, max, mean, std } =
                Statistics::parse(path, &bytes, tap)?;
            let (mean, std) = (whole(&from, mean)?, whole(&from, std)?);
            let end = |sign: f64, k: f64| -> Vec<f32> {
                let end = |(mean, std): (&f32, &f32)| {
                    (f64::from(*mean) + sign * k * f64::from(*std)) as f32
                };
                mean.iter().zip(&std).map(end).collect()
            };
            let (least, greatest) = match deviations {
                Some(k) => (end(-1.0, k), end(1.0, k)),
                None => (whole(&from, min)?, whole(&from, max)?),
            };
            (Self { least, greatest, moments: None }.with(mean, std), " of its statistics")
        };
        let pairs = bounds.least.iter().zip(&bounds.greatest);
        if let Some(at) = pairs.clone().position(|(least, greatest)| least > greatest) {
            let expected = format!("least values{place} that are at most the greatest");
            let found =
                format!("{} above {} at number {at}", bounds.least[at], bounds.greatest[at]);
            return Err(EvalError::features(path, expected, found));
        }
        if let Some((mean, _)) = &mut bounds.moments {
            for (mean, (least, greatest)) in
                mean.iter_mut().zip(bounds.least.iter().zip(&bounds.greatest))
            {
                *mean = mean.clamp(*least, *greatest);
            }
        }
        Ok(bounds)
    }

    fn with(self, mean: Vec<f32>, std: Vec<f32>) -> Self {
        Self { moments: Some((mean, std)), ..self }
    }
}

/// Refuses numbers that are not finite.
fn finite(path: &Path, values: Vec<f32>) -> Result<Vec<f32>, EvalError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(EvalError::features(path, "finite numbers", value.to_string())),
        None => Ok(values),
    }
}

/// Numbers of the whole shape, from those of the shape or of its channels.
fn spread(
    path: &Path,
    shape: &[usize],
    from: &[usize],
    values: Vec<f32>,
) -> Result<Vec<f32>, EvalError> {
    let (all, channels) = (shape.iter().product::<usize>(), shape.first().copied().unwrap_or(0));
    match values.len() {
        n if n == all => Ok(values),
        n if n == channels => {
            let positions = all / channels.max(1);
            Ok(values.into_iter().flat_map(|value| std::iter::repeat_n(value, positions)).collect())
        }
        _ => {
            let expected =
                format!("numbers of shape {shape:?}, or one for each of {channels} channels");
            Err(EvalError::features(path, expected, format!("{from:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Tensor {
        // Two pictures, two channels, two positions.
        let values = vec![1f32, 3.0, -2.0, 0.0, 5.0, 7.0, -4.0, -2.0];
        Tensor::from_vec(values, (2, 2, 1, 2), &Device::Cpu).expect("a tensor")
    }

    #[test]
    fn numbers_are_those_of_units_or_of_channels() -> Result<(), EvalError> {
        let units = Statistics::of("CONV5", &features(), false)?;
        assert_eq!(units.shape, [2, 1, 2]);
        assert_eq!(units.min, [1.0, 3.0, -4.0, -2.0]);
        assert_eq!(units.max, [5.0, 7.0, -2.0, 0.0]);
        assert_eq!(units.mean, [3.0, 5.0, -3.0, -1.0]);
        assert_eq!(units.std, [2.0, 2.0, 1.0, 1.0]);
        let channels = Statistics::of("CONV5", &features(), true)?;
        assert_eq!((channels.shape, channels.min), (vec![2, 1, 1], vec![1.0, -4.0]));
        assert_eq!((channels.max, channels.mean), (vec![7.0, 0.0], vec![4.0, -2.0]));
        // 1, 3, 5, 7 about 4.
        assert!((channels.std[0] - 5f32.sqrt()).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn bounds_are_the_extremes_or_deviations_from_the_mean()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("s.safetensors");
        let of = |tap: &str, per_channel| Statistics::of(tap, &features(), per_channel);
        Statistics::write(&[of("CONV5", true)?, of("CONV3", false)?], &path)?;
        assert_eq!(Statistics::read(&path, "CONV3")?, of("CONV3", false)?);
        let shape = [2, 1, 2];
        let found = Bounds::read(&path, "CONV5", &shape, None)?;
        assert_eq!(found.least, [1.0, 1.0, -4.0, -4.0]);
        assert_eq!(found.greatest, [7.0, 7.0, 0.0, 0.0]);
        assert_eq!(found.moments.map(|(mean, _)| mean), Some(vec![4.0, 4.0, -2.0, -2.0]));
        let found = Bounds::read(&path, "CONV3", &shape, Some(1.5))?;
        assert_eq!(found.least, [0.0, 2.0, -4.5, -2.5]);
        assert_eq!(found.greatest, [6.0, 8.0, -1.5, 0.5]);
        let message = Bounds::read(&path, "FC6", &shape, None).expect_err("two taps").to_string();
        assert!(message.ends_with("expected statistics of FC6, found CONV3, CONV5"), "{message}");
        // The only statistics are taken under another name, too.
        Statistics::write(&[of("pool5", true)?], &path)?;
        assert!(Bounds::read(&path, "CONV5", &shape, None).is_ok());
        let message = Bounds::read(&path, "CONV5", &[3, 4], None).expect_err("a shape").to_string();
        assert!(message.ends_with("or one for each of 3 channels, found [2, 1, 1]"), "{message}");
        assert!(Bounds::read(&path, "CONV5", &shape, Some(-1.0)).is_err());
        Ok(())
    }

    #[test]
    fn an_array_of_two_rows_is_bounds_too() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("b.npy");
        let write = |shape: &[usize], values: &[f32]| {
            let array = npy::Array { shape: shape.into(), values: values.into() };
            std::fs::write(&path, npy::to_bytes(&array))
        };
        write(&[2, 3], &[0.0, 0.0, 0.0, 1.0, 2.0, 3.0])?;
        let found = Bounds::read(&path, "FC6", &[3], None)?;
        assert_eq!((found.greatest, found.moments), (vec![1.0, 2.0, 3.0], None));
        let refused = |words: &str, deviations: Option<f64>| {
            let message =
                Bounds::read(&path, "FC6", &[3], deviations).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        };
        refused("found a .npy file", Some(3.0));
        write(&[2, 3], &[0.0, 5.0, 0.0, 1.0, 2.0, 3.0])?;
        refused("found 5 above 2 at number 1", None);
        write(&[3, 2], &[0.0; 6])?;
        refused("expected bounds of shape (2, ...)", None);
        write(&[2, 3], &[0.0, 0.0, 0.0, 1.0, f32::NAN, 3.0])?;
        refused("expected finite numbers, found NaN", None);
        std::fs::remove_file(&path)?;
        refused("reading bounds from", None);
        Ok(())
    }
}
