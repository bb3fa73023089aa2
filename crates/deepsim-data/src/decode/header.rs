//! What the headers of a JPEG say about its kind.

use super::segments::Segments;

/// Start of frame: baseline, extended sequential, progressive.
const SOF: std::ops::RangeInclusive<u8> = 0xc0..=0xc2;
/// Start of a scan.
pub(super) const SOS: u8 = 0xda;

/// Scans of a progressive JPEG; common encoders write ten.
const MAX_SCANS: usize = 100;
/// Pixels times scans, which bounds the time that a few bytes can claim.
const MAX_SCANNED: usize = 1 << 30;

/// What the components are, by the rules of libjpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// The frame header, and what else decides the kind.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colour: Colour,
    /// Name and sampling factors, across and down.
    pub(super) components: Vec<(u8, [u8; 2])>,
    progressive: bool,
    /// Components in the first scan.
    first_scan: usize,
    adobe: Option<u8>,
}

impl Header {
    /// Reads up to the first scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let (mut frame, mut jfif, mut adobe) = (None, false, None);
        for (marker, content) in Segments::of(bytes) {
            match marker {
                0xe0 if content.starts_with(b"JFIF\0") => jfif = true,
                0xee if content.starts_with(b"Adobe") => adobe = content.get(11).copied(),
                0xc4 | 0xc8 | 0xcc => {}
                0xc0..=0xcf if !SOF.contains(&marker) => {
                    let process = marker - 0xc0;
                    return Err(format!(
                        "expected a baseline or progressive JPEG with Huffman codes, found process {process}"
                    ));
                }
                0xc0..=0xc2 if frame.is_some() => {
                    return Err("expected one frame, found two".into());
                }
                0xc0..=0xc2 => frame = Some((marker == 0xc2, content)),
                SOS => {
                    let Some((progressive, frame)) = frame else { break };
                    let first_scan = usize::from(content.first().copied().unwrap_or(0));
                    let header = Self::new(progressive, frame, first_scan, jfif, adobe)?;
                    return header.limited(bytes);
                }
                _ => {}
            }
        }
        Err("expected a frame and a scan, found the end of the file".into())
    }

    fn new(
        progressive: bool,
        frame: &[u8],
        first_scan: usize,
        jfif: bool,
        adobe: Option<u8>,
    ) -> Result<Self, String> {
        let [precision, h0, h1, w0, w1, count, rest @ ..] = frame else {
            return Err(format!("expected a frame header, found {} bytes", frame.len()));
        };
        if *precision != 8 {
            return Err(format!("expected 8 bits in a value, found {precision}"));
        }
        let components: Vec<_> = rest
            .chunks_exact(3)
            .take(usize::from(*count))
            .map(|component| (component[0], [component[1] >> 4, component[1] & 15]))
            .collect();
        if components.len() != usize::from(*count) {
            return Err(format!("expected {count} components, found {}", components.len()));
        }
        let names: Vec<u8> = components.iter().map(|component| component.0).collect();
        let colour = match (names.as_slice(), adobe) {
            ([_], _) => Colour::Grey,
            ([_, _, _], _) if jfif => Colour::YCbCr,
            ([_, _, _], Some(0)) | (b"RGB", None) => Colour::Rgb,
            ([_, _, _], _) => Colour::YCbCr,
            ([_, _, _, _], None | Some(0)) => Colour::Cmyk,
            ([_, _, _, _], Some(_)) => Colour::Ycck,
            _ => return Err(format!("expected 1, 3 or 4 components, found {count}")),
        };
        Ok(Self {
            width: usize::from(u16::from_be_bytes([*w0, *w1])),
            height: usize::from(u16::from_be_bytes([*h0, *h1])),
            colour,
            components,
            progressive,
            first_scan,
            adobe,
        })
    }

    /// Refuses a progressive JPEG of too many scans.
    fn limited(self, bytes: &[u8]) -> Result<Self, String> {
        if self.progressive || self.first_scan < self.components.len() {
            let scans = Segments::of(bytes).filter(|(marker, _)| *marker == SOS).count();
            let allowed = MAX_SCANS.min(MAX_SCANNED / (self.width * self.height).max(1));
            if scans > allowed {
                let (width, height) = (self.width, self.height);
                return Err(format!(
                    "expected at most {allowed} scans of {width}x{height} pixels, found {scans}"
                ));
            }
        }
        Ok(self)
    }

    /// Whether zune-jpeg decodes this kind as libjpeg does.
    pub(super) fn is_common(&self) -> bool {
        let interleaved = self.progressive || self.first_scan == self.components.len();
        let sampling = |at: usize| self.components[at].1;
        let names = self.components.iter().map(|component| component.0);
        match self.colour {
            Colour::Grey => sampling(0) == [1, 1],
            Colour::YCbCr | Colour::Rgb => {
                let rgb = self.adobe == Some(0) || names.eq(*b"RGB");
                let luma = matches!(sampling(0), [1 | 2, 1 | 2]);
                let chroma = sampling(1) == [1, 1] && sampling(2) == [1, 1];
                interleaved && luma && chroma && rgb == (self.colour == Colour::Rgb)
            }
            Colour::Cmyk | Colour::Ycck => {
                let plain = self.components.iter().all(|component| component.1 == [1, 1]);
                interleaved && plain && self.adobe != Some(1)
            }
        }
    }
}
