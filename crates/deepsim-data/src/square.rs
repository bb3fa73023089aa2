//! A tilted square cut out of a picture.

/// A square in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Square {
    /// Row of the centre in pixels.
    pub(crate) row: f32,
    /// Column of the centre in pixels.
    pub(crate) column: f32,
    /// Side in pixels.
    pub(crate) side: f32,
    /// Rotation in degrees.
    pub(crate) angle: f32,
}

impl Square {
    /// Returns true if the smallest upright square around this one is in the picture.
    pub(crate) fn is_inside(&self, height: usize, width: usize) -> bool {
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let reach = self.side * (sin.abs() + cos.abs()) / 2.0;
        let inside = |at: f32, length: usize| at >= reach && at + reach <= length as f32;
        inside(self.row, height) && inside(self.column, width)
    }

    /// Scales the square to `cells` pixels along each side: the mean of bilinear samples at most a
    /// pixel apart.
    ///
    /// # Shapes
    /// three planes of `height x width` -> three planes of `cells x cells`
    pub(crate) fn cut(
        &self,
        picture: &[u8],
        (height, width): (usize, usize),
        cells: usize,
        out: &mut [u8],
    ) {
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let fine = (self.side / cells as f32).ceil().max(1.0) as usize;
        let step = self.side / (cells * fine) as f32;
        for at in 0..cells * cells {
            let mut sums = [0f32; 3];
            for sample in 0..fine * fine {
                // From the centre, in pixels.
                let offset = |cell: usize, part: usize| {
                    ((cell * fine + part) as f32 + 0.5) * step - self.side / 2.0
                };
                let down = offset(at / cells, sample / fine);
                let right = offset(at % cells, sample % fine);
                let y = Between::new(self.row + cos * down + sin * right, height);
                let x = Between::new(self.column + cos * right - sin * down, width);
                for (sum, plane) in sums.iter_mut().zip(picture.chunks_exact(height * width)) {
                    let line = |row: usize| {
                        let row = &plane[row * width..];
                        x.mix(f32::from(row[x.low]), f32::from(row[x.high]))
                    };
                    *sum += y.mix(line(y.low), line(y.high));
                }
            }
            for (channel, sum) in sums.iter().enumerate() {
                let mean = sum / (fine * fine) as f32;
                out[channel * cells * cells + at] = mean.round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// A place between two neighbouring pixels of a line.
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Between {
    /// The place `at`, in pixels from the line's edge; beyond the middle of the first and the last
    /// pixel, that pixel.
    fn new(at: f32, length: usize) -> Self {
        let at = (at - 0.5).clamp(0.0, (length - 1) as f32);
        let low = at as usize;
        Self { low, high: (low + 1).min(length - 1), share: at - low as f32 }
    }

    fn mix(&self, low: f32, high: f32) -> f32 {
        low + self.share * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three planes that rise by 1 from row to row, by 2 from column to column, and are flat.
    fn ramps(side: usize) -> Vec<u8> {
        let at = |f: fn(usize, usize) -> u8| (0..side * side).map(move |i| f(i / side, i % side));
        at(|row, _| row as u8).chain(at(|_, column| 2 * column as u8)).chain(at(|_, _| 7)).collect()
    }

    #[test]
    fn an_upright_square_of_its_own_size_is_a_copy() {
        let picture = ramps(96);
        let square = Square { row: 40.0, column: 50.0, side: 32.0, angle: 0.0 };
        let mut patch = vec![0; 3 * 32 * 32];
        square.cut(&picture, (96, 96), 32, &mut patch);
        for (row, column) in [(0, 0), (31, 31), (3, 17)] {
            let at = row * 32 + column;
            let got = [patch[at], patch[1024 + at], patch[2048 + at]];
            assert_eq!(got, [24 + row as u8, 2 * (34 + column as u8), 7]);
        }
    }

    #[test]
    fn turned_squares_turn_what_they_show() {
        let picture = ramps(96);
        let square = Square { row: 48.0, column: 48.0, side: 64.0, angle: 90.0 };
        let mut patch = vec![0; 3 * 32 * 32];
        square.cut(&picture, (96, 96), 32, &mut patch);
        // Columns of the patch run down the picture, two pixels to one.
        let red = &patch[..1024];
        assert_eq!((red[0], red[31], red[31 * 32]), (17, 79, 17));
    }

    #[test]
    fn corners_count() {
        let square = |side, angle| Square { row: 48.0, column: 48.0, side, angle };
        assert!(square(96.0, 0.0).is_inside(96, 96) && !square(96.5, 0.0).is_inside(96, 96));
        assert!(!square(70.0, 45.0).is_inside(96, 96) && square(67.0, 45.0).is_inside(96, 96));
    }
}
