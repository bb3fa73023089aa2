//! JPEG and PNG files to RGB pixels, as Pillow's `Image.open(file).convert("RGB")` gives them.
//!
//! What a file is shows in its first bytes, not in its name: ILSVRC has a PNG named `.JPEG`. Grey
//! becomes RGB, transparency is dropped, CMYK is converted, and a rotation in EXIF data is ignored,
//! all as Pillow does. Damaged files are errors, where Pillow fills some of them with grey.

use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::DataError;
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
/// If the bytes are no JPEG or PNG, are damaged or cut off, or have more than [`MAX_PIXELS`].
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
    let length = std::fs::metadata(path).map_err(DataError::io("reading the size of", path))?.len();
    if length > MAX_FILE {
        return Err(broken(path, format!("{length} bytes; wanted at most {MAX_FILE}")));
    }
    decode(&std::fs::read(path).map_err(DataError::io("reading", path))?, path)
}

/// Decodes into a picture whose memory is used again.
pub(crate) fn decode_into(
    bytes: &[u8],
    path: &Path,
    picture: &mut Picture,
) -> Result<(), DataError> {
    match bytes {
        [0xff, 0xd8, ..] => decode_jpeg(bytes, path, picture),
        [0x89, b'P', b'N', b'G', ..] => {
            *picture = Picture::from_png(bytes, path)?;
            Ok(())
        }
        _ => {
            let start = &bytes[..bytes.len().min(4)];
            let got = format!("{} bytes that begin with {start:02x?}", bytes.len());
            Err(DataError::Content { path: path.into(), wanted: "a JPEG or PNG file".into(), got })
        }
    }
}

fn broken(path: &Path, reason: impl ToString) -> DataError {
    DataError::Decode { path: path.into(), reason: reason.to_string() }
}

/// Refuses sizes that a few bytes of header can claim.
pub(crate) fn check_size(width: usize, height: usize, path: &Path) -> Result<(), DataError> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(broken(path, format!("{width}x{height} pixels; wanted 1 to {MAX_PIXELS}"))),
    }
}

fn decode_jpeg(bytes: &[u8], path: &Path, picture: &mut Picture) -> Result<(), DataError> {
    // Strict: a file that is cut off or has wrong codes is an error, not a picture that is partly
    // grey. Bytes between segments do no harm, and old cameras and editors leave them.
    match decode_jpeg_with(true, bytes, path, picture) {
        Err(DataError::Decode { reason, .. }) if reason.contains("Extra bytes between headers") => {
            decode_jpeg_with(false, bytes, path, picture)
        }
        result => result,
    }
}

fn decode_jpeg_with(
    strict: bool,
    bytes: &[u8],
    path: &Path,
    picture: &mut Picture,
) -> Result<(), DataError> {
    let failed = |error: DecodeErrors| broken(path, error);
    let options = DecoderOptions::default()
        .set_strict_mode(strict)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| broken(path, "no size"))?;
    check_size(width, height, path)?;
    let length = 3 * width * height;
    if decoder.output_buffer_size() != Some(length) {
        let components = decoder.info().map_or(0, |info| info.components);
        return Err(broken(path, format!("{components} channels; wanted 1, 3 or 4")));
    }
    picture.rgb.resize(length, 0);
    (picture.width, picture.height) = (width, height);
    decoder.decode_into(&mut picture.rgb).map_err(failed)
}
