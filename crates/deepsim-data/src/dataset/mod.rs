//! Data sets with all their splits, and the search for them on the disk.
//!
//! [`DataOptions`] holds the name of a data set and the way in which its test split is chosen.

mod find;
mod pictures;
mod recognise;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use find::{DataOptions, PictureSet, TEST_SHARE};
pub use recognise::{Format, SCENES};

use self::pictures::Originals;
use crate::duplicates;
use crate::ilsvrc::Ilsvrc;
use crate::photos::{self, PhotoSizes, Photographs, Set};
use crate::resized::Resized;
use crate::scenes::{self, Scenes};
use crate::stl10::{self, Split, Stl10};
use crate::subset::Subset;
use crate::{Augmented, DataError, PictureFiles, Pipeline, Prepared, Source, Transform};

/// Images with class indices.
#[derive(Clone)]
pub struct Labelled {
    /// The images.
    pub images: Arc<dyn Source>,
    /// Class index of each, from 0; empty without labels.
    pub labels: Vec<u32>,
}

/// Data set with all splits that training and evaluation need.
#[derive(Clone)]
pub struct Dataset {
    /// Short name.
    pub name: String,
    /// One sentence for reports.
    pub description: String,
    /// True if the images are generated, not photographed.
    pub synthetic: bool,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Images to train generators on.
    pub unlabeled: Arc<dyn Source>,
    /// Images to train classifiers on.
    pub train: Labelled,
    /// Images to measure on.
    pub test: Labelled,
    /// Subsets of `train`; one classifier is trained on each. Empty where the data set has none.
    pub folds: Vec<Vec<usize>>,
    /// Origin of the test images, where the data set does not define a test split.
    pub test_origin: Option<String>,
    /// Pictures in their original sizes, where these differ.
    originals: Option<Originals>,
}

/// Numbers of images that are also test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Unlabeled images.
    pub unlabeled: usize,
    /// Training images.
    pub train: usize,
}

/// Numbers of procedural scenes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneSizes {
    /// Images to train generators on.
    pub unlabeled: usize,
    /// Labelled training images, in ten folds of a fifth of them each.
    pub train: usize,
    /// Labelled test images.
    pub test: usize,
}

impl Default for SceneSizes {
    fn default() -> Self {
        Self { unlabeled: 20_000, train: 1_500, test: 1_500 }
    }
}

impl Dataset {
    /// Opens the data at a path, or procedural scenes without one: [`DataOptions::open`] with defaults.
    ///
    /// # Errors
    /// As [`DataOptions::open`].
    pub fn open(data: Option<&Path>, seed: u64) -> Result<Self, DataError> {
        DataOptions { data: data.map(Into::into), ..DataOptions::default() }.open(seed)
    }

    /// ILSVRC-2012 as it is distributed: 256x256, stretched, as Caffe prepares it. Its training pictures
    /// are what generators are trained on, its validation pictures are what is measured on.
    ///
    /// # Errors
    /// If the pictures or the development kit are missing or wrong.
    pub fn ilsvrc(folder: &Path) -> Result<Self, DataError> {
        let ilsvrc = Ilsvrc::open(folder)?;
        let labelled = |files: Arc<dyn PictureFiles>| {
            let labels = (0..files.len()).map(|index| files.label(index).unwrap_or(0)).collect();
            let images = Arc::new(Prepared::new(files, Transform::CAFFE));
            Labelled { images, labels }
        };
        let names = |kit: &crate::ilsvrc::Devkit| {
            let mut names: Vec<_> = kit.synsets.iter().map(|s| (&s.wnid, &s.words)).collect();
            names.sort();
            names.into_iter().map(|(_, words)| words.clone()).collect()
        };
        let files: Arc<dyn PictureFiles> = Arc::new(ilsvrc.train()?);
        let (train, test) = (labelled(files.clone()), labelled(Arc::new(ilsvrc.val()?)));
        let description = format!(
            "photographs in ILSVRC-2012's format: {} training, {} validation images, stretched to 256x256",
            train.images.len(),
            test.images.len()
        );
        Ok(Self {
            name: "ilsvrc-2012".into(),
            description,
            synthetic: false,
            class_names: ilsvrc.devkit().map(names).unwrap_or_default(),
            folds: Vec::new(),
            unlabeled: train.images.clone(),
            train,
            test,
            test_origin: None,
            originals: Some(Originals::stretched(files)),
        })
    }

    /// The same images brought to `side x side`, those that are of another size: those of folders and shards from
    /// their files, by their short side and the middle square; others are stretched.
    pub fn sized(self, side: usize) -> Self {
        if (self.test.images.height(), self.test.images.width()) == (side, side) {
            return self;
        }
        let description = format!("{}, brought to {side}x{side}", self.description);
        if let Some(originals) = self.originals.as_ref().and_then(|all| all.sized(side)) {
            let (train, test) = originals.images();
            return Self {
                description,
                unlabeled: train.clone(),
                train: Labelled { images: train, ..self.train },
                test: Labelled { images: test, ..self.test },
                originals: Some(originals),
                ..self
            };
        }
        let resized = |images: Arc<dyn Source>| -> Arc<dyn Source> {
            Arc::new(Resized::new(images, Transform::stretch(side, side)))
        };
        let labelled = |set: Labelled| Labelled { images: resized(set.images), ..set };
        Self {
            description,
            unlabeled: resized(self.unlabeled),
            train: labelled(self.train),
            test: labelled(self.test),
            ..self
        }
    }

    /// The same, with training pictures kept in a folder after the first resize of their transforms, so that
    /// [`training`](Self::training) decodes each once, in this run and in later ones. Changes the speed only.
    ///
    /// # Errors
    /// If the images are not made of picture files, or the folder cannot be created.
    pub fn cached(self, folder: &Path) -> Result<Self, DataError> {
        let originals = self.originals.ok_or_else(|| find::not_of_files(self.name.clone()))?;
        std::fs::create_dir_all(folder).map_err(DataError::io("creating folder", folder))?;
        Ok(Self { originals: Some(originals.cached(folder)), ..self })
    }

    /// Returns the paths of the test pictures, in the order of the test images: of data in picture files whose test
    /// split was found or held out by [`DataOptions`]. Empty for other data.
    ///
    /// ```
    /// # use deepsim_data::picture::Picture;
    /// use deepsim_data::Dataset;
    /// # let root = tempfile::tempdir()?;
    /// # for i in 0..20 {
    /// #     Picture::new(120, 90, [9; 3]).write_png(&root.path().join(format!("{i}.png")))?;
    /// # }
    /// # let pictures = root.path();
    /// let held_out = Dataset::open(Some(pictures), 0)?.test_paths();
    /// assert!(held_out.len() == 2 && held_out[0].starts_with(pictures));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn test_paths(&self) -> Vec<PathBuf> {
        self.originals.as_ref().map_or_else(Vec::new, Originals::test_paths)
    }

    /// Returns the training images of generators for crops of `crop` pixels, under a pipeline if there is
    /// one: it is applied to the pictures as they are in their files, where the data set has them, else to its
    /// images. Crops of pictures in folders and shards are taken from all of each picture, whatever its proportion.
    ///
    /// ```
    /// use deepsim_data::{Dataset, Pipeline, Source};
    /// let scenes = Dataset::open(None, 0)?;
    /// let train = scenes.training(Some(&Pipeline::torchvision_train(64)), 64)?;
    /// assert_eq!((train.len(), train.height(), train.width()), (20_000, 64, 64));
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// If the pipeline does not fit the images.
    pub fn training(
        &self,
        pipeline: Option<&Pipeline>,
        crop: usize,
    ) -> Result<Arc<dyn Source>, DataError> {
        match (&self.originals, pipeline) {
            (Some(originals), pipeline) => originals.training(pipeline, crop, &self.unlabeled),
            (None, Some(pipeline)) => {
                Ok(Arc::new(Augmented::of_images(self.unlabeled.clone(), pipeline.clone())?))
            }
            (None, None) => Ok(self.unlabeled.clone()),
        }
    }

    /// STL-10 from a folder in its binary format.
    ///
    /// # Errors
    /// If a file is missing or wrong.
    pub fn stl10(folder: &Path) -> Result<Self, DataError> {
        let unlabeled = Stl10::open(folder, Split::Unlabeled)?;
        let labelled = |split| -> Result<Labelled, DataError> {
            let images = Stl10::open(folder, split)?;
            let labels = images.labels().iter().map(|&label| label.into()).collect();
            Ok(Labelled { images: Arc::new(images), labels })
        };
        let (train, test) = (labelled(Split::Train)?, labelled(Split::Test)?);
        let description = format!(
            "photographs in STL-10's binary format: {} unlabeled, {} train, {} test images of 96x96",
            unlabeled.len(),
            train.images.len(),
            test.images.len()
        );
        Ok(Self {
            name: "stl10".into(),
            description,
            synthetic: false,
            class_names: stl10::read_class_names(folder)?,
            folds: stl10::read_folds(folder, train.images.len())?,
            unlabeled: Arc::new(unlabeled),
            train,
            test,
            test_origin: None,
            originals: None,
        })
    }

    /// Crops of the photographs of a folder; [`photos`] says which from where.
    ///
    /// # Errors
    /// If [`Photographs::open`] refuses the folder.
    pub fn photos(folder: &Path, seed: u64, sizes: PhotoSizes) -> Result<Self, DataError> {
        let photographs = Photographs::open(folder)?;
        let crops = |set, len| Arc::new(photographs.crops(set, seed, len));
        let labelled = |set, len| {
            let images = crops(set, len);
            let labels = (0..len).filter_map(|index| images.label(index)).collect();
            Labelled { images, labels }
        };
        let held_out = photographs.of(photos::Split::Test);
        let shared = held_out.clone().filter(|photograph| photograph.is_share_alike()).count();
        let credits: Vec<String> =
            held_out.clone().filter_map(photos::Photograph::credit).collect();
        let credits = match credits.is_empty() {
            true => String::new(),
            false => format!("; among the held-out ones are {}", credits.join(", ")),
        };
        let shared = match shared {
            0 => String::new(),
            shared => format!(
                "; {shared} held-out photographs are share-alike, and so are figures that show them"
            ),
        };
        Ok(Self {
            name: "photographs".into(),
            description: format!(
                "crops of photographs, drawn from seed {seed} and brought to {side}x{side}: {} unlabeled of {} \
                 photographs; {} train and {} test of opposite sides of {} held-out photographs, labelled \
                 with the photograph{credits}{shared}",
                sizes.unlabeled,
                photographs.of(photos::Split::Train).count(),
                sizes.train,
                sizes.test,
                held_out.clone().count(),
                side = photos::SIDE,
            ),
            synthetic: false,
            class_names: held_out.map(|photograph| photograph.name().to_owned()).collect(),
            unlabeled: crops(Set::Unlabeled, sizes.unlabeled),
            train: labelled(Set::Train, sizes.train),
            test: labelled(Set::Test, sizes.test),
            folds: overlapping_folds(sizes.train),
            test_origin: None,
            originals: None,
        })
    }

    /// Without the unlabeled and training images that are also test images, byte for byte; and how
    /// many of either were left out.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn without_duplicates(self) -> Result<(Self, Dropped), DataError> {
        let unlabeled = duplicates::find(&*self.unlabeled, &*self.test.images)?;
        let train = duplicates::find(&*self.train.images, &*self.test.images)?;
        let kept = Subset::without(self.train.images.clone(), &train);
        // New index of each training image that is kept.
        let places: HashMap<usize, usize> =
            kept.indices().iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let fold = |fold: &Vec<usize>| fold.iter().filter_map(|i| places.get(i).copied()).collect();
        let label = |index: &usize| self.train.labels.get(*index).copied();
        let labels = kept.indices().iter().filter_map(label).collect();
        let dropped = Dropped { unlabeled: unlabeled.len(), train: train.len() };
        let dataset = Self {
            name: format!("{} without duplicates", self.name),
            description: format!(
                "{}, without {} unlabeled and {} training images that are also test images",
                self.description, dropped.unlabeled, dropped.train
            ),
            unlabeled: Arc::new(Subset::without(self.unlabeled, &unlabeled)),
            originals: self.originals.map(|originals| originals.without(&unlabeled)),
            folds: self.folds.iter().map(fold).collect(),
            train: Labelled { images: Arc::new(kept), labels },
            ..self
        };
        Ok((dataset, dropped))
    }

    /// Procedural scenes generated from a seed.
    pub fn scenes(seed: u64, sizes: SceneSizes) -> Self {
        let labelled = |split, len| {
            let images = Scenes::new(seed, split, len);
            let labels = (0..len).map(|i| images.class(i) as u32).collect();
            Labelled { images: Arc::new(images), labels }
        };
        Self {
            name: "procedural scenes".into(),
            description: format!(
                "procedural scenes (dead leaves), generated from seed {seed}, not photographs: {} \
                 unlabeled, {} train, {} test images of 96x96",
                sizes.unlabeled, sizes.train, sizes.test
            ),
            synthetic: true,
            class_names: scenes::CLASS_NAMES.map(str::to_owned).to_vec(),
            unlabeled: Arc::new(Scenes::new(seed, scenes::UNLABELED, sizes.unlabeled)),
            train: labelled(scenes::TRAIN, sizes.train),
            test: labelled(scenes::TEST, sizes.test),
            folds: overlapping_folds(sizes.train),
            test_origin: None,
            originals: None,
        }
    }
}

/// Ten overlapping stretches of a fifth of the training images, in place of STL-10's overlapping folds.
/// Classes take turns from image to image, so every stretch is balanced.
fn overlapping_folds(images: usize) -> Vec<Vec<usize>> {
    let fold = |k: usize| (0..images / 5).map(|i| (k * images / 10 + i) % images.max(1)).collect();
    (0..10).map(fold).collect()
}
