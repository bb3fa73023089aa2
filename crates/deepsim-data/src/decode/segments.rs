//! The segments of a JPEG file.

/// Marker and content of each segment; coded data and bytes between segments are skipped.
///
/// A segment that is cut off has the content that is there.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// The segments of a file.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.rest.iter().position(|byte| *byte == 0xff)?;
            let marker = *self.rest.get(at + 1)?;
            match marker {
                // A fill byte: the marker may be the next one.
                0xff => self.rest = &self.rest[at + 1..],
                // A byte of coded data, and markers without a length.
                0x00 | 0x01 | 0xd0..=0xd8 => self.rest = &self.rest[at + 2..],
                0xd9 => return None,
                _ => {
                    self.rest = &self.rest[at + 2..];
                    let [high, low, ..] = *self.rest else { return None };
                    let end = usize::from(u16::from_be_bytes([high, low])).max(2);
                    let (segment, rest) = self.rest.split_at(end.min(self.rest.len()));
                    self.rest = rest;
                    return Some((marker, &segment[2..]));
                }
            }
        }
    }
}
