//! PyTorch's `.pth` files: a pickle that describes tensors, and their bytes beside it.
//!
//! A pickle is a program that can call any function of Python. This reader calls none: it knows the
//! opcodes and a list of names that describe tensors ([`pickle`]). Any other object becomes an
//! opaque value, which is an error only where a tensor is needed.
//!
//! Since version 1.6 a file is a zip archive ([`archive`]). Older files hold pickles and bytes one
//! after the other ([`legacy`]).

pub mod archive;
pub mod legacy;
pub mod pickle;

use std::collections::HashMap;

use crate::contents::{Blob, Contents, Format, vanished};
use crate::error::Reason;
pub(crate) use pickle::is_averaged;
use pickle::{Kind, State, TensorInfo};

/// Most values of all tensors together: those of files are never larger than their storages, but many
/// tensors may share one.
const MAX_VALUES: usize = 1 << 28;
/// Most values of a tensor that repeats those of its storage.
const MAX_EXPANDED: usize = 1 << 20;

/// Turns descriptions into tensors, given the bytes of the storages by their keys.
fn contents<'a>(
    format: Format,
    state: State,
    storage: impl Fn(&str, usize) -> Result<&'a [u8], Reason>,
) -> Result<Contents, Reason> {
    let blobs = tensors(state.tensors, storage)?;
    let State { container, others, skipped, averaged, .. } = state;
    let notes = averaged
        .iter()
        .map(|name| format!("averaged weights are there too; --part {name} reads them"))
        .collect();
    Ok(Contents { format, blobs, container, others, skipped, notes })
}

fn tensors<'a>(
    infos: Vec<(String, TensorInfo)>,
    storage: impl Fn(&str, usize) -> Result<&'a [u8], Reason>,
) -> Result<Vec<Blob>, Reason> {
    let (mut all, mut total, mut storages) = (Vec::new(), 0usize, HashMap::new());
    for (name, info) in infos {
        let size = info.storage.kind.size();
        let key = info.storage.key.clone();
        let bytes = match storages.get(&key) {
            Some(bytes) => *bytes,
            None => {
                let expected = info.storage.len.checked_mul(size);
                let expected = expected.ok_or_else(|| format!("{name}: a storage without end"))?;
                let bytes: &[u8] = storage(&key, expected).map_err(|e| format!("{name}: {e}"))?;
                *storages.entry(key).or_insert(bytes)
            }
        };
        let count = info.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        // A stride of 0 would make a tensor of any size from one number.
        let count = count.filter(|count| *count <= info.storage.len.max(MAX_EXPANDED));
        let count = count.ok_or_else(|| {
            let (shape, len) = (&info.shape, info.storage.len);
            format!("{name}: shape {shape:?}, but a storage of {len} values")
        })?;
        total += count;
        if total > MAX_VALUES {
            return Err(format!("{name}: expected at most {MAX_VALUES} values in all, found more"));
        }
        let values = values(&name, &info, count, bytes, size)?;
        all.push(Blob::new(name, info.shape, values)?);
    }
    Ok(all)
}
/// Returns the values of a tensor in the order of its shape, for any strides.
fn values(
    name: &str,
    info: &TensorInfo,
    count: usize,
    bytes: &[u8],
    size: usize,
) -> Result<Vec<f32>, Reason> {
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0usize; info.shape.len()];
    let (kind, mut vanishing) = (info.storage.kind, false);
    for _ in 0..count {
        let place = index
            .iter()
            .zip(&info.strides)
            .try_fold(info.offset, |place, (i, stride)| place.checked_add(i.checked_mul(*stride)?));
        let value = place
            .and_then(|place| bytes.get(place.checked_mul(size)?..)?.get(..size))
            .ok_or_else(|| format!("{name}: reaches out of its storage"))?;
        vanishing |= kind.vanishes(value);
        values.push(kind.value(value));
        for (i, side) in index.iter_mut().zip(&info.shape).rev() {
            *i += 1;
            if *i < *side {
                break;
            }
            *i = 0;
        }
    }
    match vanishing && values.iter().all(|value| *value == 0.0) {
        true => Err(vanished(name, count)),
        false => Ok(values),
    }
}

impl Kind {
    /// Returns the size of a value in bytes.
    fn size(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Double => 8,
            Self::Half | Self::BFloat16 => 2,
            Self::Other(size) => size,
        }
    }

    /// Returns true if a number is zero in single precision but not in its own.
    fn vanishes(self, bytes: &[u8]) -> bool {
        let Ok(bytes) = bytes.try_into() else { return false };
        let value = f64::from_le_bytes(bytes);
        self == Self::Double && value != 0.0 && value as f32 == 0.0
    }

    fn value(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::Float, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::Double, &[a, b, c, d, e, f, g, h]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
            }
            (Self::Half, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
            (Self::BFloat16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
            _ => f32::NAN,
        }
    }
}
