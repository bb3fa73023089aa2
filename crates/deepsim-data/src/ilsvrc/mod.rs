//! ILSVRC-2012 as it is distributed, read in place.
//!
//! | name in the folder | what |
//! |---|---|
//! | `ILSVRC2012_img_train.tar` | 1000 tars, one for each class; or the folder `train` with the same tars, or with folders of pictures |
//! | `ILSVRC2012_img_val.tar` | 50,000 pictures; or the folder `val` or `ILSVRC2012_img_val` with pictures, or with a folder for each class |
//! | `ILSVRC2012_devkit_t12.tar.gz` | table of classes, and classes of the validation pictures; or its folder |
//!
//! A **class index** is the position of the wnid among all wnids, sorted: what networks in Caffe and
//! torchvision are trained with. It is not the kit's `ILSVRC2012_ID`. Without the kit, all wnids are those
//! of the training pictures, if these are in the folder; a class without pictures is refused.

mod devkit;
mod matlab;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use devkit::{Devkit, Synset, parse_meta, parse_truth};

use self::store::Store;
use crate::folder::{classes, sorted};
use crate::{DataError, PictureFiles, Unread};

const TRAIN_ARCHIVE: &str = "ILSVRC2012_img_train.tar";
const TRAIN_FOLDER: &str = "train";

/// A folder with ILSVRC-2012, or with parts of it.
///
/// ```no_run
/// use deepsim_data::{PictureFiles, ilsvrc::Ilsvrc};
/// let ilsvrc = Ilsvrc::open("data/ilsvrc".as_ref())?;
/// let (train, val) = (ilsvrc.train()?, ilsvrc.val()?);
/// println!("{} and {} pictures", train.len(), val.len());
/// println!("the first is of class {:?}", train.label(0));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ilsvrc {
    folder: PathBuf,
    devkit: Option<Devkit>,
}

impl Ilsvrc {
    /// Opens a folder, and reads the development kit if it is there. Pictures are looked for when
    /// [`train`](Self::train) or [`val`](Self::val) are asked for, so one can be used without the
    /// other.
    ///
    /// # Errors
    /// If there is no such folder, or the kit is damaged.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        std::fs::read_dir(folder).map_err(DataError::io("opening folder", folder))?;
        Ok(Self { folder: folder.into(), devkit: Devkit::find(folder)? })
    }

    /// The development kit, if it is there.
    pub fn devkit(&self) -> Option<&Devkit> {
        self.devkit.as_ref()
    }

    /// The training pictures, class by class.
    ///
    /// # Errors
    /// If they are not there, cannot be read, have a wnid that the kit does not have, or a class
    /// without pictures.
    pub fn train(&self) -> Result<IlsvrcPictures, DataError> {
        let archive = self.folder.join(TRAIN_ARCHIVE);
        if archive.is_file() {
            let store = Store::tars(std::slice::from_ref(&archive))?;
            if let Some(index) = (0..store.len()).find(|index| !store.is_grouped(*index)) {
                return Err(DataError::Content {
                    path: store.path(index),
                    wanted: "a tar of one tar for each class".into(),
                    got: "a picture outside them".into(),
                });
            }
            return self.by_wnid(store, None);
        }
        let folder = self.folder.join(TRAIN_FOLDER);
        if folder.is_dir() {
            let entries = sorted(&folder)?;
            let tars = entries.iter().filter(|e| !e.folder && e.name.ends_with(".tar"));
            let tars: Vec<PathBuf> = tars.map(|entry| folder.join(&entry.name)).collect();
            if !tars.is_empty() {
                if let Some(only) = entries
                    .iter()
                    .find(|e| e.folder && !folder.join(format!("{}.tar", e.name)).is_file())
                {
                    return Err(DataError::Content {
                        path: folder.join(&only.name),
                        wanted: "the tar of this class beside it, as other classes have".into(),
                        got: "a folder only: is the unpacking finished?".into(),
                    });
                }
                return self.by_wnid(Store::tars(&tars)?, None);
            }
            return self.by_wnid(Store::classes(&folder)?, None);
        }
        Err(self.missing(&[TRAIN_ARCHIVE, TRAIN_FOLDER]))
    }

    /// The validation pictures, in the order of their numbers, or class by class where they are in
    /// folders of classes.
    ///
    /// # Errors
    /// If they are not there or cannot be read, if their number is not that of the kit, or they have
    /// neither folders of classes nor a kit. Without a kit, also if the training pictures are there
    /// and cannot be opened, or do not have all classes.
    pub fn val(&self) -> Result<IlsvrcPictures, DataError> {
        let archive = self.folder.join("ILSVRC2012_img_val.tar");
        if archive.is_file() {
            return self.by_number(Store::tars(std::slice::from_ref(&archive))?, &archive);
        }
        for name in ["val", "ILSVRC2012_img_val"] {
            let folder = self.folder.join(name);
            if folder.is_dir() {
                if classes(&folder)?.is_empty() {
                    return self.by_number(Store::flat(&folder)?, &folder);
                }
                // The classes of both are numbered alike, whether or not they have the same ones.
                let trained = [TRAIN_ARCHIVE, TRAIN_FOLDER];
                let known = match trained.iter().any(|name| self.folder.join(name).exists()) {
                    true if self.devkit.is_none() => Some(self.train()?.wnids),
                    _ => None,
                };
                return self.by_wnid(Store::classes(&folder)?, known);
            }
        }
        Err(self.missing(&["ILSVRC2012_img_val.tar", "val", "ILSVRC2012_img_val"]))
    }

    fn missing(&self, names: &[&str]) -> DataError {
        DataError::Content {
            path: self.folder.clone(),
            wanted: names.join(" or "),
            got: "a folder without them".into(),
        }
    }

    /// Pictures that show their class by where they are. Classes are numbered as in the kit, else as
    /// in `known`, else by themselves.
    fn by_wnid(
        &self,
        store: Store,
        known: Option<Vec<String>>,
    ) -> Result<IlsvrcPictures, DataError> {
        let (names, whose) = match (&self.devkit, known) {
            (Some(kit), _) => (kit.synsets.iter().map(|s| s.wnid.clone()).collect(), "kit"),
            (None, Some(known)) => (known, "training pictures"),
            (None, None) => {
                let mut names: Vec<String> =
                    (0..store.len()).map(|index| store.wnid(index).into()).collect();
                names.sort_unstable();
                names.dedup();
                (names, "pictures themselves")
            }
        };
        let classes = names.iter().enumerate();
        let classes: HashMap<&str, u32> =
            classes.map(|(class, name)| (name.as_str(), class as u32)).collect();
        let label = |index| {
            let wnid = store.wnid(index);
            classes.get(wnid).copied().ok_or_else(|| DataError::Content {
                path: store.path(index),
                wanted: format!("a wnid of one of the {} classes of the {whose}", names.len()),
                got: format!("`{wnid}`"),
            })
        };
        let labels: Vec<u32> = (0..store.len()).map(label).collect::<Result<_, _>>()?;
        self.pictures(store, labels, None, names)
    }

    /// Validation pictures, whose classes are in the kit.
    fn by_number(&self, store: Store, path: &Path) -> Result<IlsvrcPictures, DataError> {
        let refuse = |wanted: String, got: String| {
            Err(DataError::Content { path: path.into(), wanted, got })
        };
        let Some(devkit) = &self.devkit else {
            let wanted = "ILSVRC2012_devkit_t12.tar.gz beside it, with the classes".into();
            return refuse(wanted, "none".into());
        };
        if store.len() != devkit.validation.len() {
            let wanted = format!("{} pictures, as many as the kit has", devkit.validation.len());
            return refuse(wanted, store.len().to_string());
        }
        let number = |index: usize| {
            let name = store.name(index).rsplit('/').next().unwrap_or_default();
            let number = name.strip_prefix("ILSVRC2012_val_").and_then(|n| n.strip_suffix(".JPEG"));
            number.and_then(|number| number.parse::<usize>().ok())
        };
        let mut order = vec![u32::MAX; store.len()];
        for index in 0..store.len() {
            let place = number(index).and_then(|number| number.checked_sub(1));
            match place.and_then(|place| order.get_mut(place)) {
                Some(place) if *place == u32::MAX => *place = index as u32,
                _ => {
                    let last = store.len();
                    let wanted = format!("ILSVRC2012_val_NNNNNNNN.JPEG, 1 to {last}, each once");
                    return refuse(wanted, store.name(index).into());
                }
            }
        }
        let names = devkit.synsets.iter().map(|synset| synset.wnid.clone()).collect();
        self.pictures(store, devkit.validation.clone(), Some(order), names)
    }

    fn pictures(
        &self,
        store: Store,
        labels: Vec<u32>,
        order: Option<Vec<u32>>,
        wnids: Vec<String>,
    ) -> Result<IlsvrcPictures, DataError> {
        if labels.is_empty() {
            let (path, wanted) = (self.folder.clone(), "pictures".into());
            return Err(DataError::Content { path, wanted, got: "none".into() });
        }
        Ok(IlsvrcPictures { store, labels, order, wnids })
    }
}

/// Pictures of one split of ILSVRC-2012.
#[derive(Clone, Debug)]
pub struct IlsvrcPictures {
    store: Store,
    labels: Vec<u32>,
    /// Position of each picture in the store; `None` if the order is the store's.
    order: Option<Vec<u32>>,
    wnids: Vec<String>,
}

impl IlsvrcPictures {
    fn place(&self, index: usize) -> usize {
        match &self.order {
            Some(order) => order.get(index).map_or(usize::MAX, |place| *place as usize),
            None => index,
        }
    }
}

impl PictureFiles for IlsvrcPictures {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        self.store.path(self.place(index))
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    /// The wnids; [`Devkit::synsets`] has them in words.
    fn class_names(&self) -> &[String] {
        &self.wnids
    }

    fn identity(&self) -> String {
        self.store.identity()
    }

    fn content(&self) -> String {
        self.store.content(self, |index| self.place(index))
    }

    fn unread(&self) -> Unread {
        self.store.unread().clone()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.store.read(self.place(index), bytes)
    }
}
