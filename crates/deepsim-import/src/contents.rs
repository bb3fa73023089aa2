//! Contents of a weight file: named tensors of numbers.

use crate::error::Reason;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Name. Blobs of a Caffe layer are called `LAYER.weight`, `LAYER.bias`, `LAYER.blob2`, ...
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, in the order of the shape.
    pub values: Vec<f32>,
}

impl Blob {
    /// Creates a tensor if there is a value for every place of the shape.
    pub(crate) fn new(name: String, shape: Vec<usize>, values: Vec<f32>) -> Result<Self, Reason> {
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        match count == Some(values.len()) {
            true => Ok(Self { name, shape, values }),
            false => Err(format!("{name}: shape {shape:?}, but {} values", values.len())),
        }
    }
}

/// Value among the tensors of a file that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Name in the file.
    pub name: String,
    /// Description, e.g. `a tensor of numbers that are no weights`.
    pub what: String,
    /// True if it may still hold the weights of a layer, e.g. as bytes.
    pub weights: bool,
}

impl Skipped {
    /// Describes a tensor of whole or complex numbers, or of others that are not used as weights
    /// here.
    pub(crate) fn tensor(name: String, shape: &[usize]) -> Self {
        let what = "a tensor of numbers that are no weights".to_owned();
        Self { name, what, weights: may_be_weights(shape) }
    }
}

/// Converts numbers to single precision.
///
/// # Errors
/// If all of them become zero although they were not.
pub(crate) fn single(name: &str, values: impl Iterator<Item = f64>) -> Result<Vec<f32>, Reason> {
    let mut vanishing = false;
    let values: Vec<f32> = values
        .map(|value| {
            vanishing |= value != 0.0 && value as f32 == 0.0;
            value as f32
        })
        .collect();
    match vanishing && values.iter().all(|value| *value == 0.0) {
        true => Err(vanished(name, values.len())),
        false => Ok(values),
    }
}

/// Describes a tensor that becomes zero in single precision.
pub(crate) fn vanished(name: &str, count: usize) -> Reason {
    format!(
        "{name}: its {count} values are too small for single precision, which makes all of them zero"
    )
}

/// Returns true if a shape is that of a matrix or of kernels, even flattened to one row.
pub(crate) fn may_be_weights(shape: &[usize]) -> bool {
    const LONGEST_BIAS: usize = 4096;
    let long = shape.iter().fold(1usize, |n, side| n.saturating_mul(*side)) > LONGEST_BIAS;
    long || shape.iter().filter(|side| **side != 1).count() > 1
}

/// Tensors of a file, and facts about the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// The form of the file.
    pub format: Format,
    /// Tensors of floating-point numbers.
    pub blobs: Vec<Blob>,
    /// Keys of the dictionaries of a PyTorch checkpoint that hold the tensors, e.g. `state_dict`.
    pub container: Option<String>,
    /// Other dictionaries of the checkpoint that hold tensors.
    pub others: Vec<String>,
    /// Values that stand among the tensors and are not read.
    pub skipped: Vec<Skipped>,
    /// Sentences about the file for people.
    pub notes: Vec<String>,
}

/// Forms of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A network of Caffe: `.caffemodel`.
    Caffe,
    /// A mean image of Caffe: `.binaryproto`.
    CaffeBlob,
    /// ONNX.
    Onnx,
    /// PyTorch, as a zip archive.
    TorchZip,
    /// PyTorch before version 1.6.
    TorchLegacy,
    /// safetensors.
    Safetensors,
}
