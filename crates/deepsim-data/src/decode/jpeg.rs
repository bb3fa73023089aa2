//! JPEG files to RGB pixels, by zune-jpeg.

use std::borrow::Cow;
use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::header::Header;
use super::segments::Segments;
use super::{broken, check_size};
use crate::DataError;
use crate::picture::Picture;

/// Decodes into a picture whose memory is used again.
pub(super) fn decode(bytes: &[u8], path: &Path, picture: &mut Picture) -> Result<(), DataError> {
    let failed = |reason| broken(path, reason);
    let header = Header::read(bytes).map_err(failed)?;
    check_size(header.width, header.height, path)?;
    header.check_kind().map_err(failed)?;
    // Strict: a file that is cut off or has wrong codes is an error, not a picture that is partly grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.width)
        .set_max_height(header.height)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let bytes = without_extra_bytes(bytes, header.bytes);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*bytes), options);
    decoder.decode_headers().map_err(|error| failed(error.to_string()))?;
    let length = 3 * header.width * header.height;
    if decoder.output_buffer_size() != Some(length) {
        return Err(failed(format!("expected {}x{} pixels", header.width, header.height)));
    }
    picture.rgb.resize(length, 0);
    (picture.width, picture.height) = (header.width, header.height);
    decoder.decode_into(&mut picture.rgb).map_err(|error| failed(error.to_string()))
}

/// Old cameras and editors leave bytes between segments, which do no harm, but which zune-jpeg accepts
/// only together with damage.
fn without_extra_bytes(bytes: &[u8], header: usize) -> Cow<'_, [u8]> {
    let segments = || Segments::of(&bytes[..header]);
    let needed: usize = segments().map(|(_, content)| 4 + content.len()).sum();
    if 2 + needed == header {
        return Cow::Borrowed(bytes);
    }
    let mut clean = vec![0xff, 0xd8];
    for (marker, content) in segments() {
        let [high, low] = ((content.len() + 2) as u16).to_be_bytes();
        clean.extend([0xff, marker, high, low]);
        clean.extend(content);
    }
    clean.extend(&bytes[header..]);
    Cow::Owned(clean)
}
