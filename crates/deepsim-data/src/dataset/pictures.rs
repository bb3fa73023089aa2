//! Data sets of picture files: folders, shards and tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dataset, Labelled};
use crate::cache::{Cached, KeptPictures};
use crate::duplicates::Duplicate;
use crate::order::Permutation;
use crate::pipeline::Step;
use crate::subset::Subset;
use crate::transform::Fit;
use crate::{Augmented, DataError, PictureFiles, Pipeline, Prepared, Source, Transform};

/// Side in pixels that pictures are prepared to where nothing else is asked for: that of STL-10.
const SIDE: usize = 96;
/// Folds of the labelled training pictures, and the share of them in each, as in STL-10.
const FOLDS: usize = 10;
const FOLD_SHARE: usize = 5;
/// Fewest labelled training pictures that folds are made of.
const FEWEST: usize = 50;

/// Pictures of any size, as they are in their files, and how images are made of them.
#[derive(Clone)]
pub(super) struct Originals {
    train: Arc<dyn PictureFiles>,
    /// Test pictures, where their images are made anew in another size.
    test: Option<Arc<dyn PictureFiles>>,
    transform: Transform,
    /// Folder in which training pictures are kept.
    cache: Option<PathBuf>,
}

impl Originals {
    /// Training pictures whose images are stretched, as Caffe does it.
    pub(super) fn stretched(train: Arc<dyn PictureFiles>) -> Self {
        Self { train, test: None, transform: Transform::CAFFE, cache: None }
    }

    /// The same for images of another side; `None` if these are made of the images.
    pub(super) fn sized(&self, side: usize) -> Option<Self> {
        self.test.as_ref()?;
        Some(Self { transform: Transform::short_side(side, side), ..self.clone() })
    }

    /// Training and test images.
    pub(super) fn images(&self) -> (Arc<dyn Source>, Arc<dyn Source>) {
        let prepared = |files: &Arc<dyn PictureFiles>| -> Arc<dyn Source> {
            Arc::new(Prepared::new(files.clone(), self.transform))
        };
        (prepared(&self.train), prepared(self.test.as_ref().unwrap_or(&self.train)))
    }

    /// Paths of the test pictures.
    pub(super) fn test_paths(&self) -> Vec<PathBuf> {
        let files = self.test.iter();
        files.flat_map(|files| (0..files.len()).map(|index| files.path(index))).collect()
    }

    /// The same without some of the training pictures.
    pub(super) fn without(self, duplicates: &[Duplicate]) -> Self {
        Self { train: Arc::new(Subset::without(self.train.clone(), duplicates)), ..self }
    }

    /// Training images under a pipeline, or crops from all of each picture; `images` are the prepared ones.
    pub(super) fn training(
        &self,
        pipeline: Option<&Pipeline>,
        crop: usize,
        images: &Arc<dyn Source>,
    ) -> Result<Arc<dyn Source>, DataError> {
        let pipeline = match (pipeline, self.transform.fit) {
            (Some(pipeline), _) if pipeline.size(None).is_some() => pipeline.clone(),
            (Some(pipeline), _) => pipeline.clone().then(Step::RandomCrop { side: crop })?,
            (None, Fit::ShortSide(side)) => Pipeline::resize_and_crop(side, crop),
            (None, Fit::Stretch) if self.cache.is_none() => return Ok(images.clone()),
            (None, Fit::Stretch) => {
                // One size, so that a file of images holds them.
                let path = self.kept_at(&images.identity());
                return Ok(Arc::new(Cached::open(images.clone(), &path)?));
            }
        };
        let mut files = self.train.clone();
        if self.cache.is_some() {
            let first = pipeline.steps().first().copied();
            let first = first.unwrap_or(Step::RandomCrop { side: crop });
            let path = self.kept_at(&format!("{}, {first}", files.identity()));
            files = Arc::new(KeptPictures::open(files, first, &path)?);
        }
        Ok(Arc::new(Augmented::of_files(files, pipeline)?))
    }

    /// The same, with training pictures kept in a folder.
    pub(super) fn cached(self, folder: &Path) -> Self {
        Self { cache: Some(folder.into()), ..self }
    }

    /// File of what is kept of these pictures: others, and changed ones, have another.
    fn kept_at(&self, identity: &str) -> PathBuf {
        let folder = self.cache.as_deref().unwrap_or(Path::new(""));
        folder.join(format!("train-{:08x}.pictures", crc32c::crc32c(identity.as_bytes())))
    }
}

impl Dataset {
    /// Makes a data set of training and test pictures of any size, by default of 96x96: the short side is resized
    /// to this, and images are the middle squares; [`training`](Self::training) takes crops from all of each picture.
    /// Where all pictures have labels, there are ten folds of a fifth of the training pictures each.
    ///
    /// `name` is for reports, `test_origin` says where the test pictures come from.
    ///
    /// ```
    /// # use deepsim_data::picture::Picture;
    /// use std::sync::Arc;
    /// use deepsim_data::{Dataset, PictureFiles, Source, Subset, folder::ImageFolder};
    /// # let root = tempfile::tempdir()?;
    /// # for i in 0..10 {
    /// #     Picture::new(120, 90, [9; 3]).write_png(&root.path().join(format!("{i}.png")))?;
    /// # }
    /// # let root = root.path();
    /// let all: Arc<dyn PictureFiles> = Arc::new(ImageFolder::open(root)?);
    /// let (train, test) = Subset::split(all, 0.2, 0)?;
    /// let dataset = Dataset::pictures("mine", Arc::new(train), Arc::new(test), "a fifth of the pictures");
    /// assert_eq!((dataset.unlabeled.len(), dataset.test.images.len()), (8, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pictures(
        name: &str,
        train: Arc<dyn PictureFiles>,
        test: Arc<dyn PictureFiles>,
        test_origin: &str,
    ) -> Self {
        let labels = |files: &Arc<dyn PictureFiles>| -> Vec<u32> {
            let labels = (0..files.len()).map(|index| files.label(index));
            labels.collect::<Option<_>>().unwrap_or_default()
        };
        let (train_labels, test_labels) = (labels(&train), labels(&test));
        let class_names = train.class_names().to_vec();
        let described = match (class_names.len(), train_labels.is_empty()) {
            (_, true) => "without labels".to_owned(),
            (0, false) => "with labels".to_owned(),
            (classes, false) => format!("of {classes} classes"),
        };
        let description = format!(
            "pictures of {name}, {described}: {} training and {} test pictures ({test_origin}), short side {SIDE}",
            train.len(),
            test.len()
        );
        let folds = match train_labels.len() {
            FEWEST.. => folds(train_labels.len()),
            _ => Vec::new(),
        };
        let transform = Transform::short_side(SIDE, SIDE);
        let originals = Originals { train, test: Some(test), transform, cache: None };
        let (train, test) = originals.images();
        Self {
            name: name.into(),
            description,
            synthetic: false,
            class_names,
            unlabeled: train.clone(),
            train: Labelled { images: train, labels: train_labels },
            test: Labelled { images: test, labels: test_labels },
            folds,
            test_origin: Some(test_origin.into()),
            originals: Some(originals),
        }
    }
}

/// Ten subsets of a fifth of the pictures each, by a permutation: pictures may come class by class.
fn folds(pictures: usize) -> Vec<Vec<usize>> {
    let order = Permutation::of_split(pictures, FOLDS as u64);
    let place = |fold: usize, at: usize| order.get((fold * pictures / FOLDS + at) % pictures);
    (0..FOLDS).map(|fold| (0..pictures / FOLD_SHARE).map(|at| place(fold, at)).collect()).collect()
}

/// Name of the data at a path, for reports.
pub(super) fn name(path: &Path) -> String {
    // A path such as `..` has a name once it is resolved.
    let resolved = path.canonicalize();
    let path = resolved.as_deref().unwrap_or(path);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    // A snapshot in the hub's cache: `datasets--OWNER--NAME/snapshots/COMMIT`.
    let repository = path.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
    match repository.to_string_lossy().strip_prefix("datasets--") {
        Some(repository) => format!("{}@{name}", repository.replacen("--", "/", 1)),
        None => name.into_owned(),
    }
}
