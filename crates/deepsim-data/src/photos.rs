//! A folder of photographs, and crops that are drawn from them at several scales.
//!
//! A few dozen photographs give tens of thousands of different images of 96x96. The folder's `photos.toml` lists
//! the photographs, each of one split, with author, licence and SHA-256:
//!
//! ```toml
//! [[photograph]]
//! file = "moose.jpg"
//! split = "test"            # or "train"
//! title = "Male Moose"
//! author = "Ryan Hagerty"
//! licence = "public-domain" # or an SPDX identifier, e.g. "CC-BY-4.0"
//! sha256 = "12b0..."        # of the file
//! ```
//!
//! | images of a [`Dataset`](crate::Dataset) | photographs | label |
//! |---|---|---|
//! | unlabeled | split `train`, whole | none |
//! | train | split `test`, the first 45 % of the long side | the photograph |
//! | test | split `test`, the last 45 % of the long side | the photograph |
//!
//! Nothing that is trained on the unlabeled images has seen any part of a held-out photograph, so errors on
//! test images are those on unknown photographs. A classifier has to know its classes, and a class
//! here is a photograph: it learns from one side of it and is tested on the other. The tenth in between is left
//! out, because crops that touch show the same things. Labels are therefore the identity of a photograph, which colours
//! alone often tell, and not a kind of object; scores are comparable with each other and not with STL-10's.
//!
//! Image `i` depends on the seed and on `i` alone: the photograph (image `i` of a labelled set is of class `i`
//! modulo the number of classes), a square whose side is uniform between a quarter of the photograph's short side and the
//! largest that fits, its place, and whether it is mirrored. The square is resized by
//! [`Transform::stretch`](crate::Transform::stretch), which never enlarges it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::DataError;
use crate::decode::{decode, read_file};
use crate::picture::Picture;

mod crops;

pub use crops::{Crops, Cut};

/// Height and width of an image in pixels.
pub const SIDE: usize = 96;
/// Name of the list of photographs in their folder.
pub const CATALOGUE: &str = "photos.toml";
/// The smallest crop has a side of the photograph's short side divided by this.
pub const ZOOM: usize = 4;

/// Photographs to train generators on, or held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// To train on.
    Train,
    /// Held out.
    Test,
}

/// Images of a data set that are drawn from the same parts of the same photographs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Whole photographs of the split [`Train`](Split::Train), without labels.
    Unlabeled,
    /// The first 45 % of the held-out photographs, along their long side.
    Train,
    /// The last 45 % of the held-out photographs.
    Test,
}

/// Numbers of images that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhotoSizes {
    /// Images to train generators on.
    pub unlabeled: usize,
    /// Labelled training images, in ten folds of a fifth of them each.
    pub train: usize,
    /// Labelled test images.
    pub test: usize,
}

impl Default for PhotoSizes {
    fn default() -> Self {
        Self { unlabeled: 20_000, train: 1_000, test: 800 }
    }
}

/// An entry of `photos.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photograph {
    /// Name of the JPEG or PNG file in the folder.
    pub file: String,
    /// Use of the photograph: for training, or held out.
    pub split: Split,
    /// Title.
    pub title: String,
    /// Photographer, named as the licence asks.
    pub author: String,
    /// SPDX identifier of the licence, or `public-domain`.
    pub licence: String,
    /// Package that the file comes from, with its version.
    #[serde(default)]
    pub package: String,
    /// Path in the package.
    #[serde(default)]
    pub path: String,
    /// Address of its page.
    #[serde(default)]
    pub page: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl Photograph {
    /// True if pictures that show parts of it must have its licence.
    ///
    /// ```no_run
    /// let photographs = deepsim_data::Photographs::open("data/photos".as_ref())?;
    /// for photograph in photographs.all().iter().filter(|photograph| photograph.is_share_alike()) {
    ///     println!("{} by {}, {}", photograph.title, photograph.author, photograph.licence);
    /// }
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn is_share_alike(&self) -> bool {
        self.licence.split('-').any(|word| word.eq_ignore_ascii_case("SA"))
    }

    /// Returns title, author and licence, where the licence asks that pictures which show parts of it name the author.
    ///
    /// ```no_run
    /// let photographs = deepsim_data::Photographs::open("data/photos".as_ref())?;
    /// let credits: Vec<String> = photographs.all().iter().filter_map(|photo| photo.credit()).collect();
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn credit(&self) -> Option<String> {
        let Self { title, author, licence, .. } = self;
        let named = licence.split('-').any(|word| word.eq_ignore_ascii_case("BY"));
        named.then(|| format!("\"{title}\" by {author} ({licence})"))
    }

    /// File name without the ending.
    pub fn name(&self) -> &str {
        self.file.rsplit_once('.').map_or(&self.file, |(name, _)| name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    photograph: Vec<Photograph>,
}

/// The photographs of a folder, decoded.
#[derive(Clone)]
pub struct Photographs {
    catalogue: Vec<Photograph>,
    pictures: Vec<Arc<Picture>>,
}

impl Photographs {
    /// Reads the catalogue of a folder, and every photograph in it.
    ///
    /// # Errors
    /// If the catalogue or a photograph is missing or broken, a file has another SHA-256 than the catalogue
    /// says or is in it twice, a photograph is so small that crops would be enlarged, or a split is empty.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(CATALOGUE);
        let text = std::fs::read_to_string(&path).map_err(DataError::io("reading", &path))?;
        let catalogue: Catalogue = toml::from_str(&text).map_err(|error| {
            refused(&path, "a list of photographs", error.to_string().trim_end())
        })?;
        let catalogue = catalogue.photograph;
        check(&catalogue, &path)?;
        let picture = |photograph: &Photograph| read(&folder.join(&photograph.file), photograph);
        let pictures = catalogue.par_iter().map(picture).collect::<Result<_, _>>()?;
        Ok(Self { catalogue, pictures })
    }

    /// Photographs of both splits, in the order of the catalogue.
    pub fn all(&self) -> &[Photograph] {
        &self.catalogue
    }

    /// The photographs of a split, in the order of the catalogue.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &Photograph> + Clone {
        self.catalogue.iter().filter(move |photograph| photograph.split == split)
    }

    /// `len` crops of a set, drawn from `seed`.
    pub fn crops(&self, set: Set, seed: u64, len: usize) -> Crops {
        let split = if set == Set::Unlabeled { Split::Train } else { Split::Test };
        let pictures = self.catalogue.iter().zip(&self.pictures);
        let (catalogue, pictures): (Vec<_>, Vec<_>) =
            pictures.filter(|(photograph, _)| photograph.split == split).unzip();
        let pictures = pictures.into_iter().cloned().collect();
        Crops::new(pictures, catalogue.into_iter(), set, seed, len)
    }
}

/// Refuses a catalogue with an empty split, a photograph that is listed twice, or a name that is a path.
fn check(catalogue: &[Photograph], path: &Path) -> Result<(), DataError> {
    let mut seen = HashSet::new();
    for photograph in catalogue {
        let file = Path::new(&photograph.file);
        if file.file_name() != Some(file.as_os_str()) {
            return Err(refused(path, "names of files in the folder", &photograph.file));
        }
        if !seen.insert(&photograph.file) || !seen.insert(&photograph.sha256) {
            let twice = format!("{} twice", photograph.file);
            return Err(refused(path, "each photograph once", &twice));
        }
    }
    for (split, name) in [(Split::Train, "train"), (Split::Test, "test")] {
        if catalogue.iter().all(|photograph| photograph.split != split) {
            let found = format!("{} photographs, none of split {name}", catalogue.len());
            return Err(refused(path, "photographs of the splits train and test", &found));
        }
    }
    Ok(())
}

/// Reads a photograph that is as the catalogue says.
fn read(path: &Path, photograph: &Photograph) -> Result<Arc<Picture>, DataError> {
    let bytes = read_file(path)?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != photograph.sha256 {
        let wanted = format!("SHA-256 {} as in {CATALOGUE}", photograph.sha256);
        return Err(refused(path, &wanted, &found));
    }
    let picture = decode(&bytes, path)?;
    let (height, width) = (picture.height, picture.width);
    if height.min(width) < ZOOM * SIDE {
        let wanted = format!("a short side of at least {} pixels", ZOOM * SIDE);
        return Err(refused(path, &wanted, &format!("{width}x{height}")));
    }
    Ok(Arc::new(picture))
}

fn refused(path: &Path, wanted: &str, got: &str) -> DataError {
    DataError::Content { path: path.into(), wanted: wanted.into(), got: got.into() }
}
