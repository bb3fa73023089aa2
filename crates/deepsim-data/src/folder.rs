//! A folder of pictures, one folder for each class.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::decode::MAX_FILE;
use crate::kinds::{Kind, READ, is_junk};
use crate::names::{Names, text};
use crate::{DataError, PictureFiles, Unread, content};

/// Folders are not followed deeper than this: links can form circles.
const MAX_DEPTH: usize = 32;

/// Pictures in folders: `root/CLASS/.../name.jpg`, or `root/name.jpg` without classes.
///
/// Classes are the folders in `root` in the order of their names; pictures come class by class, those
/// of a folder in the order of their names before those of the folders in it. Classes and order are those of
/// torchvision's `ImageFolder`. Pictures in `root` beside folders of classes are not looked at, as there.
///
/// Hidden files and folders, and what file managers leave behind (`Thumbs.db`, `desktop.ini`,
/// `__MACOSX`), are passed over; pictures other than JPEG and PNG are too, and counted:
/// [`unread`](PictureFiles::unread).
///
/// ```
/// use deepsim_data::{PictureFiles, folder::ImageFolder, picture::Picture};
/// let root = tempfile::tempdir()?;
/// for class in ["cat", "dog"] {
///     std::fs::create_dir(root.path().join(class))?;
///     Picture::new(8, 8, [9; 3]).write_png(&root.path().join(class).join("1.png"))?;
/// }
/// let folder = ImageFolder::open(root.path())?;
/// assert_eq!((folder.len(), folder.class_names()), (2, &["cat".to_owned(), "dog".to_owned()][..]));
/// assert_eq!(folder.label(1), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: FileList,
    /// Index after the last picture of each class; empty without classes.
    ends: Vec<usize>,
    class_names: Vec<String>,
}

impl ImageFolder {
    /// Opens a folder and lists its pictures.
    ///
    /// # Errors
    /// If it cannot be read, or has no pictures, or one of its classes has none, or the name of a
    /// class or a picture is not UTF-8.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let class_names = classes(root)?;
        if class_names.is_empty() {
            return Self::without_classes(root);
        }
        let mut files = FileList::new(root);
        let ends = files.add_classes(&class_names)?;
        files.unread().warn(root);
        Ok(Self { files, ends, class_names })
    }

    /// Lists all pictures of a folder and of those in it. Folders are no classes, so that pictures beside them count
    /// and an empty one is no error.
    ///
    /// ```
    /// use deepsim_data::{PictureFiles, folder::ImageFolder, picture::Picture};
    /// let root = tempfile::tempdir()?;
    /// std::fs::create_dir(root.path().join("more"))?;
    /// for name in ["1.png", "more/2.png"] {
    ///     Picture::new(8, 8, [9; 3]).write_png(&root.path().join(name))?;
    /// }
    /// let folder = ImageFolder::without_classes(root.path())?;
    /// assert_eq!((folder.len(), folder.name(1), folder.label(1)), (2, "more/2.png", None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot be read, or has no pictures, or the name of a folder or a picture is not UTF-8.
    pub fn without_classes(root: &Path) -> Result<Self, DataError> {
        let mut files = FileList::new(root);
        files.add_folder("", 0)?;
        files.check_some(root, 0)?;
        files.unread().warn(root);
        Ok(Self { files, ends: Vec::new(), class_names: Vec::new() })
    }

    /// Path of a picture from the root, with `/` between its parts; empty if there is none at `index`.
    pub fn name(&self, index: usize) -> &str {
        self.files.name(index)
    }

    /// Looks through a folder whose classes are known, as those of its training set: their order is that of the
    /// class indices. A class may have no folder here, or no pictures in it.
    ///
    /// ```
    /// # use deepsim_data::{PictureFiles, folder::ImageFolder, picture::Picture};
    /// # let root = tempfile::tempdir()?;
    /// # for path in ["train/cat", "train/dog", "val/dog"] {
    /// #     std::fs::create_dir_all(root.path().join(path))?;
    /// #     Picture::new(8, 8, [9; 3]).write_png(&root.path().join(path).join("1.png"))?;
    /// # }
    /// let train = ImageFolder::open(&root.path().join("train"))?; // cat, dog
    /// let val = ImageFolder::open_with(&root.path().join("val"), train.class_names())?; // dog only
    /// assert_eq!((val.len(), val.label(0)), (1, Some(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the folder cannot be read, has no pictures, or has a folder that is not one of the classes.
    pub fn open_with(root: &Path, classes: &[String]) -> Result<Self, DataError> {
        let found = self::classes(root)?;
        if let Some(other) = found.iter().find(|name| !classes.contains(name)) {
            return Err(DataError::Content {
                path: root.join(other),
                wanted: format!("one of {} known classes", classes.len()),
                got: format!("a folder `{other}`"),
            });
        }
        let mut files = FileList::new(root);
        let mut ends = Vec::with_capacity(classes.len());
        for class in classes {
            if found.contains(class) {
                files.add_folder(class, 1)?;
            }
            ends.push(files.len());
        }
        files.check_some(root, 0)?;
        files.unread().warn(root);
        Ok(Self { files, ends, class_names: classes.to_vec() })
    }
}

/// The classes of a folder: the folders in it, in the order of their names.
pub(crate) fn classes(root: &Path) -> Result<Vec<String>, DataError> {
    let folders = sorted(root)?.into_iter().filter(|entry| entry.folder);
    Ok(folders.map(|entry| entry.name).collect())
}

impl PictureFiles for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        self.files.path(index)
    }

    fn label(&self, index: usize) -> Option<u32> {
        let class = self.ends.partition_point(|end| *end <= index);
        (class < self.ends.len()).then_some(class as u32)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn identity(&self) -> String {
        self.files.identity()
    }

    fn content(&self) -> String {
        self.files.content(self, |index| index)
    }

    fn unread(&self) -> Unread {
        self.files.unread().clone()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)
    }
}

/// The error that a place has no pictures, where some may have been found that are not read.
pub(crate) fn no_pictures(place: &Path, unread: &Unread) -> DataError {
    let wanted = format!("pictures with names that end in {}", READ.join(", "));
    let got = match unread.is_empty() {
        true => "none".into(),
        false => format!("none; so far, {unread}"),
    };
    DataError::Content { path: place.into(), wanted, got }
}

/// Picture files below a folder.
#[derive(Clone, Debug)]
pub(crate) struct FileList {
    root: PathBuf,
    /// Paths from `root`.
    names: Names,
    unread: Unread,
}

impl FileList {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into(), names: Names::default(), unread: Unread::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Adds a path from the root; false if there is no room for it.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        self.names.push(name)
    }

    /// Path of a file from the root.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.names.get(index)
    }

    pub(crate) fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.name(index))
    }

    /// Picture files that are passed over.
    pub(crate) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// Adds the pictures of each of these folders, and returns where those of each end. A folder
    /// without any is refused: every later class would have another number without it.
    pub(crate) fn add_classes(&mut self, classes: &[String]) -> Result<Vec<usize>, DataError> {
        let mut ends = Vec::with_capacity(classes.len());
        for class in classes {
            let before = self.len();
            self.add_folder(class, 1)?;
            self.check_some(&self.root.join(class), before)?;
            ends.push(self.len());
        }
        Ok(ends)
    }

    /// Refuses a folder that added no pictures to the `before` that there were.
    fn check_some(&self, folder: &Path, before: usize) -> Result<(), DataError> {
        if self.len() > before {
            return Ok(());
        }
        Err(no_pictures(folder, &self.unread))
    }

    /// Adds all pictures in a folder below the root and in its folders, in the order of torchvision's
    /// `make_dataset`, `sorted(os.walk(folder))`: folders by their whole paths, each before those in it.
    pub(crate) fn add_folder(&mut self, folder: &str, depth: usize) -> Result<(), DataError> {
        let mut folders = Vec::new();
        self.walk(folder.into(), depth, &mut folders)?;
        folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (folder, names) in folders {
            for name in names {
                if !self.names.push(&joined(&folder, &name)) {
                    return Err(DataError::Content {
                        path: self.root.join(folder),
                        wanted: "paths of at most 4 GiB together".into(),
                        got: "more".into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Lists the pictures of a folder and of those in it, with the folder's path.
    fn walk(
        &mut self,
        folder: String,
        depth: usize,
        to: &mut Vec<(String, Vec<String>)>,
    ) -> Result<(), DataError> {
        let path = self.root.join(&folder);
        if depth > MAX_DEPTH {
            let wanted = format!("at most {MAX_DEPTH} folders in one another");
            return Err(DataError::Content {
                path,
                wanted,
                got: "more: a circle of links?".into(),
            });
        }
        let mut names = Vec::new();
        for entry in sorted(&path)? {
            if entry.folder {
                self.walk(joined(&folder, &entry.name), depth + 1, to)?;
                continue;
            }
            match Kind::of(entry.name.as_bytes()) {
                Kind::Picture => names.push(entry.name),
                Kind::Unread(ending) => self.unread.count(ending),
                Kind::Junk | Kind::Other => {}
            }
        }
        to.push((folder, names));
        Ok(())
    }

    /// Content of `pictures`, of which each is at `place` in this list.
    pub(crate) fn content(
        &self,
        pictures: &dyn PictureFiles,
        place: impl Fn(usize) -> usize,
    ) -> String {
        let size = |index| std::fs::metadata(self.path(index)).map_or(0, |file| file.len());
        let sizes: Vec<u64> = (0..self.len()).into_par_iter().map(size).collect();
        content::of_files(pictures, |index, fingerprint| {
            let index = place(index);
            fingerprint.add(self.name(index).as_bytes());
            fingerprint.number(sizes.get(index).copied().unwrap_or_default());
        })
    }

    /// Looks at all files.
    pub(crate) fn identity(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for index in 0..self.len() {
            self.name(index).hash(&mut hasher);
            if let Ok(metadata) = std::fs::metadata(self.path(index)) {
                let modified =
                    metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                (metadata.len(), modified).hash(&mut hasher);
            }
        }
        let hash = hasher.finish();
        format!("{} files in {}, state {hash:016x}", self.len(), self.root.display())
    }

    pub(crate) fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        if index >= self.len() {
            return Err(DataError::Argument {
                operation: "reading a picture",
                wanted: format!("an index below {}", self.len()),
                got: index.to_string(),
            });
        }
        read_file(&self.path(index), bytes)
    }
}

/// Replaces `bytes` with the content of a file.
fn read_file(path: &Path, bytes: &mut Vec<u8>) -> Result<(), DataError> {
    use std::io::Read;
    let io = || DataError::io("reading", path);
    let file = std::fs::File::open(path).map_err(DataError::io("opening", path))?;
    bytes.clear();
    file.take(MAX_FILE + 1).read_to_end(bytes).map_err(io())?;
    if bytes.len() as u64 > MAX_FILE {
        let (wanted, got) = (format!("at most {MAX_FILE} bytes"), "more".into());
        return Err(DataError::Content { path: path.into(), wanted, got });
    }
    Ok(())
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
}

/// Lists a folder in the order of names, without junk. A name that is no UTF-8 is refused where a
/// class, a picture or a tar would be missing.
pub(crate) fn sorted(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let io = || DataError::io("listing", folder);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let entry = entry.map_err(io())?;
        let name = entry.file_name();
        if is_junk(name.as_encoded_bytes()) {
            continue;
        }
        let kind = entry.file_type().map_err(io())?;
        // A link counts as what it leads to; one that leads nowhere as a file, which reading names.
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        match name.into_string() {
            Ok(name) => entries.push(Entry { name, folder: is_folder }),
            Err(name) => {
                let name = name.as_encoded_bytes();
                if is_folder || name.ends_with(b".tar") || Kind::of(name) != Kind::Other {
                    return Err(DataError::Content {
                        path: folder.into(),
                        wanted: "names in UTF-8".into(),
                        got: format!("`{}`; rename it", text(name)),
                    });
                }
            }
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
