//! Storage of the pictures of ILSVRC-2012: tars, or folders.

use std::path::{Path, PathBuf};

use crate::folder::{FileList, classes, no_pictures, sorted};
use crate::kinds::Kind;
use crate::tar_index::{TarIndex, TarSet};
use crate::{DataError, PictureFiles, Unread, content};

/// Pictures in tars or folders.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Tars(Tars),
    Files(FileList),
}

/// The members of tars that are pictures.
#[derive(Clone, Debug)]
pub(super) struct Tars {
    set: TarSet,
    /// Indices of the members that are pictures; `None`: all are.
    pictures: Option<Vec<u32>>,
    unread: Unread,
}

impl Tars {
    /// Finds the pictures. A tar without any, inside another or not, is refused: it would be a class
    /// of its own, and without a kit later classes would have other numbers without it.
    fn new(set: TarSet) -> Result<Self, DataError> {
        let (mut pictures, mut unread) = (Vec::new(), Unread::default());
        let mut start = 0;
        for tar in set.tars() {
            let mut empty: Vec<bool> = tar.groups().map(|_| true).collect();
            let before = pictures.len();
            for member in 0..tar.len() {
                match Kind::of(tar.name(member).as_bytes()) {
                    Kind::Picture => {
                        pictures.push((start + member) as u32);
                        let group = tar.group_number(member);
                        if let Some(empty) = group.and_then(|group| empty.get_mut(group)) {
                            *empty = false;
                        }
                    }
                    Kind::Unread(ending) => unread.count(ending),
                    Kind::Junk | Kind::Other => {}
                }
            }
            start += tar.len();
            let group = empty.iter().position(|empty| *empty);
            let group = group.and_then(|group| tar.groups().nth(group));
            if group.is_some() || pictures.len() == before {
                return Err(no_pictures(&tar.path().join(group.unwrap_or_default()), &unread));
            }
        }
        let all = pictures.len() == set.len();
        Ok(Self { set, pictures: (!all).then_some(pictures), unread })
    }

    fn len(&self) -> usize {
        self.pictures.as_ref().map_or(self.set.len(), Vec::len)
    }

    /// The tar of a picture, and its place there.
    fn find(&self, index: usize) -> Result<(&TarIndex, usize), DataError> {
        self.set.find(self.member(index))
    }

    fn member(&self, index: usize) -> usize {
        match &self.pictures {
            Some(pictures) => pictures.get(index).map_or(usize::MAX, |member| *member as usize),
            None => index,
        }
    }
}

impl Store {
    /// The pictures in tars.
    pub(super) fn tars(paths: &[PathBuf]) -> Result<Self, DataError> {
        let tars = Tars::new(TarSet::open(paths)?)?;
        tars.unread.warn(paths.first().map_or(Path::new(""), |path| path));
        Ok(Self::Tars(tars))
    }

    /// The pictures in a folder of folders, one for each class, none of them empty.
    pub(super) fn classes(folder: &Path) -> Result<Self, DataError> {
        let picture = |name: &str| Kind::of(name.as_bytes()) == Kind::Picture;
        let entries = sorted(folder)?;
        if let Some(entry) = entries.iter().find(|entry| !entry.folder && picture(&entry.name)) {
            return Err(DataError::Content {
                path: folder.join(&entry.name),
                wanted: "pictures in the folder or the tar of their class".into(),
                got: "one outside them".into(),
            });
        }
        let mut files = FileList::new(folder);
        files.add_classes(&classes(folder)?)?;
        files.unread().warn(folder);
        Ok(Self::Files(files))
    }

    /// The pictures in a folder.
    pub(super) fn flat(folder: &Path) -> Result<Self, DataError> {
        let mut files = FileList::new(folder);
        files.add_folder("", 0)?;
        files.unread().warn(folder);
        Ok(Self::Files(files))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tars(tars) => tars.len(),
            Self::Files(files) => files.len(),
        }
    }

    /// The member's name, or the path from the split's folder.
    pub(super) fn name(&self, index: usize) -> &str {
        match self {
            Self::Tars(tars) => tars.find(index).map_or("", |(tar, member)| tar.name(member)),
            Self::Files(files) => files.name(index),
        }
    }

    /// True if a picture is in a tar inside a tar.
    pub(super) fn is_grouped(&self, index: usize) -> bool {
        match self {
            Self::Tars(tars) => {
                tars.find(index).is_ok_and(|(tar, member)| tar.group(member).is_some())
            }
            Self::Files(_) => false,
        }
    }

    /// The class, by the tar or the folder that a picture is in; empty if it is in none.
    pub(super) fn wnid(&self, index: usize) -> &str {
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

    pub(super) fn path(&self, index: usize) -> PathBuf {
        match self {
            Self::Tars(tars) => {
                tars.find(index).map(|(tar, member)| tar.member_path(member)).unwrap_or_default()
            }
            Self::Files(files) => files.path(index),
        }
    }

    pub(super) fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        match self {
            Self::Tars(tars) => {
                let (tar, member) = tars.find(index)?;
                tar.read(member, bytes)
            }
            Self::Files(files) => files.read(index, bytes),
        }
    }

    pub(super) fn unread(&self) -> &Unread {
        match self {
            Self::Tars(tars) => &tars.unread,
            Self::Files(files) => files.unread(),
        }
    }

    pub(super) fn identity(&self) -> String {
        match self {
            Self::Tars(tars) => tars.set.identity(),
            Self::Files(files) => files.identity(),
        }
    }

    /// Content of `pictures`, of which each is at `place` in this store.
    pub(super) fn content(
        &self,
        pictures: &dyn PictureFiles,
        place: impl Fn(usize) -> usize,
    ) -> String {
        match self {
            Self::Tars(tars) => content::of_files(pictures, |index, fingerprint| {
                tars.set.describe(tars.member(place(index)), fingerprint);
            }),
            Self::Files(files) => files.content(pictures, place),
        }
    }
}
