//! Picture files whose pictures are made smaller.

use std::cell::RefCell;
use std::sync::Arc;

use crate::decode::{decode_into, raw};
use crate::files::same_files;
use crate::pipeline::{Canvas, Pipeline, Step};
use crate::transform::Filter;
use crate::{DataError, PictureFiles};

/// Picture files whose short side is brought to a length, as PNG. Pictures that are no larger stay as they are in
/// their files: nothing is enlarged. PNGs have no EXIF data: put [`UprightFiles`](crate::upright::UprightFiles) inside where
/// these count.
///
/// ```
/// # use std::sync::Arc;
/// # use deepsim_data::picture::Picture;
/// use deepsim_data::{PictureFiles, decode, folder::ImageFolder, resized_files::ResizedFiles};
/// # let root = tempfile::tempdir()?;
/// Picture::new(300, 600, [9; 3]).write_png(&root.path().join("1.png"))?;
/// let files = ResizedFiles::new(Arc::new(ImageFolder::open(root.path())?), 100)?;
/// let mut png = Vec::new();
/// files.read(0, &mut png)?;
/// let picture = decode::decode(&png, &files.path(0))?;
/// assert_eq!((picture.height, picture.width), (100, 200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ResizedFiles {
    files: Arc<dyn PictureFiles>,
    side: usize,
    pipeline: Pipeline,
}

thread_local! {
    static CANVAS: RefCell<Canvas> = RefCell::default();
}

impl ResizedFiles {
    /// Creates the files of `files` with a short side of at most `side` pixels.
    ///
    /// # Errors
    /// If the side is 0 or too long.
    pub fn new(files: Arc<dyn PictureFiles>, side: usize) -> Result<Self, DataError> {
        let pipeline = Pipeline::new(vec![Step::Resize { side, filter: Filter::Antialiased }])?;
        Ok(Self { files, side, pipeline })
    }

    fn describe(&self, files: String) -> String {
        format!("{files}, at most {}", self.pipeline)
    }
}

impl PictureFiles for ResizedFiles {
    same_files!();

    fn identity(&self) -> String {
        self.describe(self.files.identity())
    }

    fn content(&self) -> String {
        self.describe(self.files.content())
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        self.files.read(index, bytes)?;
        let path = self.files.path(index);
        // Taken, not borrowed: after a panic there is a new one.
        let mut canvas = CANVAS.take();
        let picture = canvas.picture_mut();
        decode_into(bytes, &path, picture)?;
        let is_larger = picture.height.min(picture.width) > self.side;
        if is_larger {
            self.pipeline.run(&mut canvas, None, &path)?;
        }
        // Pixels of files that were turned upright are no file.
        if is_larger || raw::is_raw(bytes) {
            *bytes = canvas.picture_mut().to_png()?;
        }
        CANVAS.set(canvas);
        Ok(())
    }
}
