//! PNG files to RGB pixels.

use std::io::Cursor;
use std::path::Path;

use ::png::{ColorType, Decoder, DecodingError, Transformations};

use super::{broken, check_size, panicked};
use crate::DataError;
use crate::panics::caught;
use crate::picture::Picture;

/// Handling of transparency.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpha {
    /// Colours as stored, those of hidden pixels included.
    Drop,
    /// Composited over white.
    OverWhite,
}

impl Picture {
    /// Reads a PNG file of any kind; transparency is dropped, grey becomes RGB.
    ///
    /// # Errors
    /// If the file is missing or not a PNG.
    pub fn read_png(path: &Path) -> Result<Self, DataError> {
        Self::from_png(&std::fs::read(path).map_err(DataError::io("reading", path))?, path)
    }

    /// Decodes a PNG file that is in memory; `path` is for messages.
    pub(crate) fn from_png(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        decode(bytes, path, Alpha::Drop).map(|(picture, _)| picture)
    }
}

/// True if a file begins as a PNG does.
pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG")
}

/// Decodes a PNG; returns its EXIF data too, those after the pixels only with [`Alpha::OverWhite`].
pub(crate) fn decode(
    bytes: &[u8],
    path: &Path,
    alpha: Alpha,
) -> Result<(Picture, Option<Vec<u8>>), DataError> {
    caught(|| pixels(bytes, path, alpha)).unwrap_or_else(|reason| Err(panicked(path, reason)))
}

fn pixels(
    bytes: &[u8],
    path: &Path,
    alpha: Alpha,
) -> Result<(Picture, Option<Vec<u8>>), DataError> {
    let failed = |error: DecodingError| broken(path, error);
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(failed)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height, path)?;
    let size = reader.output_buffer_size().ok_or_else(|| broken(path, "too large for memory"))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(failed)?;
    let (step, colours) = match info.color_type {
        ColorType::Grayscale => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgb | ColorType::Indexed => (3, 3),
        ColorType::Rgba => (4, 3),
    };
    let mut rgb = Vec::with_capacity(3 * width * height);
    for pixel in bytes[..info.buffer_size()].chunks_exact(step) {
        let mut colour = [pixel[0], pixel[colours / 2], pixel[colours - 1]];
        if alpha == Alpha::OverWhite && step > colours {
            colour = colour.map(|value| over_white(value, pixel[step - 1]));
        }
        rgb.extend(colour);
    }
    if alpha == Alpha::OverWhite {
        // EXIF data may follow the pixels; damage there does not concern them.
        let _ = reader.finish();
    }
    let exif = reader.info().exif_metadata.as_ref().map(|exif| exif.to_vec());
    Ok((Picture { width, height, rgb }, exif))
}

/// A value composited over white, rounded.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
