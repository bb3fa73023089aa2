//! Crops of photographs as a source.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use fast_image_resize::Resizer;
use rand_core::Rng;

use super::{Photograph, SIDE, Set, ZOOM};
use crate::content::Fingerprint;
use crate::picture::Picture;
use crate::planes::to_planes;
use crate::random::{Purpose, below, stream};
use crate::source::Rectangle;
use crate::{Crop, DataError, Source, Transform};

/// Crops of photographs, each a function of (seed, set, index) and cut when it is read.
///
/// ```no_run
/// use deepsim_data::{Photographs, Source, photos::Set};
/// let crops = Photographs::open("data/photos".as_ref())?.crops(Set::Unlabeled, 0, 20_000);
/// assert_eq!((crops.len(), crops.height(), crops.width()), (20_000, 96, 96));
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Crops {
    pictures: Arc<[Arc<Picture>]>,
    set: Set,
    seed: u64,
    len: usize,
    content: String,
}

/// The place of a crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Number of the photograph among those of its split.
    pub photograph: usize,
    /// Row of the upper left corner.
    pub top: usize,
    /// Column of the upper left corner.
    pub left: usize,
    /// Side of the square in pixels.
    pub side: usize,
    /// True if the crop is mirrored left to right.
    pub mirrored: bool,
}

const RESIZE: Transform = Transform::stretch(SIDE, SIDE);

thread_local! {
    static RESIZER: RefCell<(Resizer, Picture)> = RefCell::default();
}

impl Crops {
    pub(super) fn new<'a>(
        pictures: Arc<[Arc<Picture>]>,
        catalogue: impl Iterator<Item = &'a Photograph>,
        set: Set,
        seed: u64,
        len: usize,
    ) -> Self {
        let mut fingerprint = Fingerprint::default();
        catalogue.for_each(|photograph| fingerprint.add(photograph.sha256.as_bytes()));
        let content = format!(
            "{len} crops of set {set:?}, seed {seed}, of {}, {RESIZE}",
            fingerprint.text(pictures.len(), "photographs")
        );
        Self { pictures, set, seed, len, content }
    }

    /// Draws the place of crop `index`.
    pub fn cut(&self, index: usize) -> Cut {
        let mut rng = stream(self.seed, Purpose::Photo(self.set as u8), 0, index as u64);
        let photograph = match self.set {
            Set::Unlabeled => below(&mut rng, self.pictures.len()),
            Set::Train | Set::Test => index % self.pictures.len(),
        };
        let picture = &self.pictures[photograph];
        let area = self.set.area(picture.height, picture.width);
        let smallest = picture.height.min(picture.width) / ZOOM;
        let side = smallest + below(&mut rng, area.height.min(area.width) - smallest + 1);
        Cut {
            photograph,
            top: area.top + below(&mut rng, area.height - side + 1),
            left: area.left + below(&mut rng, area.width - side + 1),
            side,
            mirrored: rng.next_u32() >> 31 == 1,
        }
    }
}

impl Set {
    /// The part of a photograph of `height x width` that crops lie in.
    pub fn area(self, height: usize, width: usize) -> Rectangle {
        let used = height.max(width) * 9 / 20;
        let (top, left) = match self {
            Set::Unlabeled => return Rectangle { top: 0, left: 0, height, width },
            Set::Train => (0, 0),
            Set::Test => (height - used.min(height), width - used.min(width)),
        };
        if height > width {
            Rectangle { top, left: 0, height: used, width }
        } else {
            Rectangle { top: 0, left, height, width: used }
        }
    }
}

impl Source for Crops {
    fn len(&self) -> usize {
        self.len
    }

    fn height(&self) -> usize {
        SIDE
    }

    fn width(&self) -> usize {
        SIDE
    }

    fn label(&self, index: usize) -> Option<u32> {
        (self.set != Set::Unlabeled).then(|| (index % self.pictures.len()) as u32)
    }

    fn identity(&self) -> String {
        self.content.clone()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let Cut { photograph, top, left, side, mirrored } = self.cut(index);
        let square = Rectangle { top, left, height: side, width: side };
        // Cut out before it is resized, so that no pixel beyond the square is looked at.
        let square = self.pictures[photograph].part(square);
        let whole = Crop::Full.rectangle(SIDE, SIDE)?;
        // Taken, not borrowed: after a panic there is a new one.
        let (mut resizer, mut resized) = RESIZER.take();
        let path = Path::new("a crop of a photograph");
        // The whole, so that a part has the bytes that it has in the whole.
        let done = RESIZE.apply_part(&square, whole, &mut resizer, &mut resized, path);
        let mut image = [0; 3 * SIDE * SIDE];
        if done.is_ok() {
            to_planes(&resized.rgb, &mut image);
        }
        RESIZER.set((resizer, resized));
        done?;
        if mirrored {
            image.chunks_exact_mut(SIDE).for_each(<[u8]>::reverse);
        }
        part.copy(&image, SIDE, pixels);
        Ok(())
    }
}
