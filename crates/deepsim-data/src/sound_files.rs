//! Picture files that are decoded when they are read.

use std::cell::RefCell;
use std::sync::Arc;

use crate::decode::{decode_into, raw};
use crate::files::same_files;
use crate::picture::Picture;
use crate::{DataError, PictureFiles};

/// Picture files as they are, of which a broken one is an error: each is decoded when it is read. For those who copy
/// files without looking into them.
///
/// ```
/// # use std::sync::Arc;
/// # use deepsim_data::picture::Picture;
/// use deepsim_data::{PictureFiles, folder::ImageFolder, sound_files::SoundFiles};
/// # let root = tempfile::tempdir()?;
/// Picture::new(30, 60, [9; 3]).write_png(&root.path().join("1.png"))?;
/// std::fs::write(root.path().join("2.png"), b"")?;
/// let files = SoundFiles::new(Arc::new(ImageFolder::open(root.path())?));
/// let mut bytes = Vec::new();
/// files.read(0, &mut bytes)?;
/// assert_eq!(bytes, std::fs::read(files.path(0))?);
/// assert!(files.read(1, &mut bytes).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SoundFiles {
    files: Arc<dyn PictureFiles>,
}

thread_local! {
    static PICTURE: RefCell<Picture> = RefCell::default();
}

impl SoundFiles {
    /// Creates the same files, to be decoded as they are read.
    pub fn new(files: Arc<dyn PictureFiles>) -> Self {
        Self { files }
    }
}

impl PictureFiles for SoundFiles {
    same_files!();

    fn identity(&self) -> String {
        self.files.identity()
    }

    fn content(&self) -> String {
        self.files.content()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)?;
        // Pixels of files that were turned upright have been decoded.
        if raw::is_raw(bytes) {
            return Ok(());
        }
        PICTURE.with_borrow_mut(|picture| decode_into(bytes, &self.path(index), picture))
    }
}
