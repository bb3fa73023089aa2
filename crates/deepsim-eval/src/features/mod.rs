//! Features of pictures in files: `.npy` for one tap, `.safetensors` for several with the names of the pictures.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@extract`] | features of photographs |
//! | [`statistics`] | least, greatest, mean and deviation of each feature, and the bounds that follow |
//!
//! A safetensors file holds a tensor `(n, ...)` for each tap, by the tap's name, and in its metadata the network, its
//! weights and the names of the pictures. A `.npy` file holds the numbers alone, as `np.save` writes them.

pub mod extract;
pub(crate) mod npy;
mod origin;
pub mod statistics;
mod tensors;

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use deepsim_data::atomic::write_atomic;
use tracing::{info, warn};

use crate::EvalError;
use crate::arrays::numbers;
use npy::Array;

pub use extract::{View, extract, photos};
pub use origin::Origin;
pub use statistics::{Bounds, Statistics};
use tensors::{KEY, from_safetensors, tensor};
pub(crate) use tensors::{tensors, to_safetensors};

/// Features of pictures at one or more taps of a network.
#[derive(Clone, Debug)]
pub struct Features {
    /// File that they were read from, for messages.
    path: PathBuf,
    /// Origin, as far as it is known.
    pub origin: Origin,
    /// Name of each tap, `None` in a file without names, and its features `(n, ...)`.
    taps: Vec<(Option<String>, Tensor)>,
}

/// Features in the shape that a network takes.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Features, `(n, ...)`.
    pub tensor: Tensor,
    /// Shape in the file, if it was another one with as many numbers.
    pub reshaped_from: Option<Vec<usize>>,
}

impl Features {
    /// Takes features that were computed, `(n, ...)` for each tap.
    ///
    /// # Errors
    /// If there are no features, or taps or names for different numbers of pictures.
    pub fn new(origin: Origin, taps: Vec<(String, Tensor)>) -> Result<Self, EvalError> {
        let taps = taps.into_iter().map(|(tap, tensor)| (Some(tap), tensor)).collect();
        Self { path: "features".into(), origin, taps }.checked()
    }

    /// Reads a `.npy` or `.safetensors` file, recognised by its content.
    ///
    /// # Errors
    /// If the file cannot be read or is another one, holds nothing, numbers that are not finite, or taps or names for
    /// different numbers of pictures.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(EvalError::io("reading features from", path))?;
        Self::parse(path, &bytes)
    }

    /// Parses the bytes of a `.npy` or `.safetensors` file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Features::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EvalError> {
        let (origin, taps) = match bytes.starts_with(npy::MAGIC) {
            true => (Origin::default(), vec![(None, tensor(npy::parse(path, bytes)?)?)]),
            false => from_safetensors(path, bytes)?,
        };
        Self { path: path.into(), origin, taps }.checked()
    }

    /// Writes a file, whole or not at all: `.npy` for features of one tap, or `.safetensors`.
    ///
    /// # Errors
    /// If the name has another ending, `.npy` is to hold several taps, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        Ok(write_atomic(path, &self.to_bytes(path)?)?)
    }

    /// Refuses a path that [`Features::write`] cannot write so many taps to.
    ///
    /// # Errors
    /// If the name has another ending, or `.npy` is to hold several taps.
    pub fn check_path(path: &Path, taps: usize) -> Result<(), EvalError> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => Ok(()),
            Some("npy") if taps == 1 => Ok(()),
            Some("npy") => Err(EvalError::features(
                path,
                "one tap, or a .safetensors file",
                format!("{taps} taps"),
            )),
            other => Err(EvalError::features(
                path,
                "a name that ends in .npy or .safetensors",
                other.map_or("none".into(), |ending| format!(".{ending}")),
            )),
        }
    }

    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, EvalError> {
        Self::check_path(path, self.taps.len())?;
        if path.extension().is_some_and(|ending| ending == "npy") {
            let (_, tensor) = &self.taps[0];
            return Ok(npy::to_bytes(&Array {
                shape: tensor.dims().into(),
                values: numbers(tensor)?,
            }));
        }
        let tensors = self.taps.iter().map(|(tap, tensor)| {
            (tap.clone().unwrap_or_else(|| "features".into()), tensor.clone())
        });
        let origin = serde_json::json!(self.origin).to_string();
        to_safetensors(tensors, Some((KEY, origin)))
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.taps[0].1.dims().first().copied().unwrap_or(0)
    }

    /// Returns false: features without pictures are refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the taps; those of a file without names are left out.
    pub fn taps(&self) -> impl Iterator<Item = &str> {
        self.taps.iter().filter_map(|(tap, _)| tap.as_deref())
    }

    /// Each tap with its features, `(n, ...)`; a tap without a name is `features`.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.taps.iter().map(|(tap, tensor)| (tap.as_deref().unwrap_or("features"), tensor))
    }

    /// Features at a tap, in the shape `shape` of one picture. The only tensor of a file is taken whatever its name, with
    /// a warning. Flat ones with as many numbers for a picture, and those with other axes of length 1, are reshaped, and
    /// that is said; one without the axis of pictures is taken as those of one picture.
    ///
    /// # Errors
    /// If there is no such tap, or its features have another shape.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use deepsim_eval::features::Features;
    /// let flat = Tensor::zeros((2, 9216), DType::F32, &Device::Cpu)?;
    /// let features = Features::new(Default::default(), vec![("CONV5".into(), flat)])?;
    /// let fitted = features.at("CONV5", &[256, 6, 6])?;
    /// assert_eq!(fitted.tensor.dims(), [2, 256, 6, 6]);
    /// assert_eq!(fitted.reshaped_from, Some(vec![2, 9216]));
    /// let message = features.at("CONV5", &[4096]).unwrap_err().to_string();
    /// assert_eq!(message, "features: expected features of shape (n, 4096) for CONV5, found (2, 9216)");
    /// # Ok::<(), deepsim_eval::EvalError>(())
    /// ```
    pub fn at(&self, tap: &str, shape: &[usize]) -> Result<Fitted, EvalError> {
        let named = self.taps.iter().find(|(name, _)| name.as_deref() == Some(tap));
        let (_, tensor) = match (named, &self.taps[..]) {
            (Some(found), _) => found,
            (None, [only]) => {
                if let Some(name) = &only.0 {
                    warn!(
                        "{}: no features of {tap}; those of {name} are taken",
                        self.path.display()
                    );
                }
                only
            }
            _ => {
                let found = self.taps().collect::<Vec<_>>().join(", ");
                return Err(EvalError::features(&self.path, format!("features of {tap}"), found));
            }
        };
        let dims = tensor.dims();
        let count: usize = shape.iter().product();
        let n = match dims {
            dims if dims == shape => 1,
            [n, rest @ ..] if flat_or_alike(rest, shape) => *n,
            &[numbers] if numbers == count => 1,
            _ => {
                let expected = format!("features of shape {} for {tap}", axes("n", shape));
                let found = match dims {
                    [n, rest @ ..] => axes(&n.to_string(), rest),
                    [] => "a single number".into(),
                };
                return Err(EvalError::features(&self.path, expected, found));
            }
        };
        let wanted = [&[n], shape].concat();
        let reshaped_from = (dims != wanted).then(|| dims.to_vec());
        if reshaped_from.is_some() {
            info!("features of shape {dims:?} are taken as {wanted:?} for {tap}");
        }
        Ok(Fitted { tensor: tensor.reshape(wanted)?, reshaped_from })
    }

    fn checked(self) -> Result<Self, EvalError> {
        let wrong =
            |expected: &str, found: String| EvalError::features(&self.path, expected, found);
        let Some((_, first)) = self.taps.first() else {
            return Err(wrong("features of a tap or more", "none".into()));
        };
        let n = first.dims().first().copied().unwrap_or(0);
        for (tap, tensor) in &self.taps {
            let tap = tap.as_deref().unwrap_or("features");
            if tensor.elem_count() == 0 {
                return Err(wrong(&format!("numbers for {tap}"), format!("{:?}", tensor.dims())));
            }
            if tensor.dims().first().copied().unwrap_or(0) != n {
                let found = format!("{:?} for {tap}", tensor.dims());
                return Err(wrong(&format!("features of {n} pictures at every tap"), found));
            }
            let values = numbers(tensor)?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let picture = at / (values.len() / n.max(1)).max(1);
                let found = format!("{} in picture {picture} of {tap}", values[at]);
                return Err(wrong("finite numbers", found));
            }
        }
        let names = self.origin.pictures.len();
        if names != 0 && names != n {
            return Err(wrong(&format!("names of {n} pictures"), names.to_string()));
        }
        Ok(self)
    }
}

/// Returns true for a shape that is the flattened `shape`, or differs from it in axes of length 1 alone: any other order of
/// the axes, such as channels last, has the same count, and would be scrambled.
fn flat_or_alike(found: &[usize], shape: &[usize]) -> bool {
    let sides = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|side| *side != 1).collect()
    };
    let flat = found.len() == 1 && found[0] == shape.iter().product::<usize>();
    flat || sides(found) == sides(shape)
}

/// Shape in words, `(n, 256, 6, 6)`.
fn axes(first: &str, rest: &[usize]) -> String {
    let rest: String = rest.iter().map(|side| format!(", {side}")).collect();
    format!("({first}{rest})")
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn ramp(shape: &[usize]) -> Tensor {
        let n = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n).map(|i| i as f32 - 3.5).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
    }

    fn features() -> Features {
        let origin = Origin {
            net: Some("alexnet".into()),
            weights: Some("weights alexnet.safetensors".into()),
            images: None,
            pictures: vec!["a/pug.png".into(), "b/pug.jpg".into()],
        };
        let taps = vec![("CONV3".into(), ramp(&[2, 4, 3, 3])), ("FC6".into(), ramp(&[2, 5]))];
        Features::new(origin, taps).expect("features")
    }

    #[test]
    fn both_forms_give_back_what_was_written() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("f.safetensors");
        let written = features();
        written.write(&path)?;
        let read = Features::read(&path)?;
        assert_eq!((&read.origin, read.len()), (&written.origin, 2));
        assert_eq!(read.taps().collect::<Vec<_>>(), ["CONV3", "FC6"]);
        for (tap, shape) in [("CONV3", &[4, 3, 3][..]), ("FC6", &[5])] {
            let [a, b] = [&read, &written].map(|features| features.at(tap, shape));
            let (a, b) = (a?, b?);
            assert_eq!(a.reshaped_from, None);
            assert_eq!(numbers(&a.tensor)?, numbers(&b.tensor)?);
        }
        let path = folder.path().join("f.npy");
        assert!(written.write(&path).is_err_and(|e| e.to_string().contains("found 2 taps")));
        Features::new(Origin::default(), vec![("FC6".into(), ramp(&[2, 5]))])?.write(&path)?;
        let read = Features::read(&path)?;
        assert_eq!((read.len(), read.taps().count()), (2, 0));
        assert_eq!(numbers(&read.at("FC6", &[5])?.tensor)?, numbers(&ramp(&[2, 5]))?);
        assert!(written.write(&folder.path().join("f.csv")).is_err());
        assert!(!folder.path().join("f.csv").exists());
        Ok(())
    }

    #[test]
    fn features_of_one_picture_need_no_axis_of_pictures() -> Result<(), EvalError> {
        let one =
            |shape: &[usize]| Features::new(Origin::default(), vec![("X".into(), ramp(shape))]);
        assert_eq!(one(&[4, 3, 3])?.at("X", &[4, 3, 3])?.tensor.dims(), [1, 4, 3, 3]);
        assert_eq!(one(&[36])?.at("X", &[4, 3, 3])?.tensor.dims(), [1, 4, 3, 3]);
        assert_eq!(one(&[36])?.at("X", &[36])?.tensor.dims(), [1, 36]);
        assert_eq!(one(&[7, 36])?.at("X", &[4, 9])?.tensor.dims(), [7, 4, 9]);
        assert_eq!(one(&[7, 36, 1, 1])?.at("X", &[36])?.tensor.dims(), [7, 36]);
        let last = one(&[7, 3, 3, 4])?.at("X", &[4, 3, 3]).expect_err("channels last").to_string();
        assert_eq!(
            last,
            "features: expected features of shape (n, 4, 3, 3) for X, found (7, 3, 3, 4)"
        );
        Ok(())
    }

    #[test]
    fn wrong_shapes_taps_and_numbers_are_refused_with_the_path()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("f.npy");
        let write = |shape: &[usize], values: Vec<f32>| {
            std::fs::write(&path, npy::to_bytes(&Array { shape: shape.into(), values }))
        };
        write(&[2, 9000], vec![0.0; 18000])?;
        let message =
            Features::read(&path)?.at("CONV5", &[256, 6, 6]).expect_err("9000").to_string();
        let words = "f.npy: expected features of shape (n, 256, 6, 6) for CONV5, found (2, 9000)";
        assert!(message.ends_with(words), "{message}");
        write(&[2, 2], vec![0.0, 1.0, 2.0, f32::NAN])?;
        let message = Features::read(&path).expect_err("NaN").to_string();
        assert!(
            message.ends_with("f.npy: expected finite numbers, found NaN in picture 1 of features")
        );
        write(&[0, 4], Vec::new())?;
        assert!(Features::read(&path).is_err());
        std::fs::write(&path, "a picture")?;
        let message = Features::read(&path).expect_err("no features").to_string();
        assert!(
            message.contains("f.npy: expected a .npy or .safetensors file, found "),
            "{message}"
        );
        let message = features().at("CONV9", &[5]).expect_err("no such tap").to_string();
        assert_eq!(message, "features: expected features of CONV9, found CONV3, FC6");
        let uneven = vec![("A".into(), ramp(&[2, 5])), ("B".into(), ramp(&[3, 5]))];
        assert!(Features::new(Origin::default(), uneven).is_err());
        let single = vec![("A".into(), ramp(&[2, 5])), ("B".into(), ramp(&[]))];
        let message = Features::new(Origin::default(), single).expect_err("a number").to_string();
        assert_eq!(
            message,
            "features: expected features of 2 pictures at every tap, found [] for B"
        );
        let twice = vec![("A".into(), ramp(&[2, 5])), ("A".into(), ramp(&[2, 5]))];
        let path = folder.path().join("twice.safetensors");
        let message = Features::new(Origin::default(), twice)?.write(&path).expect_err("twice");
        assert!(message.to_string().contains("expected distinct taps, found A twice"), "{message}");
        assert!(!path.exists());
        let origin = Origin { pictures: vec!["one".into()], ..Origin::default() };
        let message = Features::new(origin, vec![("A".into(), ramp(&[2, 5]))]).expect_err("names");
        assert_eq!(message.to_string(), "features: expected names of 2 pictures, found 1");
        Ok(())
    }
}
