//! A file of weights: named tensors of numbers.

use std::path::Path;

use crate::ImportError;
use crate::error::Reason;
use crate::{caffe, onnx, safetensors, torch};

/// Largest file that is read, in bytes: the largest network imported here has half of it, and a
/// reader may need sixteen times as much memory for a file made to need much.
pub const MAX_FILE: u64 = 1 << 29;

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

impl Format {
    /// The form of a file, told from its first bytes and, where these say nothing, from its fields.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"PK\x03\x04") {
            return Some(Self::TorchZip);
        }
        if torch::legacy::recognises(bytes) {
            return Some(Self::TorchLegacy);
        }
        if safetensors::recognises(bytes) {
            return Some(Self::Safetensors);
        }
        if onnx::recognises(bytes) {
            return Some(Self::Onnx);
        }
        if caffe::recognises(bytes) {
            return Some(Self::Caffe);
        }
        caffe::recognises_blob(bytes).then_some(Self::CaffeBlob)
    }
}

/// The tensors of a file in any of the forms.
///
/// # Errors
/// Says what is wrong with the bytes, and where.
pub fn parse(bytes: &[u8]) -> Result<(Format, Vec<Blob>), String> {
    let format = Format::of(bytes).ok_or_else(|| {
        "wanted a .caffemodel, .binaryproto, .onnx, .pth or safetensors file, got none of them"
            .to_owned()
    })?;
    let blobs = match format {
        Format::Caffe => caffe::blobs(bytes),
        Format::CaffeBlob => caffe::mean(bytes).map(|blob| vec![blob]),
        Format::Onnx => onnx::blobs(bytes),
        Format::TorchZip => torch::archive::blobs(bytes),
        Format::TorchLegacy => torch::legacy::blobs(bytes),
        Format::Safetensors => safetensors::blobs(bytes),
    };
    Ok((format, blobs?))
}

/// Reads a file and its tensors. The bytes are returned too, so that they can be summed.
///
/// # Errors
/// If the file cannot be read, is larger than [`MAX_FILE`], or its content is broken.
pub fn read(path: &Path) -> Result<(Vec<u8>, Format, Vec<Blob>), ImportError> {
    use std::io::Read;
    let broken = |reason: String| ImportError::Broken { path: path.into(), reason };
    let file = std::fs::File::open(path).map_err(ImportError::io("opening", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(ImportError::io("reading", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(broken(format!("wanted at most {MAX_FILE} bytes, got more")));
    }
    let (format, blobs) = parse(&bytes).map_err(broken)?;
    Ok((bytes, format, blobs))
}
