//! JPEG and PNG files to RGB pixels, as Pillow's `Image.open(file).convert("RGB")` gives them.
//!
//! What a file is shows in its first bytes, not in its name: ILSVRC has a PNG named `.JPEG`. Grey
//! becomes RGB, transparency is dropped, CMYK is converted, and a rotation in EXIF data is ignored,
//! all as Pillow does. [`decode_photo`] turns people's own photographs upright and composites
//! transparency.
//!
//! Values of JPEGs differ from Pillow's by at most 5, except in [one column and one row](crate#jpegs);
//! kinds of JPEGs of which that is not so are refused. PNGs are equal, except that 16-bit values keep
//! their upper 8 bits, where Pillow clips those of 16-bit grey at 255, which makes most of them white.
//!
//! A file with an impossible code, or that ends before its last pixel, is an error, where Pillow fills
//! some of these with grey. A JPEG whose missing part was replaced with an end marker, as tools for
//! recovery do, is decoded: that part is grey or has the last colours. A panic of a decoder is an error of the picture.

use std::path::Path;

mod header;
mod jpeg;
#[cfg(feature = "formats")]
mod others;
mod photo;
pub(crate) mod png;
pub(crate) mod raw;
mod segments;
mod unknown;

pub use photo::{decode_photo, read_photo};

use crate::DataError;
use crate::panics::caught;
use crate::picture::Picture;

/// Pictures with more pixels are refused before memory is taken for them; the limit above which
/// Pillow warns.
pub const MAX_PIXELS: usize = (1 << 30) / 12;

/// Pictures with more bytes in their file are refused.
pub const MAX_FILE: u64 = 1 << 30;

/// Decodes a JPEG or PNG file that is in memory; `path` is for messages.
///
/// ```
/// use deepsim_data::{decode::decode, picture::Picture};
/// let png = Picture::new(2, 3, [10, 20, 30]).to_png()?;
/// let picture = decode(&png, "a.png".as_ref())?;
/// assert_eq!((picture.width, picture.height, &picture.rgb[..3]), (3, 2, &[10, 20, 30][..]));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
///
/// # Errors
/// If the bytes are no JPEG or PNG, are damaged or cut off, have more than [`MAX_PIXELS`], or are a JPEG of
/// a kind that is not read.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Picture, DataError> {
    let mut picture = Picture { width: 0, height: 0, rgb: Vec::new() };
    decode_into(bytes, path, &mut picture)?;
    Ok(picture)
}

/// Reads and decodes a file; see [`decode`].
///
/// # Errors
/// If it cannot be read or decoded.
pub fn read(path: &Path) -> Result<Picture, DataError> {
    decode(&read_file(path)?, path)
}

/// The bytes of a picture file, at most [`MAX_FILE`].
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let length = std::fs::metadata(path).map_err(DataError::io("reading", path))?.len();
    if length > MAX_FILE {
        return Err(broken(path, format!("expected at most {MAX_FILE} bytes, found {length}")));
    }
    std::fs::read(path).map_err(DataError::io("reading", path))
}

/// Decodes into a picture whose memory is used again.
pub(crate) fn decode_into(
    bytes: &[u8],
    path: &Path,
    picture: &mut Picture,
) -> Result<(), DataError> {
    if png::is_png(bytes) {
        *picture = Picture::from_png(bytes, path)?;
        return Ok(());
    }
    if raw::is_raw(bytes) {
        return raw::decode(bytes, path, picture);
    }
    #[cfg(feature = "formats")]
    if let Some(format) = others::format(bytes) {
        return caught(|| others::decode(bytes, format, path, picture))
            .unwrap_or_else(|reason| Err(panicked(path, reason)));
    }
    if !bytes.starts_with(&[0xff, 0xd8]) {
        let found = unknown::describe(bytes);
        return Err(broken(path, format!("expected a JPEG or PNG file, found {found}")));
    }
    caught(|| jpeg::decode(bytes, path, picture))
        .unwrap_or_else(|reason| Err(panicked(path, reason)))
}

fn panicked(path: &Path, reason: String) -> DataError {
    broken(path, format!("the decoder panicked: {reason}"))
}

fn broken(path: &Path, reason: impl ToString) -> DataError {
    DataError::Decode { path: path.into(), reason: reason.to_string() }
}

/// Refuses sizes that a few bytes of header can claim.
pub(crate) fn check_size(width: usize, height: usize, path: &Path) -> Result<(), DataError> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => {
            Err(broken(path, format!("expected 1 to {MAX_PIXELS} pixels, found {width}x{height}")))
        }
    }
}
