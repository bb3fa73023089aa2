//! Pixels as they are, with their size: the form in which decoded pictures are handed on.

use std::path::Path;

use super::{broken, check_size};
use crate::DataError;
use crate::memory::{resize, rgb_bytes};
use crate::picture::Picture;

/// First bytes; no picture file begins with them.
const MAGIC: &[u8; 12] = b"\0deepsim rgb";
const HEADER: usize = MAGIC.len() + 8;

/// Makes `bytes` a picture of this size, and returns its pixels, interleaved; `None` if there is no room.
pub(crate) fn begin(bytes: &mut Vec<u8>, height: usize, width: usize) -> Option<&mut [u8]> {
    let length = rgb_bytes(1, height, width).and_then(|length| length.checked_add(HEADER));
    bytes.clear();
    resize(bytes, length).ok()?;
    let (header, pixels) = bytes.split_at_mut(HEADER);
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..MAGIC.len() + 4]
        .copy_from_slice(&u32::try_from(height).ok()?.to_le_bytes());
    header[MAGIC.len() + 4..].copy_from_slice(&u32::try_from(width).ok()?.to_le_bytes());
    Some(pixels)
}

/// True for bytes that [`begin`] has begun.
pub(crate) fn is_raw(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Copies the pixels.
pub(super) fn decode(bytes: &[u8], path: &Path, picture: &mut Picture) -> Result<(), DataError> {
    let found = || broken(path, format!("expected pixels, found {} bytes", bytes.len()));
    let (header, pixels) = bytes.split_at_checked(HEADER).ok_or_else(found)?;
    let (sizes, _) = header[MAGIC.len()..].as_chunks::<4>();
    let [height, width] = [0, 1].map(|at| u32::from_le_bytes(sizes[at]) as usize);
    check_size(width, height, path)?;
    if pixels.len() != 3 * width * height {
        return Err(found());
    }
    picture.rgb.clear();
    picture.rgb.extend_from_slice(pixels);
    (picture.height, picture.width) = (height, width);
    Ok(())
}
