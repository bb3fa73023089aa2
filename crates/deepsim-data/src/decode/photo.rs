//! People's own photographs: turned upright, transparency over white.

use std::path::Path;

use super::header::SOS;
use super::png::Alpha;
use super::segments::Segments;
use super::{decode, png, read_file};
use crate::DataError;
use crate::picture::Picture;

/// EXIF's tag of the orientation.
const ORIENTATION: u16 = 0x0112;
/// EXIF's types of 16-bit and 32-bit integers.
const SHORT: u16 = 3;
const LONG: u16 = 4;
/// The marker of the segment with EXIF data.
const APP1: u8 = 0xe1;

/// Decodes a photograph as people see it: turned upright as its EXIF data say (as Pillow's
/// `ImageOps.exif_transpose`), with transparent pixels composited over white.
///
/// Orientation is read from the EXIF segment of a JPEG and from the chunk `eXIf` of a PNG, not from XMP. EXIF
/// data that are missing or damaged turn nothing. Otherwise as [`decode`], which does neither, because
/// data sets are read as Pillow reads them.
///
/// ```
/// use deepsim_data::{decode::decode_photo, picture::Picture};
/// let png = Picture::new(2, 3, [10, 20, 30]).to_png()?;
/// let photo = decode_photo(&png, "a.png".as_ref())?;
/// assert_eq!((photo.width, photo.height, &photo.rgb[..3]), (3, 2, &[10, 20, 30][..]));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
///
/// # Errors
/// As [`decode`].
pub fn decode_photo(bytes: &[u8], path: &Path) -> Result<Picture, DataError> {
    let (picture, orientation) = if png::is_png(bytes) {
        let (picture, exif) = png::decode(bytes, path, Alpha::OverWhite)?;
        (picture, exif.and_then(|exif| orientation(&exif)))
    } else {
        let exif = Segments::of(bytes)
            .take_while(|(marker, _)| *marker != SOS)
            .filter(|(marker, _)| *marker == APP1)
            .find_map(|(_, content)| content.strip_prefix(b"Exif\0\0"));
        (decode(bytes, path)?, exif.and_then(orientation))
    };
    Ok(upright(picture, orientation.unwrap_or(1)))
}

/// Reads and decodes a photograph; see [`decode_photo`].
///
/// # Errors
/// If it cannot be read or decoded.
pub fn read_photo(path: &Path) -> Result<Picture, DataError> {
    decode_photo(&read_file(path)?, path)
}

/// The orientation in EXIF data, 1 to 8.
fn orientation(exif: &[u8]) -> Option<u8> {
    let big = match exif.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let start = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(start)?);
    // An entry has 12 bytes: tag, type, count, value.
    let mut entries = (0..entries).map_while(|i| start.checked_add(2 + 12 * i));
    let entry = entries.find(|at| u16_at(*at) == Some(ORIENTATION))?;
    let value = match (u16_at(entry + 2)?, u32_at(entry + 4)?) {
        (SHORT, 1) => u32::from(u16_at(entry + 8)?),
        (LONG, 1) => u32_at(entry + 8)?,
        _ => return None,
    };
    (1..=8).contains(&value).then_some(value as u8)
}

/// Turns a picture of this EXIF orientation upright.
fn upright(picture: Picture, orientation: u8) -> Picture {
    if orientation == 1 {
        return picture;
    }
    // The stored picture is read from the right, from below, and column by column.
    let right = matches!(orientation, 2 | 3 | 7 | 8);
    let below = matches!(orientation, 3 | 4 | 6 | 7);
    let columns = orientation >= 5;
    let Picture { width, height, rgb } = picture;
    let (new_width, new_height) = if columns { (height, width) } else { (width, height) };
    let mut turned = Vec::with_capacity(rgb.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (row, column) = if columns { (x, y) } else { (y, x) };
            let row = if below { height - 1 - row } else { row };
            let column = if right { width - 1 - column } else { column };
            let at = 3 * (row * width + column);
            turned.extend_from_slice(&rgb[at..at + 3]);
        }
    }
    Picture { width: new_width, height: new_height, rgb: turned }
}
