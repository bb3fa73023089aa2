//! A folder of pictures, one folder for each class.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::decode::MAX_FILE;
use crate::names::Names;
use crate::{DataError, PictureFiles};

/// Endings of names that are taken for pictures, in any case.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Folders are not followed deeper than this: links can form circles.
const MAX_DEPTH: usize = 32;

/// Pictures in folders: `root/CLASS/.../name.jpg`, or `root/name.jpg` without classes.
///
/// Classes are the folders in `root` in the order of their names, as in torchvision's `ImageFolder`;
/// pictures come class by class in the order of their names.
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
    /// Where the pictures of each class end; empty without classes.
    ends: Vec<usize>,
    class_names: Vec<String>,
}

impl ImageFolder {
    /// Looks through a folder.
    ///
    /// # Errors
    /// If it cannot be read, or has no pictures, or one of its classes has none.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let entries = sorted(root)?;
        let class_names: Vec<String> =
            entries.iter().filter(|entry| entry.folder).map(|entry| entry.name.clone()).collect();
        let (mut files, mut ends) = (FileList::new(root), Vec::new());
        if class_names.is_empty() {
            files.add_folder("", 0)?;
        }
        for class in &class_names {
            let before = files.len();
            files.add_folder(class, 1)?;
            if files.len() == before {
                return Err(no_pictures(&root.join(class)));
            }
            ends.push(files.len());
        }
        if files.len() == 0 {
            return Err(no_pictures(root));
        }
        Ok(Self { files, ends, class_names })
    }
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

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)
    }
}

fn no_pictures(folder: &Path) -> DataError {
    DataError::Content {
        path: folder.into(),
        wanted: format!("pictures with names that end in {}", ENDINGS.join(", ")),
        got: "none".into(),
    }
}

/// Picture files below a folder.
#[derive(Clone, Debug)]
pub(crate) struct FileList {
    root: PathBuf,
    /// Paths from `root`.
    names: Names,
}

impl FileList {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into(), names: Names::default() }
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

    /// Adds all pictures in a folder below the root and in its folders.
    pub(crate) fn add_folder(&mut self, folder: &str, depth: usize) -> Result<(), DataError> {
        let path = self.root.join(folder);
        let refuse = |wanted: &str, got: String| {
            Err(DataError::Content { path: path.clone(), wanted: wanted.into(), got })
        };
        if depth > MAX_DEPTH {
            return refuse("at most 32 folders in one another", "more: a circle of links?".into());
        }
        for entry in sorted(&path)? {
            let name = match folder {
                "" => entry.name,
                folder => format!("{folder}/{}", entry.name),
            };
            if entry.folder {
                self.add_folder(&name, depth + 1)?;
            } else if is_picture(&name) && !self.names.push(&name) {
                return refuse("paths of at most 4 GiB together", "more".into());
            }
        }
        Ok(())
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

fn is_picture(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
}

/// What is in a folder, in the order of names; hidden files and names that are no text are not.
pub(crate) fn sorted(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let io = || DataError::io("listing", folder);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let entry = entry.map_err(io())?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(io())?;
        // A link counts as what it leads to; one that leads nowhere as a file, which reading names.
        let folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        entries.push(Entry { name, folder });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
