//! Encoded pictures, decoded and brought to one size.

use std::cell::RefCell;
use std::sync::Arc;

use fast_image_resize::Resizer;

use crate::decode::decode_into;
use crate::panics::guarded;
use crate::picture::Picture;
use crate::planes::to_planes;
use crate::source::Rectangle;
use crate::transform::Transform;
use crate::{DataError, PictureFiles, Source, Unread};

/// Picture files as a [`Source`]: each image is read, decoded and transformed when it is asked for.
///
/// A panic while a picture is read or decoded is an error that names it. Only the part that is asked for is resized. Nothing is kept; see [`Cached`](crate::cache::Cached).
#[derive(Clone)]
pub struct Prepared {
    files: Arc<dyn PictureFiles>,
    transform: Transform,
}

impl Prepared {
    /// The pictures of `files`, each brought to the size of `transform`.
    pub fn new(files: Arc<dyn PictureFiles>, transform: Transform) -> Self {
        Self { files, transform }
    }

    fn prepare(
        &self,
        index: usize,
        part: Rectangle,
        scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        let Scratch { bytes, picture, resized, resizer } = scratch;
        self.files.read(index, bytes)?;
        let path = self.files.path(index);
        decode_into(bytes, &path, picture)?;
        self.transform.apply_part(picture, part, resizer, resized, &path)?;
        to_planes(&resized.rgb, pixels);
        Ok(())
    }
}

/// Memory of a thread that prepares images; one after the other uses it.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    picture: Picture,
    resized: Picture,
    resizer: Resizer,
}

/// Memory of more bytes than this is given back: one huge picture must not stay for the whole run.
const KEPT: usize = 64 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Source for Prepared {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn height(&self) -> usize {
        self.transform.height
    }

    fn width(&self) -> usize {
        self.transform.width
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.files.label(index)
    }

    fn identity(&self) -> String {
        format!("{}; {:?}", self.files.identity(), self.transform)
    }

    fn content(&self) -> String {
        format!("{}, {}", self.files.content(), self.transform)
    }

    fn unread(&self) -> Unread {
        self.files.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        // Taken, not borrowed: after a panic there is new memory.
        let mut scratch = SCRATCH.take();
        let prepare = || self.prepare(index, part, &mut scratch, pixels);
        guarded(index, || Some(self.files.path(index)), prepare)?;
        if scratch.bytes.capacity() + scratch.picture.rgb.capacity() <= KEPT {
            SCRATCH.set(scratch);
        }
        Ok(())
    }
}
