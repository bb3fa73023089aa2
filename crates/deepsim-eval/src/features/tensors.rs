//! Tensors of features as bytes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use deepsim_nets::params;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::npy::Array;
use super::origin::Origin;
use crate::EvalError;

pub(super) fn tensor(Array { shape, values }: Array) -> Result<Tensor, EvalError> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Key of the metadata of a file.
pub(super) const KEY: &str = "features";

/// Bytes of a file with these tensors and an entry of metadata.
pub(crate) fn to_safetensors(
    tensors: impl Iterator<Item = (String, Tensor)>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>, EvalError> {
    let values = tensors
        .map(|(name, tensor)| Ok((name, tensor.dims().to_vec(), params::to_bytes(&tensor)?)))
        .collect::<Result<Vec<_>, EvalError>>()?;
    let mut seen = HashSet::new();
    if let Some((name, ..)) = values.iter().find(|(name, ..)| !seen.insert(name)) {
        let twice = format!("{name} twice");
        return Err(EvalError::input("writing features", "distinct taps", twice));
    }
    let views = values.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.expect("as many bytes as values of the type need"))
    });
    let metadata = metadata.map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
    serialize(views, metadata)
        .map_err(|error| EvalError::input("writing features", "tensors", error.to_string()))
}

/// Tensors of a file, in the order of their names.
pub(crate) fn tensors(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Tensor)>, EvalError> {
    let file = params::parse(path, bytes).map_err(|error| {
        let (error, path_first) = (error.to_string(), format!("{}: ", path.display()));
        let reason = error.strip_prefix(&path_first).unwrap_or(&error);
        EvalError::features(path, "a .npy or .safetensors file", format!("neither ({reason})"))
    })?;
    let mut found = Vec::new();
    for (name, view) in file.iter() {
        let doubles = |bytes: &[u8]| -> Vec<f32> {
            let (values, _) = bytes.as_chunks();
            values.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
        };
        let values = match view.dtype() {
            Dtype::F64 => Some(doubles(view.data())),
            _ => params::values_of(&view),
        };
        let values = values.ok_or_else(|| {
            let got = format!("{:?} in {name}", view.dtype());
            EvalError::features(path, "numbers of float16, float32 or float64", got)
        })?;
        found.push((name.to_owned(), Tensor::from_vec(values, view.shape(), &Device::Cpu)?));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Origin and features of a file.
type Parsed = (Origin, Vec<(Option<String>, Tensor)>);

pub(super) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Parsed, EvalError> {
    let taps = tensors(path, bytes)?.into_iter().map(|(tap, tensor)| (Some(tap), tensor)).collect();
    let metadata = deepsim_nets::header::metadata(path)?;
    let origin = match metadata.get(KEY) {
        None => Origin::default(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            EvalError::features(path, "names of pictures in the metadata", error.to_string())
        })?,
    };
    Ok((origin, taps))
}
