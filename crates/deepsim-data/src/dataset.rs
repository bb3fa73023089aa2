//! All splits of a data set together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::duplicates;
use crate::ilsvrc::Ilsvrc;
use crate::kinds::{Kind, Unread};
use crate::photos::{self, PhotoSizes, Photographs, Set};
use crate::resized::Resized;
use crate::scenes::{self, Scenes};
use crate::stl10::{self, Split, Stl10};
use crate::subset::Subset;
use crate::{DataError, PictureFiles, Prepared, Source, Transform};

/// Images with class indices.
#[derive(Clone)]
pub struct Labelled {
    /// The images.
    pub images: Arc<dyn Source>,
    /// Class index of each, from 0.
    pub labels: Vec<u32>,
}

/// What the autoencoder experiment needs.
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
    /// Subsets of `train` on which classifiers are trained one by one.
    pub folds: Vec<Vec<usize>>,
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
    /// ILSVRC-2012, STL-10 or photographs from a folder that holds one of them, or procedural scenes without one.
    ///
    /// # Errors
    /// If the folder holds none, which names what was looked for and what is there, or no valid copy.
    pub fn open(folder: Option<&Path>, seed: u64) -> Result<Self, DataError> {
        match folder {
            Some(folder) if is_ilsvrc(folder) => Self::ilsvrc(folder),
            Some(folder) if is_photos(folder) => Self::photos(folder, seed, PhotoSizes::default()),
            Some(folder) => {
                recognise_stl10(folder)?;
                Self::stl10(folder)
            }
            None => Ok(Self::scenes(seed, SceneSizes::default())),
        }
    }

    /// ILSVRC-2012 as it is distributed: 256x256, stretched, as Caffe prepares it. Its training pictures
    /// are what generators are trained on, its validation pictures are what is measured on.
    ///
    /// # Errors
    /// If the pictures or the development kit are missing or wrong.
    pub fn ilsvrc(folder: &Path) -> Result<Self, DataError> {
        let ilsvrc = Ilsvrc::open(folder)?;
        let labelled = |files: crate::ilsvrc::IlsvrcPictures| {
            let labels = (0..files.len()).map(|index| files.label(index).unwrap_or(0)).collect();
            let images = Arc::new(Prepared::new(Arc::new(files), Transform::CAFFE));
            Labelled { images, labels }
        };
        let names = |kit: &crate::ilsvrc::Devkit| {
            let mut names: Vec<_> = kit.synsets.iter().map(|s| (&s.wnid, &s.words)).collect();
            names.sort();
            names.into_iter().map(|(_, words)| words.clone()).collect()
        };
        let (train, test) = (labelled(ilsvrc.train()?), labelled(ilsvrc.val()?));
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
        })
    }

    /// The same images stretched to `side x side`, those that are of another size.
    pub fn sized(self, side: usize) -> Self {
        if (self.test.images.height(), self.test.images.width()) == (side, side) {
            return self;
        }
        let resized = |images: Arc<dyn Source>| -> Arc<dyn Source> {
            Arc::new(Resized::new(images, Transform::stretch(side, side)))
        };
        let labelled = |set: Labelled| Labelled { images: resized(set.images), ..set };
        Self {
            description: format!("{}, brought to {side}x{side}", self.description),
            unlabeled: resized(self.unlabeled),
            train: labelled(self.train),
            test: labelled(self.test),
            ..self
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
                 with the photograph{shared}",
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
        // Where each training image has gone.
        let places: HashMap<usize, usize> =
            kept.indices().iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let fold = |fold: &Vec<usize>| fold.iter().filter_map(|i| places.get(i).copied()).collect();
        let labels = kept.indices().iter().map(|index| self.train.labels[*index]).collect();
        let dropped = Dropped { unlabeled: unlabeled.len(), train: train.len() };
        let dataset = Self {
            name: format!("{} without duplicates", self.name),
            description: format!(
                "{}, without {} unlabeled and {} training images that are also test images",
                self.description, dropped.unlabeled, dropped.train
            ),
            unlabeled: Arc::new(Subset::without(self.unlabeled, &unlabeled)),
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
        }
    }
}

/// Ten overlapping stretches of a fifth of the training images, in place of STL-10's overlapping folds.
/// Classes take turns from image to image, so every stretch is balanced.
fn overlapping_folds(images: usize) -> Vec<Vec<usize>> {
    let fold = |k: usize| (0..images / 5).map(|i| (k * images / 10 + i) % images.max(1)).collect();
    (0..10).map(fold).collect()
}

/// Refuses a folder that does not hold STL-10, with what it does hold and what to do.
fn recognise_stl10(folder: &Path) -> Result<(), DataError> {
    let metadata = std::fs::metadata(folder).map_err(DataError::io("opening", folder))?;
    let root = stl10::root(folder);
    let there = |name: &&str| root.join(name).exists();
    let (there, missing): (Vec<&str>, Vec<&str>) = stl10::FILES.into_iter().partition(there);
    if missing.is_empty() {
        return Ok(());
    }
    let found = match (metadata.is_dir(), there.is_empty()) {
        (false, _) => "a file".into(),
        (true, false) => format!("a folder without {}", missing.join(", ")),
        (true, true) => contents(folder),
    };
    Err(DataError::Content {
        path: folder.into(),
        wanted: format!(
            "a folder with STL-10 in its binary format ({}, also in a folder stl10_binary in it) or with \
             ILSVRC-2012 (ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, \
             ILSVRC2012_devkit_t12.tar.gz) or with photographs ({})",
            stl10::FILES.join(", "),
            photos::CATALOGUE
        ),
        got: found,
    })
}

/// Class folders and pictures of a folder that is no data set, and what they are good for.
fn contents(folder: &Path) -> String {
    const MOST: usize = 10_000;
    // Names and not paths: a folder above that is hidden makes nothing junk.
    let entries = |folder: &Path| -> Vec<(Kind, PathBuf)> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let entries = entries.filter_map(|entry| Some(entry.ok()?.path())).take(MOST);
        let kind =
            |path: &PathBuf| Kind::of(path.file_name().unwrap_or_default().as_encoded_bytes());
        entries.map(|path| (kind(&path), path)).filter(|(kind, _)| *kind != Kind::Junk).collect()
    };
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|(_, path)| path.is_dir());
    let below = folders.iter().flat_map(|(_, folder)| entries(folder));
    let here = format!("{}, {}", count(folders.len(), "folder"), count(files.len(), "file"));
    let (mut pictures, mut unread) = (0, Unread::default());
    for (kind, _) in files.into_iter().chain(below).take(MOST) {
        match kind {
            Kind::Picture => pictures += 1,
            Kind::Unread(ending) => unread.count(ending),
            _ => {}
        }
    }
    if pictures == 0 && unread.is_empty() {
        return format!("{here}, none of these and no pictures");
    }
    let more = if unread.is_empty() { String::new() } else { format!("; {unread}") };
    format!(
        "{here}, none of these, and {} of JPEG or PNG{more}. Folders of pictures are read by recipes of \
         comparators (deepsim-train) and by `deepsim_data::folder::ImageFolder`, not here",
        count(pictures, "picture")
    )
}

/// A number of things, in words: 1 folder, 2 folders.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// True if a folder has a list of photographs; [`Photographs::open`] checks it.
pub fn is_photos(folder: &Path) -> bool {
    folder.join(photos::CATALOGUE).exists()
}

/// Whether a folder looks like ILSVRC-2012's; what is in it is another question.
pub fn is_ilsvrc(folder: &Path) -> bool {
    ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz", "val"]
        .iter()
        .any(|name| folder.join(name).exists())
}
