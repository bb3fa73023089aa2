//! PNG files and grids of pictures.

use std::path::Path;

use ::png::{BitDepth, ColorType, Encoder};

use crate::DataError;
use crate::atomic::write_atomic;
use crate::source::Rectangle;

/// An RGB picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height x width x 3` bytes, red, green, blue.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn new(height: usize, width: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(height * width) }
    }

    /// A picture from three planes, red, green, blue.
    ///
    /// # Shapes
    /// `3 * height * width` bytes; missing ones are black
    pub fn from_planes(planes: &[u8], height: usize, width: usize) -> Self {
        let plane = height * width;
        let value = |at: usize| planes.get(at).copied().unwrap_or(0);
        let rgb = (0..plane).flat_map(|i| [value(i), value(plane + i), value(2 * plane + i)]);
        Self { width, height, rgb: rgb.collect() }
    }

    /// The pictures of planes that follow one another, each as in [`Picture::from_planes`].
    ///
    /// # Shapes
    /// `n * 3 * height * width` bytes -> `n` pictures
    pub fn several(planes: &[u8], height: usize, width: usize) -> Vec<Self> {
        let each = planes.chunks_exact((3 * height * width).max(1));
        each.map(|planes| Self::from_planes(planes, height, width)).collect()
    }

    /// A part of the picture; what lies outside is black.
    ///
    /// ```
    /// use deepsim_data::{picture::Picture, source::Rectangle};
    /// let mut picture = Picture::new(2, 3, [9; 3]);
    /// picture.paste(&Picture::new(1, 1, [1, 2, 3]), 1, 2);
    /// let part = Rectangle { top: 1, left: 2, height: 1, width: 1 };
    /// assert_eq!(picture.part(part).rgb, [1, 2, 3]);
    /// ```
    pub fn part(&self, part: Rectangle) -> Self {
        let Rectangle { top, left, height, width } = part;
        let mut cut = Self::new(height, width, [0; 3]);
        let columns = width.min(self.width.saturating_sub(left));
        for row in 0..height.min(self.height.saturating_sub(top)) {
            let from = 3 * ((top + row) * self.width + left);
            let to = 3 * row * width;
            cut.rgb[to..to + 3 * columns].copy_from_slice(&self.rgb[from..from + 3 * columns]);
        }
        cut
    }

    /// Three planes, red, green, blue.
    ///
    /// # Shapes
    /// -> `3 * height * width` bytes
    pub fn to_planes(&self) -> Vec<u8> {
        (0..3).flat_map(|c| self.rgb.iter().skip(c).step_by(3).copied()).collect()
    }

    /// Copies another picture into this one; what hangs over is cut off.
    pub fn paste(&mut self, other: &Self, top: usize, left: usize) {
        let columns = other.width.min(self.width.saturating_sub(left));
        for row in 0..other.height.min(self.height.saturating_sub(top)) {
            let to = 3 * ((top + row) * self.width + left);
            let from = 3 * row * other.width;
            self.rgb[to..to + 3 * columns].copy_from_slice(&other.rgb[from..from + 3 * columns]);
        }
    }

    /// Every pixel repeated `factor` times along both axes.
    pub fn upscale(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let mut rgb = Vec::with_capacity(3 * width * height);
        for row in self.rgb.chunks_exact(3 * self.width.max(1)) {
            let wide: Vec<u8> = row.chunks_exact(3).flat_map(|p| p.repeat(factor)).collect();
            rgb.extend(wide.repeat(factor));
        }
        Self { width, height, rgb }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// If the picture is empty.
    pub fn to_png(&self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        let encode = |encoder: Encoder<'_, _>| -> Result<(), ::png::EncodingError> {
            encoder.write_header()?.write_image_data(&self.rgb)
        };
        encode(encoder).map_err(|e| DataError::Argument {
            operation: "encoding a PNG",
            wanted: "a picture with pixels".into(),
            got: format!("{}x{}: {e}", self.width, self.height),
        })?;
        Ok(bytes)
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_png(&self, path: &Path) -> Result<(), DataError> {
        write_atomic(path, &self.to_png()?)
    }
}

/// Rows of pictures on white, `gap` pixels apart; rows may differ in length.
pub fn grid(rows: &[Vec<Picture>], gap: usize) -> Picture {
    let cell_width = rows.iter().flatten().map(|p| p.width).max().unwrap_or(1);
    let cell_height = rows.iter().flatten().map(|p| p.height).max().unwrap_or(1);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let span = |cells: usize, size: usize| cells * (size + gap) - gap.min(cells * (size + gap));
    let (height, width) = (span(rows.len().max(1), cell_height), span(columns, cell_width));
    let mut canvas = Picture::new(height, width, [255; 3]);
    for (row, pictures) in rows.iter().enumerate() {
        for (column, picture) in pictures.iter().enumerate() {
            canvas.paste(picture, row * (cell_height + gap), column * (cell_width + gap));
        }
    }
    canvas
}
