//! Images of one size, brought to another.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use fast_image_resize::Resizer;

use crate::memory::rgb_zeros;
use crate::picture::Picture;
use crate::planes::to_planes;
use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::transform::Transform;
use crate::{DataError, Source, Unread};

/// The images of a source after a [`Transform`], each computed when it is read.
///
/// ```
/// use std::sync::Arc;
/// use deepsim_data::{Scenes, Source, Transform, resized::Resized, scenes};
/// let scenes = Arc::new(Scenes::new(0, scenes::TEST, 5));
/// let large = Resized::new(scenes, Transform::stretch(256, 256));
/// assert_eq!((large.len(), large.height(), large.width()), (5, 256, 256));
/// ```
#[derive(Clone)]
pub struct Resized {
    source: Arc<dyn Source>,
    transform: Transform,
}

impl Resized {
    /// The images of `source`, each brought to the size of `transform`.
    pub fn new(source: Arc<dyn Source>, transform: Transform) -> Self {
        Self { source, transform }
    }

    /// Resizes the image that `read` writes, and keeps a part.
    fn read_with(
        &self,
        index: usize,
        part: Rectangle,
        read: impl FnOnce(&mut [u8]) -> Result<(), DataError>,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let (height, width) = (self.source.height(), self.source.width());
        let mut planes = rgb_zeros(1, height, width)?;
        read(&mut planes)?;
        let picture = Picture::from_planes(&planes, height, width);
        let mut resized = Picture::default();
        // Taken, not borrowed: after a panic there is a new one.
        let mut resizer = RESIZER.take();
        let path = Path::new("an image in memory");
        let done = self.transform.apply_part(&picture, part, &mut resizer, &mut resized, path);
        RESIZER.set(resizer);
        done?;
        to_planes(&resized.rgb, pixels);
        Ok(())
    }
}

thread_local! {
    static RESIZER: RefCell<Resizer> = RefCell::default();
}

impl Source for Resized {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn height(&self) -> usize {
        self.transform.height
    }

    fn width(&self) -> usize {
        self.transform.width
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn identity(&self) -> String {
        format!("{}; {:?}", self.source.identity(), self.transform)
    }

    fn content(&self) -> String {
        format!("{}, {}", self.source.content(), self.transform)
    }

    fn origin(&self, index: usize) -> usize {
        self.source.origin(index)
    }

    fn unread(&self) -> Unread {
        self.source.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        self.read_with(index, part, |image| self.source.read(index, image), pixels)
    }

    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        let (height, width) = (self.source.height(), self.source.width());
        let whole = Rectangle { top: 0, left: 0, height, width };
        let read = |image: &mut [u8]| self.source.read_drawn(index, whole, random, image);
        self.read_with(index, part, read, pixels)
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scenes, scenes};

    #[test]
    fn parts_are_those_of_the_whole_and_labels_stay() -> Result<(), DataError> {
        let scenes = Arc::new(Scenes::new(3, scenes::TEST, 12));
        let source = Resized::new(scenes.clone(), Transform::stretch(128, 128));
        let mut whole = vec![0; 3 * 128 * 128];
        source.read(7, &mut whole)?;
        assert!(whole.iter().any(|pixel| *pixel != whole[0]));
        // Twice the distance from the border: cuts that fall between pixels may differ by rounding.
        let part = Rectangle { top: 32, left: 16, height: 48, width: 64 };
        let mut pixels = vec![0; 3 * 48 * 64];
        source.read_part(7, part, &mut pixels)?;
        let mut wanted = vec![0; pixels.len()];
        part.copy(&whole, 128, &mut wanted);
        let mut greatest = 0;
        for (a, b) in pixels.iter().zip(&wanted) {
            greatest = greatest.max(a.abs_diff(*b));
        }
        assert!(greatest <= 1, "parts differ by {greatest}");
        assert_eq!(source.label(7), scenes.label(7));
        assert!(source.read_part(12, part, &mut pixels).is_err());
        Ok(())
    }
}
