//! Transforms of training pictures as named values: resizing, crops, mirroring, colour jitter.
//!
//! A [`Pipeline`] is a list of [`Step`]s, as in torchvision's `Compose`, and has a text form for recipes:
//!
//! ```
//! use deepsim_data::pipeline::Pipeline;
//! # #[derive(serde::Deserialize)]
//! # struct Recipe { transform: Pipeline }
//! let text = r#"
//! transform = [
//!     { resize = { side = 256 } },
//!     { random_crop = { side = 227 } },
//!     { mirror = {} },
//!     { colour_jitter = { brightness = 0.4, hue = 0.1 } },
//! ]
//! "#;
//! let Recipe { transform } = toml::from_str(text)?;
//! assert_eq!(transform.size(None), Some((227, 227)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Augmented`](crate::Augmented) applies one to picture files or images, so that a
//! [`Loader`](crate::Loader) makes batches of the results.

mod canvas;
pub mod colour;
mod resized_crop;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use canvas::Canvas;
pub use resized_crop::{RATIO, SCALE, resized_crop};

use self::colour::ColourJitter;
use crate::DataError;
use crate::picture::Picture;
use crate::random::SampleStream;
use crate::transform::{Filter, with_short_side};

/// Longest side in pixels that a step makes.
const MAX_SIDE: usize = 1 << 14;

/// One transform of a picture.
///
/// Where nothing is drawn, for evaluation, a step that is random takes the middle or does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Makes the short side `side` pixels long; the long side keeps the proportion. torchvision's
    /// `Resize(side)`.
    Resize {
        /// Length of the short side in pixels.
        side: usize,
        /// Interpolation.
        #[serde(default)]
        filter: Filter,
    },
    /// Stretches the picture to `side x side`. torchvision's `Resize((side, side))`.
    Stretch {
        /// Height and width in pixels.
        side: usize,
        /// Interpolation.
        #[serde(default)]
        filter: Filter,
    },
    /// Cuts out the square in the middle. torchvision's `CenterCrop(side)`.
    CenterCrop {
        /// Height and width in pixels.
        side: usize,
    },
    /// Cuts out a square, uniform over all places in the picture, which may be a rectangle. torchvision's
    /// `RandomCrop(side)`. Evaluation takes the middle.
    RandomCrop {
        /// Height and width in pixels.
        side: usize,
    },
    /// Cuts out a rectangle of random area and proportion and stretches it to `side x side`:
    /// [`resized_crop`], torchvision's `RandomResizedCrop(side)`. Evaluation takes the largest rectangle in the
    /// middle whose proportion is within `ratio`.
    RandomResizedCrop {
        /// Height and width of the result in pixels.
        side: usize,
        /// Least and greatest share of the picture's area, above 0 and at most 1.
        #[serde(default = "scale")]
        scale: [f64; 2],
        /// Least and greatest width over height, above 0.
        #[serde(default = "ratio")]
        ratio: [f64; 2],
        /// Interpolation.
        #[serde(default)]
        filter: Filter,
    },
    /// Mirrors left to right. torchvision's `RandomHorizontalFlip`. Evaluation leaves the picture as it is.
    Mirror {
        /// Share of samples that are mirrored, 0 to 1.
        #[serde(default = "half")]
        probability: f64,
    },
    /// Changes brightness, contrast, saturation and hue. torchvision's `ColorJitter`. Evaluation leaves the
    /// picture as it is.
    ColourJitter(ColourJitter),
}

fn scale() -> [f64; 2] {
    SCALE
}

fn ratio() -> [f64; 2] {
    RATIO
}

fn half() -> f64 {
    0.5
}

/// Transforms, one after the other.
///
/// ```
/// use deepsim_data::pipeline::Pipeline;
/// use deepsim_data::{picture::Picture, random::SampleStream};
/// let train = Pipeline::torchvision_train(224);
/// let photo = Picture::new(300, 400, [10, 20, 30]);
/// let crop = train.apply(&photo, Some(&mut SampleStream::new(0, 0, 0)))?;
/// assert_eq!((crop.height, crop.width), (224, 224));
/// println!("{train}");
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Pipeline {
    steps: Vec<Step>,
}

impl TryFrom<Vec<Step>> for Pipeline {
    type Error = DataError;

    fn try_from(steps: Vec<Step>) -> Result<Self, DataError> {
        Self::new(steps)
    }
}

impl From<Pipeline> for Vec<Step> {
    fn from(pipeline: Pipeline) -> Self {
        pipeline.steps
    }
}

impl Pipeline {
    /// Creates a pipeline of these steps.
    ///
    /// # Errors
    /// If a number of a step is out of its range.
    pub fn new(steps: Vec<Step>) -> Result<Self, DataError> {
        steps.iter().try_for_each(Step::check)?;
        Ok(Self { steps })
    }

    /// torchvision's transforms for training on ImageNet: [`Step::RandomResizedCrop`] to `side` and
    /// mirroring of half of the samples.
    pub fn torchvision_train(side: usize) -> Self {
        let (scale, ratio, filter) = (SCALE, RATIO, Filter::Antialiased);
        let steps = vec![
            Step::RandomResizedCrop { side, scale, ratio, filter },
            Step::Mirror { probability: 0.5 },
        ];
        Self { steps }
    }

    /// Caffe's transforms for training on ILSVRC: stretched to 256x256 ([`Transform::CAFFE`](crate::Transform::CAFFE)), random crops
    /// of `side`, 227 for AlexNet, half of them mirrored.
    pub fn caffe_train(side: usize) -> Self {
        let steps = vec![
            Step::Stretch { side: 256, filter: Filter::FourNearest },
            Step::RandomCrop { side },
            Step::Mirror { probability: 0.5 },
        ];
        Self { steps }
    }

    /// Short side `side`, then a random square of `crop` from anywhere in the picture.
    pub fn resize_and_crop(side: usize, crop: usize) -> Self {
        let filter = Filter::Antialiased;
        Self { steps: vec![Step::Resize { side, filter }, Step::RandomCrop { side: crop }] }
    }

    /// Returns the steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the pipeline with one more step at its end.
    ///
    /// # Errors
    /// If a number of the step is out of its range.
    pub fn then(mut self, step: Step) -> Result<Self, DataError> {
        step.check()?;
        self.steps.push(step);
        Ok(self)
    }

    /// Returns height and width of every result, given pictures of size `of`, or of any size; `None` if
    /// results of such pictures differ in size.
    pub fn size(&self, of: Option<(usize, usize)>) -> Option<(usize, usize)> {
        self.steps.iter().fold(of, |size, step| match *step {
            Step::Resize { side, .. } => with_short_side(side, size?),
            Step::Stretch { side, .. }
            | Step::CenterCrop { side }
            | Step::RandomCrop { side }
            | Step::RandomResizedCrop { side, .. } => Some((side, side)),
            Step::Mirror { .. } | Step::ColourJitter(_) => size,
        })
    }

    /// Returns true if a step draws random numbers.
    pub fn is_drawn(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Resize { .. } | Step::Stretch { .. } | Step::CenterCrop { .. } => false,
            Step::Mirror { probability } => *probability > 0.0,
            Step::RandomCrop { .. } | Step::RandomResizedCrop { .. } | Step::ColourJitter(_) => {
                true
            }
        })
    }

    /// Transforms a picture, with what is random drawn from `random`; without it, as for evaluation.
    ///
    /// # Errors
    /// If the picture is empty, or a crop larger than what it is cut out of.
    pub fn apply(
        &self,
        picture: &Picture,
        random: Option<&mut SampleStream>,
    ) -> Result<Picture, DataError> {
        let mut canvas = Canvas::default();
        canvas.picture_mut().clone_from(picture);
        self.run(&mut canvas, random, Path::new("picture"))?;
        Ok(std::mem::take(canvas.picture_mut()))
    }

    /// Transforms the picture of a canvas.
    pub(crate) fn run(
        &self,
        canvas: &mut Canvas,
        mut random: Option<&mut SampleStream>,
        path: &Path,
    ) -> Result<(), DataError> {
        canvas.begin(path)?;
        for step in &self.steps {
            match *step {
                Step::Resize { side, filter } => canvas.resize_short_side(side, filter)?,
                Step::Stretch { side, filter } => canvas.resize((side, side), filter)?,
                Step::CenterCrop { side } => canvas.crop(side, None)?,
                Step::RandomCrop { side } => canvas.crop(side, random.as_deref_mut())?,
                Step::RandomResizedCrop { side, scale, ratio, filter } => {
                    let random = random.as_deref_mut();
                    canvas.resized_crop(
                        side,
                        |size| resized_crop(size, scale, ratio, random),
                        filter,
                    )?;
                }
                Step::Mirror { probability } => {
                    if random.as_deref_mut().is_some_and(|random| random.chance(probability)) {
                        canvas.mirror()?;
                    }
                }
                Step::ColourJitter(jitter) => {
                    if let Some(random) = random.as_deref_mut() {
                        jitter.apply(canvas.settled()?, random);
                    }
                }
            }
        }
        canvas.settled().map(|_| ())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("as it is");
        }
        for (at, step) in self.steps.iter().enumerate() {
            let then = if at > 0 { ", then " } else { "" };
            write!(f, "{then}{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resize { side, filter } => write!(f, "short side {side} ({filter})"),
            Self::Stretch { side, filter } => write!(f, "stretched to {side}x{side} ({filter})"),
            Self::CenterCrop { side } => write!(f, "middle {side}x{side}"),
            Self::RandomCrop { side } => write!(f, "random crop of {side}"),
            Self::RandomResizedCrop { side, scale: [a, b], ratio: [c, d], filter } => write!(
                f,
                "random resized crop to {side} of {a} to {b} of the area and proportions {c} to {d} ({filter})"
            ),
            Self::Mirror { probability } => write!(f, "mirrored with probability {probability}"),
            Self::ColourJitter(jitter) => jitter.fmt(f),
        }
    }
}

impl Step {
    /// Refuses numbers that are out of their range.
    fn check(&self) -> Result<(), DataError> {
        let refuse = |wanted: &str, got: String| {
            let wanted = wanted.to_owned();
            Err(DataError::Argument { operation: "transform", wanted, got })
        };
        match *self {
            Self::Resize { side, .. }
            | Self::Stretch { side, .. }
            | Self::CenterCrop { side }
            | Self::RandomCrop { side }
            | Self::RandomResizedCrop { side, .. }
                if !(1..=MAX_SIDE).contains(&side) =>
            {
                refuse(&format!("a side of 1 to {MAX_SIDE} pixels"), side.to_string())
            }
            Self::RandomResizedCrop { scale: [low, high], .. }
                if !(0.0 < low && low <= high && high <= 1.0) =>
            {
                refuse("a scale of two shares above 0 and up to 1", format!("[{low}, {high}]"))
            }
            Self::RandomResizedCrop { ratio: [low, high], .. }
                if !(0.0 < low && low <= high && high.is_finite()) =>
            {
                refuse("a ratio of two proportions above 0", format!("[{low}, {high}]"))
            }
            Self::Mirror { probability } if !(0.0..=1.0).contains(&probability) => {
                refuse("a probability of mirroring from 0 to 1", probability.to_string())
            }
            Self::ColourJitter(jitter) => jitter.check(),
            _ => Ok(()),
        }
    }
}
