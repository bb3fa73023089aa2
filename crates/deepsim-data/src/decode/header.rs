//! Kind of a JPEG, by its headers.

use super::segments::Segments;

/// Start of frame: baseline, extended sequential, progressive.
const SOF: std::ops::RangeInclusive<u8> = 0xc0..=0xc2;
/// Start of a scan.
pub(super) const SOS: u8 = 0xda;

/// Scans of a progressive JPEG; common encoders write ten.
const MAX_SCANS: usize = 100;
/// Pixels times scans, which bounds the time that a few bytes can claim.
const MAX_SCANNED: usize = 1 << 30;

/// Coefficients of a block, DC first. While some of these are unknown or rough, libjpeg smooths between blocks,
/// and zune-jpeg does not.
const SMOOTHED: usize = 10;

/// Meaning of the components, by the rules of libjpeg.
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
    /// Bytes before the codes of the first scan.
    pub(super) bytes: usize,
}

impl Header {
    /// Reads up to the first scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let (mut frame, mut jfif, mut adobe) = (None, false, None);
        let mut segments = Segments::of(bytes);
        while let Some((marker, content)) = segments.next() {
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
                    let mut header = Self::new(progressive, frame, first_scan, jfif, adobe)?;
                    header.bytes = segments.position();
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
            bytes: 0,
        })
    }

    /// Refuses a progressive JPEG of too many scans, or whose scans leave it unfinished.
    fn limited(self, bytes: &[u8]) -> Result<Self, String> {
        if !self.progressive {
            return Ok(self);
        }
        let (mut scans, mut precision) = (0, vec![[None; SMOOTHED]; self.components.len()]);
        for (marker, content) in Segments::of(bytes) {
            match marker {
                SOS => {
                    scans += 1;
                    self.refine(&mut precision, content);
                }
                0xe0 | 0xee if scans > 0 => {
                    return Err("expected JFIF and Adobe markers before the scans".into());
                }
                _ => {}
            }
        }
        let allowed = MAX_SCANS.min(MAX_SCANNED / (self.width * self.height).max(1));
        if scans > allowed {
            let (width, height) = (self.width, self.height);
            return Err(format!(
                "expected at most {allowed} scans of {width}x{height} pixels, found {scans}"
            ));
        }
        if precision.as_flattened().iter().any(|bits| *bits != Some(0)) {
            let text =
                "expected low frequencies in full precision, found scans that leave some out";
            return Err(text.into());
        }
        Ok(self)
    }

    /// Notes the bits that a scan leaves out of each coefficient that libjpeg smooths by.
    fn refine(&self, precision: &mut [[Option<u8>; SMOOTHED]], scan: &[u8]) {
        let [count, rest @ ..] = scan else { return };
        let Some((names, [first, last, bits, ..])) = rest.split_at_checked(2 * usize::from(*count))
        else {
            return;
        };
        for name in names.iter().step_by(2) {
            let component = self.components.iter().position(|component| component.0 == *name);
            let (first, last) = (usize::from(*first), usize::from(*last));
            let range = first..(last + 1).clamp(first, SMOOTHED.max(first));
            if let Some(refined) = component.and_then(|at| precision[at].get_mut(range)) {
                refined.fill(Some(bits & 15));
            }
        }
    }

    /// Refuses the kinds that zune-jpeg 0.5.15 decodes otherwise than libjpeg, without an error.
    ///
    /// `tests/fixtures/jpeg_sweep.py` compares all kinds.
    pub(super) fn check_kind(&self) -> Result<(), String> {
        let factors: Vec<_> = self.components.iter().map(|component| component.1).collect();
        if self.components.len() == 1 {
            return Ok(());
        }
        if !self.progressive && self.first_scan < factors.len() {
            let (all, found) = (factors.len(), self.first_scan);
            return Err(format!("expected {all} components in the scan, found {found}"));
        }
        let [luma, rest @ ..] = factors.as_slice() else { return Ok(()) };
        let plain = rest.iter().all(|other| *other == [1, 1]);
        let equal = rest.iter().all(|other| other == luma);
        let names = self.components.iter().map(|component| component.0);
        let known = match self.colour {
            // zune-jpeg takes the names and Adobe's segment for more than libjpeg does.
            Colour::Grey | Colour::YCbCr => self.adobe != Some(0) && !names.eq(*b"RGB"),
            Colour::Rgb | Colour::Cmyk => true,
            Colour::Ycck => self.adobe == Some(2),
        };
        if !known {
            return Err(format!(
                "expected markers that agree on the colours, found {:?} by libjpeg's rules",
                self.colour
            ));
        }
        if !(equal || plain && rest.len() == 2) {
            return Err(format!("expected chroma of sampling 1x1, found sampling {factors:?}"));
        }
        // libjpeg repeats chroma instead of interpolating it where it has one or two columns.
        let halved = !equal && matches!(luma, [2, 1 | 2]) && self.width <= 4;
        let few = halved && (self.width > 2 || luma[1] == 2 && self.height > 2);
        if few {
            return Err(format!(
                "expected more than 4 columns where chroma has half of them, found {}",
                self.width
            ));
        }
        Ok(())
    }
}
