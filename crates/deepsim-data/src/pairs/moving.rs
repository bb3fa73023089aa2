//! Pairs from still pictures, by a camera that moves over them.
//!
//! A stand-in for tracked patches of videos, which are not available. The two pictures of a pair
//! differ in place, size and tilt of what they show and in brightness, as patches of a track do, but
//! nothing in them moves by itself, turns in depth or is hidden.

use std::sync::Arc;

use rand_core::Rng;

use super::stacked;
use crate::memory::rgb_zeros;
use crate::random::{Purpose, between, stream};
use crate::source::Rectangle;
use crate::square::Square;
use crate::{DataError, Source, Unread};

/// Attempts to find a motion that stays inside the picture; without success there is no motion.
const TRIES: usize = 20;

/// Size, number and seed of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovingConfig {
    /// Side of the pictures of a pair in pixels.
    pub side: usize,
    /// Pairs from each still picture; all have its index as label, so that they are never taken for
    /// each other's negatives.
    pub per_picture: usize,
    /// Seed of the motions.
    pub seed: u64,
}

/// Pairs from a camera over still pictures.
pub struct Moving {
    pictures: Arc<dyn Source>,
    config: MovingConfig,
}

/// Squares of the anchor and of the positive in the picture, and the change of brightness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    squares: [Square; 2],
    /// Factor of the positive's pixels, 2^-0.3 to 2^0.3.
    pub light: f32,
}

impl Motion {
    /// Draws a motion that stays inside a picture.
    fn draw(rng: &mut impl Rng, height: usize, width: usize) -> Self {
        let short = height.min(width) as f32;
        let side = between(rng, 0.4, 0.7) * short;
        let place =
            |rng: &mut _, length: usize| between(rng, side / 2.0, length as f32 - side / 2.0);
        let (row, column) = (place(rng, height), place(rng, width));
        let anchor = Square { row, column, side, angle: 0.0 };
        let mut positive = anchor;
        for _ in 0..TRIES {
            let moved = Square {
                row: row + between(rng, -0.3, 0.3) * side,
                column: column + between(rng, -0.3, 0.3) * side,
                side: side * between(rng, -0.3, 0.3).exp2(),
                angle: between(rng, -10.0, 10.0),
            };
            if moved.is_inside(height, width) {
                positive = moved;
                break;
            }
        }
        Self { squares: [anchor, positive], light: between(rng, -0.3, 0.3).exp2() }
    }

    /// Shift of the centre (down, right), in sides of the anchor; at most 0.3 along each axis.
    pub fn shift(&self) -> [f32; 2] {
        let [a, b] = self.squares;
        [(b.row - a.row) / a.side, (b.column - a.column) / a.side]
    }

    /// Side of the positive over that of the anchor, 2^-0.3 to 2^0.3.
    pub fn zoom(&self) -> f32 {
        self.squares[1].side / self.squares[0].side
    }

    /// Tilt of the positive in degrees, -10 to 10.
    pub fn tilt(&self) -> f32 {
        self.squares[1].angle
    }
}

impl Moving {
    /// Creates the pairs of `pictures`.
    ///
    /// # Errors
    /// If there are no pictures, or the configuration asks for no pairs, or for more than can be counted.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use deepsim_data::pairs::{Moving, MovingConfig};
    /// use deepsim_data::{Scenes, Source, scenes};
    /// let pictures = Arc::new(Scenes::new(0, scenes::UNLABELED, 5));
    /// let pairs = Moving::new(pictures, MovingConfig { side: 64, per_picture: 4, seed: 0 })?;
    /// assert_eq!((pairs.len(), pairs.height()), (20, 128));
    /// assert!(pairs.motion(3)?.tilt().abs() <= 10.0);
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn new(pictures: Arc<dyn Source>, config: MovingConfig) -> Result<Self, DataError> {
        let counted =
            pictures.len().checked_mul(config.per_picture).zip(config.side.checked_mul(2));
        if pictures.is_empty() || config.side == 0 || config.per_picture == 0 || counted.is_none() {
            return Err(DataError::Argument {
                operation: "pairs from still pictures",
                wanted:
                    "at least one picture, one pair from each, one pixel, and not too many to be \
                         counted"
                        .into(),
                got: format!("{} pictures, {config:?}", pictures.len()),
            });
        }
        Ok(Self { pictures, config })
    }

    /// The motion of a pair.
    ///
    /// # Errors
    /// If there is no such pair.
    pub fn motion(&self, index: usize) -> Result<Motion, DataError> {
        if index >= self.len() {
            return Err(DataError::Argument {
                operation: "reading a pair",
                wanted: format!("one of {}", self.len()),
                got: index.to_string(),
            });
        }
        let mut rng = stream(self.config.seed, Purpose::Pair, 0, index as u64);
        Ok(Motion::draw(&mut rng, self.pictures.height(), self.pictures.width()))
    }
}

impl Source for Moving {
    fn len(&self) -> usize {
        self.pictures.len() * self.config.per_picture
    }

    fn height(&self) -> usize {
        2 * self.config.side
    }

    fn width(&self) -> usize {
        self.config.side
    }

    fn label(&self, index: usize) -> Option<u32> {
        (index < self.len()).then(|| (index / self.config.per_picture) as u32)
    }

    fn identity(&self) -> String {
        format!("{:?} over {}", self.config, self.pictures.identity())
    }

    fn content(&self) -> String {
        let MovingConfig { side, per_picture, seed } = self.config;
        let pictures = self.pictures.content();
        format!(
            "{per_picture} windows of {side}x{side} moving over each, seed {seed}, of {pictures}"
        )
    }

    fn origin(&self, index: usize) -> usize {
        self.pictures.origin(index / self.config.per_picture)
    }

    fn unread(&self) -> Unread {
        self.pictures.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let motion = self.motion(index)?;
        let size = (self.pictures.height(), self.pictures.width());
        let mut picture = rgb_zeros(1, size.0, size.1)?;
        self.pictures.read(index / self.config.per_picture, &mut picture)?;
        stacked(self.config.side, part, pixels, |second, out| {
            motion.squares[usize::from(second)].cut(&picture, size, self.config.side, out);
            if second {
                for value in out {
                    *value = (f32::from(*value) * motion.light).round().min(255.0) as u8;
                }
            }
            Ok(())
        })
    }
}
