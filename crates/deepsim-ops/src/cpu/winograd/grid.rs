//! Sub-images: every `stride`-th pixel of an image along both axes.
//!
//! A convolution of stride `s` meets each of the `s²` sub-images of its input with a kernel of its own, every `s`-th
//! tap, and with stride 1. Nothing is copied: tiles are read and written where their pixels lie.

use super::MOST;
use crate::cpu::conv::ConvShape;

/// Images on one side of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    height: usize,
    width: usize,
    pub(super) channels: usize,
    /// Pixels between neighbours in a sub-image.
    stride: usize,
    /// Rows and columns of padding before the first pixel.
    padding: (usize, usize),
}

impl Grid {
    /// Describes the input of a convolution, which has `stride²` sub-images.
    pub(super) fn input(s: &ConvShape) -> Self {
        let (height, width, padding) = (s.h, s.w, (s.ph, s.pw));
        Self { height, width, channels: s.c_in, stride: s.sh, padding }
    }

    /// Describes the output of a convolution, which is its own sub-image.
    pub(super) fn output(s: &ConvShape) -> Self {
        let (height, width, channels) = (s.oh, s.ow, s.c_out);
        Self { height, width, channels, stride: 1, padding: (0, 0) }
    }

    /// Returns the number of sub-images.
    pub(super) fn parts(&self) -> usize {
        self.stride * self.stride
    }

    /// Returns the number of floats of an image.
    pub(super) fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Row of the image that holds row `y` of a sub-image; both may have wrapped around before the first one.
    fn row(&self, part: usize, y: usize) -> Option<usize> {
        let row = self.stride.wrapping_mul(y).wrapping_add(part / self.stride);
        Some(row.wrapping_sub(self.padding.0)).filter(|row| *row < self.height)
    }

    /// The same for columns.
    fn column(&self, part: usize, x: usize) -> Option<usize> {
        let column = self.stride.wrapping_mul(x).wrapping_add(part % self.stride);
        Some(column.wrapping_sub(self.padding.1)).filter(|column| *column < self.width)
    }

    /// Returns the places of the first channels of `side x side` pixels of a sub-image from its pixel `(top, left)` on,
    /// `None` beyond the border.
    pub(super) fn places(
        &self,
        side: usize,
        (image, part): (usize, usize),
        (top, left): (usize, usize),
    ) -> [Option<usize>; MOST] {
        let mut places = [None; MOST];
        for (i, line) in places.chunks_exact_mut(side).take(side).enumerate() {
            let Some(y) = self.row(part, top.wrapping_add(i)) else { continue };
            let row = (image * self.height + y) * self.width;
            for (j, place) in line.iter_mut().enumerate() {
                let column = self.column(part, left.wrapping_add(j));
                *place = column.map(|x| (row + x) * self.channels);
            }
        }
        places
    }

    /// Returns the pixels at these places, `zeros` where there is none.
    pub(super) fn pixels(
        &self,
        side: usize,
        from: (usize, usize),
        first: (usize, usize),
        images: &[f32],
        zeros: &[f32],
    ) -> [*const f32; MOST] {
        let place = |place: Option<usize>| place.map_or(zeros, |place| &images[place..]).as_ptr();
        self.places(side, from, first).map(place)
    }
}
