//! Lists of pairs as the code of VideoNet reads them: `path label` on each line, the two pictures of
//! a pair after each other and with the same label, which is the number of their track.

use std::path::{Path, PathBuf};

use crate::folder::FileList;
use crate::{DataError, PictureFiles};

/// Longest list that is read, in bytes: the published one has 16 million lines.
const MAX_LIST: u64 = 4 << 30;

/// The picture files of a list, in its order.
#[derive(Clone, Debug)]
pub struct PairList {
    files: FileList,
    labels: Vec<u32>,
    identity: String,
}

impl PairList {
    /// Reads a list. Paths that are not absolute are looked for in `root`; pictures are opened only
    /// when they are read.
    ///
    /// # Errors
    /// Names the line that is not `path label`, or whose label is not that of its pair.
    ///
    /// ```
    /// use deepsim_data::{PictureFiles, pairs::PairList};
    /// let folder = tempfile::tempdir()?;
    /// let list = folder.path().join("list.txt");
    /// std::fs::write(&list, "a/1.jpg 7\na/2.jpg 7\nb/1.jpg 9\nb/5.jpg 9\n")?;
    /// let pairs = PairList::open(&list, folder.path())?;
    /// assert_eq!((pairs.len(), pairs.label(3)), (4, Some(9)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(list: &Path, root: &Path) -> Result<Self, DataError> {
        let size = std::fs::metadata(list).map_err(DataError::io("reading", list))?.len();
        let content =
            |wanted: String, got: String| DataError::Content { path: list.into(), wanted, got };
        if size > MAX_LIST {
            return Err(content(format!("at most {MAX_LIST} bytes"), format!("{size}")));
        }
        let text = std::fs::read_to_string(list).map_err(DataError::io("reading", list))?;
        let (mut files, mut labels) = (FileList::new(root), Vec::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let shown = || line.chars().take(100).collect::<String>();
            let parsed = line
                .trim_end()
                .rsplit_once([' ', '\t'])
                .and_then(|(path, label)| Some((path.trim(), label.parse::<u32>().ok()?)))
                .filter(|(path, _)| !path.is_empty());
            let Some((path, label)) = parsed else {
                let wanted = format!("`path label` on line {}", number + 1);
                return Err(content(wanted, format!("`{}`", shown())));
            };
            let partner = labels.last().filter(|_| labels.len() % 2 == 1);
            if let Some(partner) = partner.filter(|partner| **partner != label) {
                let wanted =
                    format!("label {partner} on line {}, as on the line before", number + 1);
                return Err(content(wanted, format!("`{}`", shown())));
            }
            if !files.push(path) {
                return Err(content("paths of at most 4 GiB together".into(), "more".into()));
            }
            labels.push(label);
        }
        if labels.is_empty() || labels.len() % 2 == 1 {
            return Err(content("pairs of lines".into(), format!("{} lines", labels.len())));
        }
        let identity = format!("{} pictures in {size} bytes of {}", labels.len(), list.display());
        Ok(Self { files, labels, identity })
    }
}

impl PictureFiles for PairList {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn path(&self, index: usize) -> PathBuf {
        self.files.path(index)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn content(&self) -> String {
        self.files.content(self, |index| index)
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)
    }
}
