//! Headers of safetensors files, read without their tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::NetError;

/// Largest header that is read: that of the safetensors library.
const MAX_HEADER: u64 = 100_000_000;

/// Returns the metadata of a safetensors file: text by key. Only the header is read, whatever the size of the file.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_nets::{Params, header, params};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let weights: Params = [("scale".to_owned(), Var::new(&[1f32], &Device::Cpu)?)].into_iter().collect();
/// let file = std::env::temp_dir().join(format!("header-{}.safetensors", std::process::id()));
/// weights.save(&file, "{\"kind\": \"mine\"}")?;
/// assert_eq!(header::metadata(&file)?[params::SPEC_KEY], "{\"kind\": \"mine\"}");
/// # std::fs::remove_file(file)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the file cannot be read, or does not begin with such a header: a length that is too large, or larger than the
/// file, is refused before memory is reserved.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>, NetError> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: BTreeMap<String, String>,
        /// Tensors.
        #[serde(flatten)]
        _tensors: BTreeMap<String, IgnoredAny>,
    }
    let io = |source| NetError::Io { operation: "reading weights from", path: path.into(), source };
    let broken = |reason: String| NetError::Format { path: path.into(), reason };
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    if size < 8 {
        return Err(broken(format!("expected at least 8 bytes, found {size}")));
    }
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    let most = (size - 8).min(MAX_HEADER);
    if length > most {
        return Err(broken(format!("expected a header of at most {most} bytes, found {length}")));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(io)?;
    let header: Header = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    Ok(header.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metadata of a file with these bytes.
    fn read(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        metadata(file.path()).map_err(|error| error.to_string())
    }

    fn file(length: u64, header: &str) -> Vec<u8> {
        [&length.to_le_bytes(), header.as_bytes()].concat()
    }

    #[test]
    fn a_header_is_read_whatever_follows_it() {
        let header =
            r#"{"__metadata__":{"net":"x"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let whole = file(header.len() as u64, header);
        for tensors in [&[][..], &[0; 4], &[7; 100]] {
            let metadata = read(&[&whole, tensors].concat()).expect("a header");
            assert_eq!(metadata["net"], "x");
        }
        assert_eq!(read(&file(2, "{}")), Ok(BTreeMap::new()));
    }

    #[test]
    fn lengths_that_a_file_cannot_have_are_refused() {
        for (bytes, words) in [
            (vec![], "expected at least 8 bytes, found 0"),
            (vec![1; 7], "expected at least 8 bytes, found 7"),
            (file(u64::MAX, "{}"), "at most 2 bytes, found 18446744073709551615"),
            (file(3, "{}"), "at most 2 bytes, found 3"),
            (file(2, "[]"), "invalid type"),
            (file(1, "{}"), "EOF while parsing"),
            (file(4, "\u{fffd}}"), "expected value"),
        ] {
            let error = read(&bytes).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        // A file with a hole, whose header would be larger than any real one.
        let hole = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(hole.path(), file(MAX_HEADER + 1, "{}")).expect("written");
        let handle = File::options().write(true).open(hole.path()).expect("opened");
        handle.set_len(MAX_HEADER + 100).expect("a hole");
        let error = metadata(hole.path()).expect_err("too large").to_string();
        assert!(error.contains("at most 100000000 bytes, found 100000001"), "{error}");
        assert!(metadata(Path::new("no/such/file")).is_err());
    }
}
