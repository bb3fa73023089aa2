//! Recognition of files that are no weights; the error names what each is.

use std::borrow::Cow;

use crate::caffe;

/// First bytes of forms that are not read, and what to do about each.
const MAGIC: [(&[u8], &str); 12] = [
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"BZh", "a bzip2 archive; unpack it"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it"),
    (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras and Caffe's .h5 files are, which is not read"),
    (b"\x93NUMPY", "an array of NumPy, which is not read"),
    (b"MATLAB 5.0", "a file of MATLAB, which is not read"),
    (b"\x04\0\0\0\x01\0\0\0", "a file of Torch7 (Lua), which is not read"),
    (b"GGUF", "GGUF, which is not read"),
    (b"\x89PNG", "a picture"),
];

/// Describes a file of a form that is not supported.
pub(crate) fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*what).to_owned();
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "a tar archive; unpack it".to_owned();
    }
    if let Some(net) = caffe::recognises_solver(bytes) {
        return format!(
            "a solverstate of Caffe, which holds the solver's history; the weights are in {}",
            if net.is_empty() { "the .caffemodel beside it" } else { &net }
        );
    }
    // A pickle ends with a dot, and begins with its version.
    if let ([0x80, 2..=5, ..], Some(b'.')) = (bytes, bytes.last()) {
        return "a pickle that torch.save did not write; write its arrays with torch.save or safetensors"
            .to_owned();
    }
    if let Some(text) = text(bytes) {
        return describe_text(&text);
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return "nothing but zeros, as of a download that failed".to_owned();
    }
    "none of them".to_owned()
}

/// The first characters, if a file is text.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let begin = &bytes[..bytes.len().min(4096)];
    let wide = |unit: fn([u8; 2]) -> u16, rest: &[u8]| {
        let units: Vec<u16> = rest.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    let text = match (begin, std::str::from_utf8(begin)) {
        ([0xff, 0xfe, rest @ ..], _) => wide(u16::from_le_bytes, rest),
        ([0xfe, 0xff, rest @ ..], _) => wide(u16::from_be_bytes, rest),
        (_, Ok(text)) => Cow::Borrowed(text),
        // A character may be cut.
        (_, Err(error)) if error.valid_up_to() + 4 > begin.len() && begin.len() > 4 => {
            Cow::Borrowed(std::str::from_utf8(&begin[..error.valid_up_to()]).ok()?)
        }
        (_, Err(_)) => return None,
    };
    let control = |c: char| c.is_control() && !c.is_whitespace();
    (!text.chars().any(control)).then_some(text)
}

fn describe_text(text: &str) -> String {
    let begin = text.trim_start_matches('\u{feff}').trim_start();
    let lower = begin.to_ascii_lowercase();
    if lower.starts_with("version https://git-lfs") || lower.starts_with("version https://hawser") {
        return "a pointer of Git LFS; fetch the file itself with `git lfs pull`".to_owned();
    }
    if begin.starts_with("/annex/objects/") || begin.starts_with("../.git/annex") {
        return "a pointer of git-annex; fetch the file itself with `git annex get`".to_owned();
    }
    // A comment may stand first.
    let begins = ["<!doctype html", "<html", "<!--"].iter().any(|tag| lower.starts_with(tag));
    if begins || lower.contains("<head") {
        return "an HTML page, which a server sent in place of the file".to_owned();
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        return "XML, perhaps a server's message in place of the file".to_owned();
    }
    let proto = |line: &str| {
        let line = line.trim_start();
        let field = |name: &str| {
            line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['{', ':']))
        };
        ["layer", "layers", "name", "input", "input_param", "net", "train_net", "base_lr"]
            .into_iter()
            .any(field)
    };
    if begin.lines().filter(|line| !line.trim_start().starts_with('#')).any(proto) {
        return "a prototxt, which describes a network or a solver and holds no weights; they are in a \
                .caffemodel"
            .to_owned();
    }
    let line: String = begin.lines().next().unwrap_or_default().chars().take(40).collect();
    match begin.is_empty() {
        true => "nothing but blanks".to_owned(),
        false => format!("text that begins with `{line}`"),
    }
}
