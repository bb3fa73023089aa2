//! Surrogate classes from unlabelled pictures, to train an Exemplar-CNN (Dosovitskiy et al. 2014).
//!
//! Every class is one patch of one picture, its *seed*, and the members of the class are deformed
//! copies of it. Nothing is stored: [`Exemplars`] is a [`Source`] that computes each patch when it is
//! read, from (seed, class, deformation) alone. Numbers follow the release of the Exemplar-CNN; what
//! it leaves to MATLAB's image functions is in `docs/differences.md`.
//!
//! ```
//! use std::sync::Arc;
//! use deepsim_data::exemplars::{ExemplarConfig, Exemplars};
//! use deepsim_data::{Scenes, Source, scenes};
//! let pictures = Arc::new(Scenes::new(0, scenes::UNLABELED, 20));
//! let config = ExemplarConfig { classes: 3, deformations: 10, seed: 0 };
//! let patches = Exemplars::new(pictures, config)?;
//! assert!(patches.len() <= 30 && patches.height() == 32);
//! let mut planes = vec![0; 3 * 32 * 32];
//! patches.read(0, &mut planes)?;
//! assert_eq!(patches.label(0), Some(0));
//! # Ok::<(), deepsim_data::DataError>(())
//! ```

mod colour;
mod deformation;
mod seeds;

use std::sync::Arc;

pub use colour::ColourChange;
pub use deformation::Deformation;
pub use seeds::{SCALES, Seed};

use crate::memory::rgb_zeros;
use crate::random::{Purpose, stream};
use crate::source::Rectangle;
use crate::{DataError, Source, Unread};

/// Side of a patch in pixels.
pub const PATCH: usize = 32;

/// Numbers of surrogate classes and deformations, and their seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExemplarConfig {
    /// Classes, each from another picture; 16,000 in the release.
    pub classes: usize,
    /// Deformations drawn for each class; 150 in the release. Those that reach out of the picture
    /// are left out.
    pub deformations: usize,
    /// Seed of patches and deformations.
    pub seed: u64,
}

/// Deformed patches of 32x32 pixels, labelled with their surrogate class. Members of a class follow
/// each other.
pub struct Exemplars {
    pictures: Arc<dyn Source>,
    config: ExemplarConfig,
    seeds: Vec<Seed>,
    /// Number of each deformation that stays inside its picture, class after class.
    kept: Vec<u16>,
    /// Start of each class in `kept`; the last entry is the length of `kept`.
    starts: Vec<usize>,
    mean: [f32; 3],
}

impl Exemplars {
    /// Chooses seed patches and finds which of their deformations stay inside the picture.
    ///
    /// # Errors
    /// If a picture cannot be read, or there are fewer pictures with a usable patch than classes.
    pub fn new(pictures: Arc<dyn Source>, config: ExemplarConfig) -> Result<Self, DataError> {
        if config.classes == 0 || !(1..=usize::from(u16::MAX)).contains(&config.deformations) {
            return Err(DataError::Argument {
                operation: "surrogate classes",
                wanted: format!("at least 1 class, and 1 to {} deformations", u16::MAX),
                got: format!("{} classes of {}", config.classes, config.deformations),
            });
        }
        let (seeds, mean) = seeds::choose(&*pictures, config.classes, config.seed)?;
        let (mut kept, mut starts) = (Vec::new(), vec![0]);
        for (class, seed) in seeds.iter().enumerate() {
            let inside = |number: &usize| {
                let deformation = draw(&config, class, *number);
                deformation.stays_inside(seed, pictures.height(), pictures.width())
            };
            kept.extend((0..config.deformations).filter(inside).map(|number| number as u16));
            starts.push(kept.len());
        }
        if kept.is_empty() {
            return Err(DataError::Argument {
                operation: "surrogate classes",
                wanted: "a deformation that stays inside its picture".into(),
                got: format!("none of {}", config.classes * config.deformations),
            });
        }
        Ok(Self { pictures, config, seeds, kept, starts, mean })
    }

    /// The seed patches, by class.
    pub fn seeds(&self) -> &[Seed] {
        &self.seeds
    }

    /// The class of a patch and how it is deformed.
    ///
    /// # Errors
    /// If there is no such patch.
    pub fn deformation(&self, index: usize) -> Result<(usize, Deformation), DataError> {
        match self.kept.get(index) {
            Some(number) => {
                let class = self.class(index);
                Ok((class, draw(&self.config, class, usize::from(*number))))
            }
            None => Err(DataError::Argument {
                operation: "reading a patch",
                wanted: format!("one of {}", self.kept.len()),
                got: index.to_string(),
            }),
        }
    }

    /// The patches of a class.
    pub fn members(&self, class: usize) -> std::ops::Range<usize> {
        let at = |class: usize| self.starts.get(class).copied().unwrap_or(self.kept.len());
        at(class)..at(class + 1)
    }

    fn class(&self, index: usize) -> usize {
        self.starts.partition_point(|start| *start <= index) - 1
    }
}

/// Deformation `number` of `class`.
fn draw(config: &ExemplarConfig, class: usize, number: usize) -> Deformation {
    let purpose = Purpose::Deformation;
    Deformation::draw(&mut stream(config.seed, purpose, class as u64, number as u64))
}

impl Source for Exemplars {
    fn len(&self) -> usize {
        self.kept.len()
    }

    fn height(&self) -> usize {
        PATCH
    }

    fn width(&self) -> usize {
        PATCH
    }

    fn label(&self, index: usize) -> Option<u32> {
        (index < self.kept.len()).then(|| self.class(index) as u32)
    }

    fn identity(&self) -> String {
        format!("{:?} of {}", self.config, self.pictures.identity())
    }

    fn content(&self) -> String {
        let ExemplarConfig { classes, deformations, seed } = self.config;
        let pictures = self.pictures.content();
        format!("{deformations} deformations of {classes} patches, seed {seed}, of {pictures}")
    }

    fn origin(&self, index: usize) -> usize {
        let seed = self.kept.get(index).and_then(|_| self.seeds.get(self.class(index)));
        seed.map_or(index, |seed| self.pictures.origin(seed.picture))
    }

    fn unread(&self) -> Unread {
        self.pictures.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let (class, deformation) = self.deformation(index)?;
        let seed = &self.seeds[class];
        let (height, width) = (self.pictures.height(), self.pictures.width());
        let mut picture = rgb_zeros(1, height, width)?;
        self.pictures.read(seed.picture, &mut picture)?;
        let mut patch = deformation.cut(seed, &picture, height, width);
        deformation.colour.apply(&mut patch, self.mean);
        part.copy(&patch, PATCH, pixels);
        Ok(())
    }
}
