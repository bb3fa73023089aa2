//! WebP, BMP, TIFF and GIF files to RGB pixels, by the crate `image`.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{MAX_PIXELS, broken, check_size};
use crate::DataError;
use crate::picture::Picture;

/// Kind of these bytes, if it is one of the formats.
pub(super) fn format(bytes: &[u8]) -> Option<ImageFormat> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    Some(match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        _ if starts(b"GIF87a") || starts(b"GIF89a") => ImageFormat::Gif,
        _ if starts(b"II*\0") || starts(b"MM\0*") => ImageFormat::Tiff,
        // Two letters are in other files too, so the size of its header counts.
        [
            b'B',
            b'M',
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            12 | 40 | 52 | 56 | 64 | 108 | 124,
            0,
            0,
            0,
            ..,
        ] => ImageFormat::Bmp,
        _ => return None,
    })
}

/// Decodes the picture, of an animation the first frame. Transparency is dropped, and of 16 bits the upper 8 are kept,
/// as for PNG.
pub(super) fn decode(
    bytes: &[u8],
    format: ImageFormat,
    path: &Path,
    picture: &mut Picture,
) -> Result<(), DataError> {
    let failed = |error: image::ImageError| broken(path, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    // Eight bytes for each pixel, and as much again on the way.
    limits.max_alloc = Some(16 * MAX_PIXELS as u64);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize, path)?;
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    (picture.height, picture.width) = (image.height() as usize, image.width() as usize);
    picture.rgb = match image {
        DynamicImage::ImageRgb16(image) => upper(image.as_raw()).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.as_raw().chunks_exact(4).flat_map(|pixel| upper(&pixel[..3])).collect()
        }
        DynamicImage::ImageLuma16(image) => upper(image.as_raw()).flat_map(|v| [v; 3]).collect(),
        other => other.into_rgb8().into_raw(),
    };
    Ok(())
}

fn upper(values: &[u16]) -> impl Iterator<Item = u8> + '_ {
    values.iter().map(|value| (value >> 8) as u8)
}
