//! The segments of a JPEG file.

/// Marker and content of each segment; coded data and bytes between segments are skipped.
///
/// A segment that is cut off is none.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// The segments of a file.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// End of the last segment.
    pub(super) fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|byte| *byte == 0xff)? + 1;
            match *self.bytes.get(self.at)? {
                // A fill byte: the marker may be the next one.
                0xff => {}
                // A byte of coded data, and markers without a length.
                0x00 | 0x01 | 0xd0..=0xd8 => self.at += 1,
                0xd9 => return None,
                marker => {
                    let start = self.at + 1;
                    let length = self.bytes.get(start..start + 2)?;
                    self.at = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
                    return Some((marker, self.bytes.get(start + 2..self.at)?));
                }
            }
        }
    }
}
