//! Weight files: named tensors of numbers.

use std::path::Path;

use crate::ImportError;
use crate::contents::{Blob, Contents, Format, Skipped};
use crate::{caffe, foreign, onnx, safetensors, torch};

/// Largest file that is read, in bytes, 640 MiB: the largest network imported here, VGG19, has 548, and a
/// reader may need sixteen times as much memory for a file made to need much.
pub const MAX_FILE: u64 = 640 << 20;

/// Returns the form of a file, told from its first bytes or, if these are ambiguous, from its fields.
fn format_of(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(Format::TorchZip);
    }
    if torch::legacy::recognises(bytes) {
        return Some(Format::TorchLegacy);
    }
    if safetensors::recognises(bytes) {
        return Some(Format::Safetensors);
    }
    if caffe::recognises_blob(bytes) {
        return Some(Format::CaffeBlob);
    }
    if onnx::recognises(bytes) {
        return Some(Format::Onnx);
    }
    caffe::recognises(bytes).then_some(Format::Caffe)
}

/// Reads the tensors of a file in any of the forms. `part` names the dictionary of a PyTorch
/// checkpoint that holds them; by default it is the likeliest, e.g. `state_dict`.
///
/// # Errors
/// If the bytes are broken (the error says where) or the file is no weight file (it says what the file is).
pub fn parse(bytes: &[u8], part: Option<&str>) -> Result<Contents, String> {
    let format = format_of(bytes).ok_or_else(|| {
        let forms = ".caffemodel, .binaryproto, .onnx, .pth or safetensors";
        format!("expected a {forms} file, found {}", foreign::describe(bytes))
    })?;
    let plain = |(blobs, skipped): (Vec<Blob>, Vec<Skipped>)| Contents {
        format,
        blobs,
        container: None,
        others: Vec::new(),
        skipped,
        notes: Vec::new(),
    };
    let contents = match format {
        Format::Caffe => caffe::blobs(bytes).map(|blobs| plain((blobs, Vec::new()))),
        Format::CaffeBlob => caffe::mean(bytes).map(|blob| plain((vec![blob], Vec::new()))),
        Format::Onnx => onnx::blobs(bytes).map(plain),
        Format::TorchZip => torch::archive::read(bytes, part),
        Format::TorchLegacy => torch::legacy::read(bytes, part),
        Format::Safetensors => safetensors::blobs(bytes).map(plain),
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
