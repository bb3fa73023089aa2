//! A file of weights: named tensors of numbers.

use std::path::Path;

use crate::ImportError;
use crate::error::Reason;
use crate::{caffe, foreign, onnx, safetensors, torch};

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
        if caffe::recognises_blob(bytes) {
            return Some(Self::CaffeBlob);
        }
        if onnx::recognises(bytes) {
            return Some(Self::Onnx);
        }
        caffe::recognises(bytes).then_some(Self::Caffe)
    }
}

/// Reads the tensors of a file in any of the forms. `part` names the dictionary of a PyTorch
/// checkpoint that holds them; by default it is the likeliest, e.g. `state_dict`.
///
/// # Errors
/// Says what is wrong with the bytes, and where, or what the file is if it is no file of weights.
pub fn parse(bytes: &[u8], part: Option<&str>) -> Result<Contents, String> {
    let format = Format::of(bytes).ok_or_else(|| {
        let forms = ".caffemodel, .binaryproto, .onnx, .pth or safetensors";
        format!("expected a {forms} file, found {}", foreign::describe(bytes))
    })?;
    let plain = |blobs: Result<Vec<Blob>, String>| {
        let (container, skipped, notes) = (None, Vec::new(), Vec::new());
        Ok::<_, String>(Contents { format, blobs: blobs?, container, skipped, notes })
    };
    let contents = match format {
        Format::Caffe => plain(caffe::blobs(bytes)),
        Format::CaffeBlob => plain(caffe::mean(bytes).map(|blob| vec![blob])),
        Format::Onnx => plain(onnx::blobs(bytes)),
        Format::TorchZip => torch::archive::read(bytes, part),
        Format::TorchLegacy => torch::legacy::read(bytes, part),
        Format::Safetensors => plain(safetensors::blobs(bytes)),
    }?;
    match contents.blobs.is_empty() {
        true => Err(format!("{format:?}, without a tensor of floating-point numbers")),
        false => Ok(contents),
    }
}

/// Reads a file and its tensors, as [`parse`]. The bytes are returned too, so that they can be summed.
///
/// # Errors
/// If the file cannot be read, is larger than [`MAX_FILE`], or its content is broken.
pub fn read(path: &Path, part: Option<&str>) -> Result<(Vec<u8>, Contents), ImportError> {
    use std::io::Read;
    let broken = |reason: String| ImportError::Broken { path: path.into(), reason };
    let file = std::fs::File::open(path).map_err(ImportError::io("opening", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(ImportError::io("reading", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(broken(format!("expected at most {MAX_FILE} bytes, found more")));
    }
    let contents = parse(&bytes, part).map_err(broken)?;
    Ok((bytes, contents))
}
