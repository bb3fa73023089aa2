//! Fingerprints of data: the same wherever the files are and whenever they were copied.

use crate::PictureFiles;

/// Pictures whose bytes are looked at, spread evenly; the names and sizes of all are.
const SAMPLED: usize = 64;
/// No more than about this many bytes are looked at.
const SAMPLED_BYTES: usize = 64 << 20;

/// A checksum of parts, each with its length.
#[derive(Default)]
pub(crate) struct Fingerprint {
    sum: u32,
}

impl Fingerprint {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.number(part.len() as u64);
        self.sum = crc32c::crc32c_append(self.sum, part);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.sum = crc32c::crc32c_append(self.sum, &number.to_le_bytes());
    }

    /// The fingerprint of `count` things, as text.
    pub(crate) fn text(&self, count: usize, things: &str) -> String {
        format!("{count} {things}, fingerprint {:08x}", self.sum)
    }
}

/// Indices spread evenly over `0..len`, the first among them.
pub(crate) fn sampled(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len.div_ceil(SAMPLED).max(1))
}

/// Content of picture files: labels, what `describe` adds of each, and the bytes of some.
pub(crate) fn of_files(
    files: &dyn PictureFiles,
    describe: impl Fn(usize, &mut Fingerprint),
) -> String {
    let mut fingerprint = Fingerprint::default();
    for index in 0..files.len() {
        describe(index, &mut fingerprint);
        fingerprint.number(files.label(index).map_or(0, |label| u64::from(label) + 1));
    }
    let (mut bytes, mut looked_at) = (Vec::new(), 0);
    for index in sampled(files.len()) {
        // One that cannot be read is still known by its name and size.
        if looked_at < SAMPLED_BYTES && files.read(index, &mut bytes).is_ok() {
            fingerprint.add(&bytes);
            looked_at += bytes.len();
        }
    }
    fingerprint.text(files.len(), "pictures")
}
