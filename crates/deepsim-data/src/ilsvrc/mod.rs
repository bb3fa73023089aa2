//! ILSVRC-2012 as it is distributed, read in place.
//!
//! | name in the folder | what |
//! |---|---|
//! | `ILSVRC2012_img_train.tar` | 1000 tars, one for each class; or the folder `train` with the same tars, or with folders of pictures |
//! | `ILSVRC2012_img_val.tar` | 50,000 pictures; or the folder `val` or `ILSVRC2012_img_val` with pictures, or with a folder for each class |
//! | `ILSVRC2012_devkit_t12.tar.gz` | table of classes, and classes of the validation pictures; or its folder |
//!
//! A **class index** is the position of the wnid among all wnids, sorted: what networks in Caffe and
//! torchvision are trained with. It is not the kit's `ILSVRC2012_ID`.

mod devkit;
mod matlab;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use devkit::{Devkit, Synset, parse_meta, parse_truth};

use crate::folder::{FileList, sorted};
use crate::tar_index::{TarIndex, TarSet};
use crate::{DataError, PictureFiles};

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
    /// If they are not there, cannot be read, or have a wnid that the kit does not have.
    pub fn train(&self) -> Result<IlsvrcPictures, DataError> {
        let archive = self.folder.join("ILSVRC2012_img_train.tar");
        if archive.is_file() {
            let tars = TarSet::open(std::slice::from_ref(&archive))?;
            if tars.tars().iter().any(|tar| (0..tar.len()).any(|i| tar.group(i).is_none())) {
                return Err(DataError::Content {
                    path: archive,
                    wanted: "a tar of one tar for each class".into(),
                    got: "a picture outside them".into(),
                });
            }
            return self.by_wnid(Store::Tars(tars));
        }
        let folder = self.folder.join("train");
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
                return self.by_wnid(Store::Tars(TarSet::open(&tars)?));
            }
            return self.by_wnid(Store::files(&folder)?);
        }
        Err(self.missing(&["ILSVRC2012_img_train.tar", "train"]))
    }

    /// The validation pictures, in the order of their numbers, or class by class where they are in
    /// folders of classes.
    ///
    /// # Errors
    /// If they are not there or cannot be read, if their number is not that of the kit, or they have
    /// neither folders of classes nor a kit.
    pub fn val(&self) -> Result<IlsvrcPictures, DataError> {
        let archive = self.folder.join("ILSVRC2012_img_val.tar");
        if archive.is_file() {
            return self
                .by_number(Store::Tars(TarSet::open(std::slice::from_ref(&archive))?), &archive);
        }
        for name in ["val", "ILSVRC2012_img_val"] {
            let folder = self.folder.join(name);
            if folder.is_dir() {
                return match sorted(&folder)?.iter().any(|entry| entry.folder) {
                    true => self.by_wnid(Store::files(&folder)?),
                    false => self.by_number(Store::files(&folder)?, &folder),
                };
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

    /// Pictures that show their class by where they are.
    fn by_wnid(&self, store: Store) -> Result<IlsvrcPictures, DataError> {
        let found: Vec<&str> = (0..store.len()).map(|index| store.wnid(index)).collect();
        if let Some(index) = found.iter().position(|wnid| wnid.is_empty()) {
            return Err(DataError::Content {
                path: store.path(index),
                wanted: "pictures in the folder or the tar of their class".into(),
                got: "one outside them".into(),
            });
        }
        let names = match &self.devkit {
            Some(devkit) => devkit.synsets.iter().map(|s| s.wnid.clone()).collect(),
            None => {
                let mut names: Vec<String> = found.iter().map(|&name| name.into()).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
        };
        let classes = names.iter().enumerate();
        let classes: HashMap<&str, u32> =
            classes.map(|(class, name)| (name.as_str(), class as u32)).collect();
        let label = |(index, wnid): (usize, &&str)| {
            classes.get(wnid).copied().ok_or_else(|| DataError::Content {
                path: store.path(index),
                wanted: format!("a wnid of one of the kit's {} classes", names.len()),
                got: format!("`{wnid}`"),
            })
        };
        let labels: Vec<u32> = found.iter().enumerate().map(label).collect::<Result<_, _>>()?;
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
    /// Where each picture is in the store; as it is without.
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
        match &self.store {
            Store::Tars(tars) => tars.identity(),
            Store::Files(files) => files.identity(),
        }
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let place = self.place(index);
        match &self.store {
            Store::Tars(tars) => {
                let (tar, member) = tars.find(place)?;
                tar.read(member, bytes)
            }
            Store::Files(files) => files.read(place, bytes),
        }
    }
}

/// What pictures are in.
#[derive(Clone, Debug)]
enum Store {
    Tars(TarSet),
    Files(FileList),
}

impl Store {
    fn files(folder: &Path) -> Result<Self, DataError> {
        let mut files = FileList::new(folder);
        files.add_folder("", 0)?;
        Ok(Self::Files(files))
    }

    fn len(&self) -> usize {
        match self {
            Self::Tars(tars) => tars.len(),
            Self::Files(files) => files.len(),
        }
    }

    /// The member's name, or the path from the split's folder.
    fn name(&self, index: usize) -> &str {
        match self {
            Self::Tars(tars) => tars.find(index).map_or("", |(tar, member)| tar.name(member)),
            Self::Files(files) => files.name(index),
        }
    }

    /// The class, by the tar or the folder that a picture is in; empty if it is in none.
    fn wnid(&self, index: usize) -> &str {
        match self {
            Self::Tars(tars) => tars.find(index).map_or("", |(tar, member)| {
                let own = || tar.path().file_name().and_then(|name| name.to_str());
                let name = tar.group(member).or_else(own).unwrap_or_default();
                let name = name.rsplit('/').next().unwrap_or_default();
                name.strip_suffix(".tar").unwrap_or(name)
            }),
            Self::Files(files) => files.name(index).split_once('/').map_or("", |(wnid, _)| wnid),
        }
    }

    fn path(&self, index: usize) -> PathBuf {
        match self {
            Self::Tars(tars) => tars
                .find(index)
                .map(|(tar, member)| TarIndex::member_path(tar, member))
                .unwrap_or_default(),
            Self::Files(files) => files.path(index),
        }
    }
}
