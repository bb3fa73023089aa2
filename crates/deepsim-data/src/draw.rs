//! Sample and crop at a place in the sequence, drawn from (seed, epoch, position) alone.

use rand_core::Rng;

use crate::LoaderConfig;
use crate::batch::Cursor;
use crate::order::Permutation;
use crate::random::{Purpose, SampleStream, below, stream};

/// The endless sequence of samples of a set.
pub(crate) struct Sequence {
    images: usize,
    seed: u64,
    shuffle: bool,
}

impl Sequence {
    /// The sequence for a set of `images`.
    pub(crate) fn new(images: usize, config: &LoaderConfig) -> Self {
        Self { images, seed: config.seed, shuffle: config.shuffle }
    }

    /// Samples in an epoch.
    pub(crate) fn len(&self) -> u64 {
        self.images as u64
    }

    /// Draws the sample at a place. Attempts after the first draw a random image of the set, as the
    /// replacement for one that cannot be read.
    pub(crate) fn draw(&self, at: Cursor, attempt: u64) -> Draw {
        let position = at.position as usize;
        let index = match attempt {
            0 if self.shuffle => Permutation::new(self.images, self.seed, at.epoch).get(position),
            0 => position,
            _ => {
                let mut rng = self.stream(Purpose::Replace, at);
                (1..attempt).for_each(|_| {
                    rng.next_u32();
                });
                below(&mut rng, self.images)
            }
        };
        Draw { seed: self.seed, at, index }
    }

    fn stream(&self, purpose: Purpose, at: Cursor) -> impl Rng + use<> {
        stream(self.seed, purpose, at.epoch, at.position)
    }
}

/// One sample, and the streams of random numbers that belong to its place.
pub(crate) struct Draw {
    seed: u64,
    at: Cursor,
    index: usize,
}

impl Draw {
    /// Returns the index of the image in the set.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the corner of a crop, uniform over `places`.
    pub(crate) fn corner(&self, places: (usize, usize)) -> (usize, usize) {
        let mut rng = stream(self.seed, Purpose::Crop, self.at.epoch, self.at.position);
        (below(&mut rng, places.0), below(&mut rng, places.1))
    }

    /// Returns the stream for everything else that is random about the sample.
    pub(crate) fn own(&self) -> SampleStream {
        SampleStream::new(self.seed, self.at.epoch, self.at.position)
    }

    /// True for half of all samples.
    pub(crate) fn mirrored(&self) -> bool {
        let mut rng = stream(self.seed, Purpose::Mirror, self.at.epoch, self.at.position);
        rng.next_u32() >> 31 == 1
    }
}
