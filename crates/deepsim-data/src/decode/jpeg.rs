//! JPEG files to RGB pixels.
//!
//! Most files are decoded by zune-jpeg, which is fast. It decodes some kinds of files wrongly without
//! an error; those, told by their headers, are decoded by jpeg-decoder. `tests/fixtures/jpeg_sweep.py`
//! compares all kinds with Pillow.

use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::header::{Colour, Header};
use super::{broken, check_size};
use crate::DataError;
use crate::picture::Picture;

/// Decodes into a picture whose memory is used again.
pub(super) fn decode(bytes: &[u8], path: &Path, picture: &mut Picture) -> Result<(), DataError> {
    let header = Header::read(bytes).map_err(|reason| broken(path, reason))?;
    check_size(header.width, header.height, path)?;
    let common = header.is_common();
    let decoded = if common { common_kind(bytes, &header, picture) } else { Err(String::new()) };
    match decoded {
        // Old cameras and editors leave bytes between segments; jpeg-decoder skips them.
        Err(reason) if !common || reason.contains("Extra bytes between headers") => {
            any_kind(bytes, &header, picture)
        }
        decoded => decoded,
    }
    .map_err(|reason| broken(path, reason))?;
    (picture.width, picture.height) = (header.width, header.height);
    Ok(())
}

fn common_kind(bytes: &[u8], header: &Header, picture: &mut Picture) -> Result<(), String> {
    // Strict: a file that is cut off or has wrong codes is an error, not a picture that is partly grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.width)
        .set_max_height(header.height)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let length = 3 * header.width * header.height;
    if decoder.output_buffer_size() != Some(length) {
        return Err(format!("expected {}x{} pixels, found others", header.width, header.height));
    }
    picture.rgb.resize(length, 0);
    decoder.decode_into(&mut picture.rgb).map_err(|error| error.to_string())
}

fn any_kind(bytes: &[u8], header: &Header, picture: &mut Picture) -> Result<(), String> {
    use jpeg_decoder::{ColorTransform, Decoder};
    let mut decoder = Decoder::new(bytes);
    decoder.set_color_transform(match header.colour {
        Colour::Grey => ColorTransform::Grayscale,
        Colour::Rgb => ColorTransform::RGB,
        Colour::YCbCr => ColorTransform::YCbCr,
        Colour::Cmyk => ColorTransform::CMYK,
        Colour::Ycck => ColorTransform::YCCK,
    });
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let expected = header.components.len() * header.width * header.height;
    if pixels.len() != expected {
        return Err(format!("expected {expected} values, found {}", pixels.len()));
    }
    picture.rgb.clear();
    match header.colour {
        Colour::Grey => picture.rgb.extend(pixels.iter().flat_map(|value| [*value; 3])),
        Colour::Rgb | Colour::YCbCr => picture.rgb = pixels,
        Colour::Cmyk | Colour::Ycck => {
            picture.rgb.extend(pixels.chunks_exact(4).flat_map(cmyk_to_rgb));
        }
    }
    Ok(())
}

/// As Pillow, which takes all CMYK JPEGs for inverted, as Adobe's are.
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let value = |i: usize| 255 - u32::from(pixel[i]);
    [0, 1, 2].map(|i| ((value(i) * value(3) + 127) / 255) as u8)
}
