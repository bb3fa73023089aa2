//! Sizes and hashes of files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tracing::field::Empty;

use crate::FetchError;

/// Bytes read and hashed at a time.
pub(crate) const CHUNK: usize = 128 << 10;

/// Hash algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-1; detects accidents, but not an attacker who can choose the file.
    Sha1,
    /// MD5; as SHA-1, and weaker.
    Md5,
}

impl Algorithm {
    /// Every algorithm, the strongest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    /// Number of hexadecimal digits of a hash.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha1 => 40,
            Self::Md5 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        })
    }
}

/// Known size and hashes of a file; hashes in lower-case hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Size in bytes.
    pub bytes: Option<u64>,
    /// SHA-256 hash.
    pub sha256: Option<String>,
    /// SHA-1 hash.
    pub sha1: Option<String>,
    /// MD5 hash.
    pub md5: Option<String>,
    /// Unconfirmed hashes, reported by a third party. If only these differ, the file is accepted
    /// with a [`Notice::SecondHand`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub second_hand: Vec<Algorithm>,
}

impl Sums {
    /// Returns the hash of one algorithm.
    pub fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Sha256 => self.sha256.as_deref(),
            Algorithm::Sha1 => self.sha1.as_deref(),
            Algorithm::Md5 => self.md5.as_deref(),
        }
    }

    fn set(&mut self, algorithm: Algorithm, hash: String) {
        match algorithm {
            Algorithm::Sha256 => self.sha256 = Some(hash),
            Algorithm::Sha1 => self.sha1 = Some(hash),
            Algorithm::Md5 => self.md5 = Some(hash),
        }
    }

    /// Returns the algorithms whose hash is known.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::ALL.into_iter().filter(|kind| self.get(*kind).is_some()).collect()
    }

    /// Returns true if a hash is known that a file must have.
    pub fn can_verify(&self) -> bool {
        self.algorithms().iter().any(|kind| !self.second_hand.contains(kind))
    }

    /// Compares these with the measured sums of `path`.
    ///
    /// # Errors
    /// If the size or a hash other than a second-hand one differs, or if a hash was not measured.
    pub fn compare(&self, got: &Sums, path: &Path) -> Result<Vec<Notice>, FetchError> {
        if let (Some(wanted), Some(bytes)) = (self.bytes, got.bytes)
            && wanted != bytes
        {
            return Err(FetchError::Content {
                path: path.to_path_buf(),
                wanted: format!("{wanted} bytes"),
                got: format!("{bytes} bytes"),
            });
        }
        let mut notices = Vec::new();
        for algorithm in self.algorithms() {
            let wanted = self.get(algorithm).unwrap_or_default();
            let got = got.get(algorithm).unwrap_or("nothing");
            if wanted.eq_ignore_ascii_case(got) {
                continue;
            }
            let (wanted, got) = (wanted.to_owned(), got.to_owned());
            if self.second_hand.contains(&algorithm) && self.can_verify() {
                notices.push(Notice::SecondHand { algorithm, wanted, got });
            } else {
                return Err(FetchError::Sum { path: path.to_path_buf(), algorithm, wanted, got });
            }
        }
        Ok(notices)
    }
}

/// Notice to the user about an accepted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A second-hand hash differs, while another one that is not second-hand agrees.
    SecondHand {
        /// Kind of hash.
        algorithm: Algorithm,
        /// Hash in the registry.
        wanted: String,
        /// Hash of the file.
        got: String,
    },
    /// No hash was known. The first download was accepted, and every later one must equal it.
    Pinned {
        /// Size in bytes.
        bytes: u64,
        /// SHA-256 hash, now in the file beside it.
        sha256: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondHand { algorithm, wanted, got } => write!(
                f,
                "the registry's second-hand {algorithm} {wanted} is not the file's, {got}; its other \
                 sums agree. Please report both"
            ),
            Self::Pinned { bytes, sha256 } => write!(
                f,
                "NOT VERIFIED: no sum of this file is known. This copy has {bytes} bytes and sha256 \
                 {sha256}; it is recorded, and later copies must equal it. Please report it"
            ),
        }
    }
}

/// Hashes of several kinds, computed in one pass.
#[derive(Clone, Default)]
pub(crate) struct Hasher {
    bytes: u64,
    sha256: Option<Sha256>,
    sha1: Option<Sha1>,
    md5: Option<Md5>,
}

impl Hasher {
    pub(crate) fn new(algorithms: &[Algorithm]) -> Self {
        let wanted = |kind| algorithms.contains(&kind);
        Self {
            bytes: 0,
            sha256: wanted(Algorithm::Sha256).then(Sha256::new),
            sha1: wanted(Algorithm::Sha1).then(Sha1::new),
            md5: wanted(Algorithm::Md5).then(Md5::new),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.sha1 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.md5 {
            hash.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Sums {
        let mut sums = Sums { bytes: Some(self.bytes), ..Sums::default() };
        if let Some(hash) = self.sha256 {
            sums.set(Algorithm::Sha256, hexadecimal(&hash.finalize()));
        }
        if let Some(hash) = self.sha1 {
            sums.set(Algorithm::Sha1, hexadecimal(&hash.finalize()));
        }
        if let Some(hash) = self.md5 {
            sums.set(Algorithm::Md5, hexadecimal(&hash.finalize()));
        }
        sums
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file to its end and hashes it; without any algorithm, SHA-256.
pub(crate) fn measure(
    path: &Path,
    algorithms: &[Algorithm],
    stop: &AtomicBool,
) -> Result<Sums, FetchError> {
    let mut file = File::open(path).map_err(FetchError::io("opening", path))?;
    let total = file.metadata().map_err(FetchError::io("reading the size of", path))?.len();
    let algorithms = if algorithms.is_empty() { &[Algorithm::Sha256] } else { algorithms };
    let mut hasher = Hasher::new(algorithms);
    hash_on(&mut file, path, &mut hasher, total, stop)?;
    Ok(hasher.finish())
}

/// Feeds the rest of `file` to `hasher`.
pub(crate) fn hash_on(
    file: &mut File,
    path: &Path,
    hasher: &mut Hasher,
    total: u64,
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("verifying {name}");
    let span = tracing::info_span!("verifying", what, unit = "B", total, done = Empty).entered();
    let mut buffer = vec![0; CHUNK];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(FetchError::Interrupted { path: path.to_path_buf() });
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FetchError::io("reading", path)(error)),
        }
        span.record("done", hasher.bytes);
    }
}

/// Reads a file and compares its size and hashes with the known ones.
///
/// ```
/// use deepsim_fetch::{Sums, verify};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("abc");
/// std::fs::write(&path, "abc")?;
/// let sha1 = Some("a9993e364706816aba3e25717850c26c9cd0d89d".into());
/// assert!(verify(&path, &Sums { sha1, ..Sums::default() }).is_ok());
/// let md5 = Some("d41d8cd98f00b204e9800998ecf8427e".into()); // of no bytes
/// assert!(verify(&path, &Sums { md5, ..Sums::default() }).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the file cannot be read, or is not the expected one.
pub fn verify(path: &Path, sums: &Sums) -> Result<Vec<Notice>, FetchError> {
    verify_until(path, sums, &AtomicBool::new(false)).map(|(_, notices)| notices)
}

/// Does as [`verify`] until it is stopped; also returns the measured sums.
pub(crate) fn verify_until(
    path: &Path,
    sums: &Sums,
    stop: &AtomicBool,
) -> Result<(Sums, Vec<Notice>), FetchError> {
    let found = path.metadata().map_err(FetchError::io("reading the size of", path))?;
    if !found.is_file() {
        return Err(FetchError::Content {
            path: path.to_path_buf(),
            wanted: "a file".into(),
            got: "something else of that name".into(),
        });
    }
    // The size is compared first, because a wrong one is found without reading 138 GB.
    let size = Sums { bytes: Some(found.len()), ..Sums::default() };
    Sums { bytes: sums.bytes, ..Sums::default() }.compare(&size, path)?;
    let got = measure(path, &sums.algorithms(), stop)?;
    let notices = sums.compare(&got, path)?;
    Ok((got, notices))
}
