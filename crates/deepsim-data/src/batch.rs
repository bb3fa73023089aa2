//! Batches of images: how they are made, and what they hold.

use serde::{Deserialize, Serialize};

use crate::source::Rectangle;
use crate::{Crop, DataError};

/// A position in the endless sequence of samples.
///
/// It means something only together with the seed and the data: [`LoaderState`](crate::LoaderState) holds all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Passes over the data that are complete.
    pub epoch: u64,
    /// Samples taken in this pass, by all ranks together.
    pub position: u64,
}

impl Cursor {
    pub(crate) fn advanced(self, samples: u64, len: u64) -> Self {
        let position = u128::from(self.position) + u128::from(samples);
        let (epochs, position) = (position / u128::from(len), position % u128::from(len));
        Self { epoch: self.epoch.wrapping_add(epochs as u64), position: position as u64 }
    }
}

/// Treatment of a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// The batch is an error.
    #[default]
    Fail,
    /// Another sample, drawn at random, takes its place, or none in a pass that ends
    /// ([`LoaderConfig::ends`]), and [`Batch::skipped`] says so. More than
    /// this many different pictures are an error: one that is met again in each epoch counts once,
    /// also after [`Loader::resume`](crate::Loader::resume).
    Skip(u64),
}

/// Configuration of the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples in a batch; every batch is full and may reach into the next epoch, unless `ends` is set.
    pub batch: usize,
    /// True if the loader ends with the epoch that it begins in; the last batch may then be smaller.
    pub ends: bool,
    /// Part cut out of each image.
    pub crop: Crop,
    /// True if half of the images, chosen at random, are mirrored left to right.
    pub mirror: bool,
    /// Seed of order, crops and mirroring.
    pub seed: u64,
    /// Threads that read, decode and crop; they change the speed only.
    pub workers: usize,
    /// Batches prepared ahead, by all workers together.
    pub prefetch: usize,
    /// True if each epoch has its own random order.
    pub shuffle: bool,
    /// Share of each step that this loader takes, of `world` equal ones.
    pub rank: usize,
    /// Number of processes that share the data. The batches of ranks 0, 1, ... of a step, one after
    /// the other, are what a single process with a batch `world` times as large gets.
    pub world: usize,
    /// Treatment of a sample that cannot be read.
    pub broken: Broken,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch: 64,
            ends: false,
            crop: Crop::Full,
            mirror: false,
            seed: 0,
            workers: 1,
            prefetch: 4,
            shuffle: true,
            rank: 0,
            world: 1,
            broken: Broken::Fail,
        }
    }
}

/// Pixels of some images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `n x 3 x height x width` bytes: planes red, green, blue, each row-major.
    pub pixels: Vec<u8>,
    /// Images.
    pub n: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Origin of each image.
    pub samples: Vec<Sample>,
    /// Samples that could not be read and were replaced.
    pub skipped: Vec<Skipped>,
    /// Position after this batch; the same for every rank.
    pub next: Cursor,
}

impl Batch {
    /// Returns the class of each image.
    ///
    /// # Errors
    /// If an image has none, which names it.
    ///
    /// ```
    /// use deepsim_data::{Crop, Scenes, read_range, scenes};
    /// let batch = read_range(&Scenes::new(0, scenes::TEST, 9), 0..4, Crop::Full)?;
    /// assert_eq!(batch.labels()?.len(), 4);
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn labels(&self) -> Result<Vec<u32>, DataError> {
        let label = |sample: &Sample| {
            sample.label.ok_or_else(|| DataError::Argument {
                operation: "labels of a batch",
                wanted: "images with labels".into(),
                got: format!("image {} without one", sample.index),
            })
        };
        self.samples.iter().map(label).collect()
    }
}

/// Origin of an image of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Index of the image in the source.
    pub index: usize,
    /// Class, if the source has labels.
    pub label: Option<u32>,
    /// Part of the image.
    pub part: Rectangle,
    /// True if it was mirrored left to right after cutting.
    pub mirrored: bool,
}

/// A sample that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Index of the image in the source.
    pub index: usize,
    /// Message of the error.
    pub reason: String,
}
