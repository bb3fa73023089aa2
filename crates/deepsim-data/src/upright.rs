//! Picture files turned upright.

use std::sync::Arc;

use crate::decode::{decode_photo, raw};
use crate::files::same_files;
use crate::panics::guarded;
use crate::{DataError, PictureFiles};

/// Picture files whose pictures are turned upright as their EXIF data say, with transparent pixels composited over
/// white: [`decode_photo`]. Other data sets are read as Pillow's `convert("RGB")` reads them, which does neither.
///
/// [`read`](PictureFiles::read) gives decoded pixels, in a form that this crate's decoder takes.
///
/// ```
/// # use deepsim_data::picture::Picture;
/// use std::sync::Arc;
/// use deepsim_data::upright::UprightFiles;
/// use deepsim_data::{PictureFiles, Prepared, Transform, folder::ImageFolder};
/// # let root = tempfile::tempdir()?;
/// # Picture::new(300, 600, [9; 3]).write_png(&root.path().join("1.png"))?;
/// # let root = root.path();
/// let photographs = UprightFiles::new(Arc::new(ImageFolder::open(root)?));
/// let images = Prepared::new(Arc::new(photographs), Transform::short_side(96, 96));
/// # let mut pixels = vec![0; 3 * 96 * 96];
/// # deepsim_data::Source::read(&images, 0, &mut pixels)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct UprightFiles {
    files: Arc<dyn PictureFiles>,
}

impl UprightFiles {
    /// Creates the same files with their pictures turned upright.
    pub fn new(files: Arc<dyn PictureFiles>) -> Self {
        Self { files }
    }
}

impl PictureFiles for UprightFiles {
    same_files!();

    fn identity(&self) -> String {
        format!("{}, turned upright", self.files.identity())
    }

    fn content(&self) -> String {
        format!("{}, turned upright", self.files.content())
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)?;
        let path = self.path(index);
        let decode = || decode_photo(bytes, &path);
        let picture = guarded(index, || Some(path.clone()), decode)?;
        let room = raw::begin(bytes, picture.height, picture.width);
        let room = room.ok_or(DataError::Memory { bytes: Some(picture.rgb.len()) })?;
        room.copy_from_slice(&picture.rgb);
        Ok(())
    }
}
