//! Contents of a weight file: named tensors of numbers.

use crate::error::Reason;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Its name. Blobs of a Caffe layer are called `LAYER.weight`, `LAYER.bias`, `LAYER.blob2`, ...
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, in the order of the shape.
    pub values: Vec<f32>,
}

impl Blob {
    /// A tensor, if there is a value for every place of the shape.
    pub(crate) fn new(name: String, shape: Vec<usize>, values: Vec<f32>) -> Result<Self, Reason> {
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        match count == Some(values.len()) {
            true => Ok(Self { name, shape, values }),
            false => Err(format!("{name}: shape {shape:?}, but {} values", values.len())),
        }
    }
}

/// Tensors of a file, and what surrounds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// The form of the file.
    pub format: Format,
    /// Its tensors of floating-point numbers.
    pub blobs: Vec<Blob>,
    /// Keys of the dictionaries of a PyTorch checkpoint that hold the tensors, e.g. `state_dict`.
    pub container: Option<String>,
    /// Names of values that stand among the tensors and are none, and what they are.
    pub skipped: Vec<(String, String)>,
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
