//! safetensors with any names of tensors.

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::contents::{Blob, Skipped, single};
use crate::error::reason;

/// Longest header of the format.
const MAX_HEADER: u64 = 100_000_000;

/// True if bytes begin as such a file, perhaps cut off: the length of a header that is one JSON object.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    let length = u64::from_le_bytes(*length);
    let whole = length <= rest.len() as u64 && rest.first() == Some(&b'{');
    whole || length <= MAX_HEADER && rest.starts_with(b"{\"")
}

/// The floating-point tensors of a file of 16 bits and more, and the others, which are not read.
///
/// # Errors
/// In the library's words.
pub fn blobs(bytes: &[u8]) -> Result<(Vec<Blob>, Vec<Skipped>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| match error {
        SafeTensorError::InvalidHeaderLength | SafeTensorError::MetadataIncompleteBuffer => {
            "the file ends before its tensors do, as if its download had stopped".to_owned()
        }
        error => reason(error),
    })?;
    let (mut all, mut skipped) = (Vec::new(), Vec::new());
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F64 => single(name, data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)))?,
            Dtype::F16 => {
                data.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
            }
            Dtype::BF16 => {
                data.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
            }
            _ => {
                skipped.push(Skipped::tensor(name.to_owned(), view.shape()));
                continue;
            }
        };
        all.push(Blob::new(name.to_owned(), view.shape().to_vec(), values)?);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    skipped.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((all, skipped))
}
