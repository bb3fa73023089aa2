//! Words for the content of a file that is no picture.

/// Bytes from which text is told.
const LOOKED_AT: usize = 512;

/// Describes a file that is neither JPEG nor PNG, by its first bytes.
pub(super) fn describe(bytes: &[u8]) -> String {
    let other = |format: &str| format!("{format}; convert it to JPEG or PNG");
    match bytes {
        [] => "an empty file".into(),
        [b'G', b'I', b'F', b'8', ..] => other("a GIF"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => other("a WebP file"),
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => other("a TIFF"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => other("a HEIC, AVIF or video file"),
        [b'%', b'P', b'D', b'F', ..] => "a PDF".into(),
        [b'P', b'K', 3, 4, ..] => "a zip archive".into(),
        _ if bytes.iter().all(|byte| *byte == 0) => format!("{} zeros", bytes.len()),
        _ => described_as_text(bytes).map_or_else(|| unknown(bytes), str::to_owned),
    }
}

/// Describes text; `None` for other bytes.
fn described_as_text(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character that is cut at the end.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let text = text.trim_start().to_ascii_lowercase();
    let page = text.starts_with("<!doctype html") || text.starts_with("<html");
    Some(if page { "a web page (HTML), as a failed download leaves" } else { "text" })
}

fn unknown(bytes: &[u8]) -> String {
    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes in no known format (the first: {})", bytes.len(), first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_named_and_only_unknown_bytes_are_shown() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (b"GIF89a...", "a GIF; convert it to JPEG or PNG"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP file; convert it to JPEG or PNG"),
            (b"\0\0\0\x18ftypheic", "a HEIC, AVIF or video file; convert it to JPEG or PNG"),
            (b"\n <!DOCTYPE HTML>\n<html>", "a web page (HTML), as a failed download leaves"),
            ("not a picture, grüße\n".as_bytes(), "text"),
            (b"\0\0\0", "3 zeros"),
            (b"\xfe\x01\x02\x03\x04", "5 bytes in no known format (the first: fe 01 02 03)"),
            (b"ab\x01", "3 bytes in no known format (the first: 61 62 01)"),
        ] {
            assert_eq!(describe(bytes), words);
        }
        // A character of several bytes at the end of what is looked at.
        assert_eq!(describe("aé".repeat(300).as_bytes()), "text");
    }
}
