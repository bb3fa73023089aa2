//! Concatenations of sources and of picture files.

use std::path::PathBuf;
use std::sync::Arc;

use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::{DataError, PictureFiles, Source, Unread};

/// Several [`Source`]s of one image size as one, or with `Concat<dyn PictureFiles>` several sets of picture
/// files.
///
/// ```
/// use std::sync::Arc;
/// use deepsim_data::{Concat, Scenes, Source, scenes};
/// let set = |split, len| -> Arc<dyn Source> { Arc::new(Scenes::new(0, split, len)) };
/// let both = Concat::new(vec![set(scenes::TRAIN, 20), set(scenes::TEST, 5)])?;
/// assert_eq!(both.len(), 25);
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
pub struct Concat<T: ?Sized = dyn Source> {
    parts: Vec<Arc<T>>,
    /// Index after the last image of each part.
    ends: Vec<usize>,
}

impl<T: ?Sized> Clone for Concat<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), ends: self.ends.clone() }
    }
}

impl<T: ?Sized> Concat<T> {
    fn of(parts: Vec<Arc<T>>, len: impl Fn(&T) -> usize) -> Result<Self, DataError> {
        let mut ends = Vec::with_capacity(parts.len());
        for part in &parts {
            let before = ends.last().copied().unwrap_or(0usize);
            ends.push(before.saturating_add(len(part)));
        }
        match ends.last() {
            Some(1..) => Ok(Self { parts, ends }),
            _ => Err(DataError::Argument {
                operation: "concatenating sets",
                wanted: "sets with images".into(),
                got: format!("{} sets without any", parts.len()),
            }),
        }
    }

    /// Returns the parts.
    pub fn parts(&self) -> &[Arc<T>] {
        &self.parts
    }

    /// Number of the part of an image, and its index there.
    fn place(&self, index: usize) -> Option<(usize, usize)> {
        let part = self.ends.partition_point(|end| *end <= index);
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        (part < self.parts.len()).then(|| (part, index - start))
    }

    fn find(&self, index: usize) -> Result<(&T, usize), DataError> {
        let missing = || DataError::Argument {
            operation: "reading an image",
            wanted: format!("an index below {}", self.ends.last().copied().unwrap_or(0)),
            got: index.to_string(),
        };
        let (part, index) = self.place(index).ok_or_else(missing)?;
        Ok((&*self.parts[part], index))
    }

    fn joined(&self, describe: impl Fn(&T) -> String) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| describe(part)).collect();
        parts.join("; ")
    }
}

impl Concat {
    /// Concatenates sources of images of one size.
    ///
    /// # Errors
    /// If images differ in size, or there are none.
    pub fn new(parts: Vec<Arc<dyn Source>>) -> Result<Self, DataError> {
        let size = |part: &Arc<dyn Source>| (part.height(), part.width());
        let first = parts.first().map(size);
        if let Some(other) = parts.iter().map(size).find(|size| Some(*size) != first) {
            let (height, width) = first.unwrap_or_default();
            return Err(DataError::Argument {
                operation: "concatenating sets",
                wanted: format!("images of {height}x{width} in all"),
                got: format!("{}x{}", other.0, other.1),
            });
        }
        Self::of(parts, |part| part.len())
    }
}

impl Concat<dyn PictureFiles> {
    /// Concatenates sets of picture files. Labels stay as they are.
    ///
    /// # Errors
    /// If their class names differ, or there are no files.
    pub fn files(parts: Vec<Arc<dyn PictureFiles>>) -> Result<Self, DataError> {
        let names = parts.first().map(|part| part.class_names().to_vec()).unwrap_or_default();
        if let Some(other) = parts.iter().find(|part| part.class_names() != names) {
            return Err(DataError::Argument {
                operation: "concatenating sets",
                wanted: format!("the classes {}", names.join(", ")),
                got: other.class_names().join(", "),
            });
        }
        Self::of(parts, |part| part.len())
    }
}

impl Source for Concat {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn height(&self) -> usize {
        self.parts.first().map_or(0, |part| part.height())
    }

    fn width(&self) -> usize {
        self.parts.first().map_or(0, |part| part.width())
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (part, index) = self.place(index)?;
        self.parts[part].label(index)
    }

    fn identity(&self) -> String {
        self.joined(|part| part.identity())
    }

    fn content(&self) -> String {
        self.joined(|part| part.content())
    }

    fn origin(&self, index: usize) -> usize {
        // The first image that stands for the picture in its part, counted from the beginning of the part.
        let Some((part, inner)) = self.place(index) else { return index };
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        start + self.parts[part].origin(inner)
    }

    fn unread(&self) -> Unread {
        self.parts.iter().fold(Unread::default(), |sum, part| sum.with(&part.unread()))
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let (source, index) = self.find(index)?;
        source.read_part(index, part, pixels)
    }

    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let (source, index) = self.find(index)?;
        source.read_drawn(index, part, random, pixels)
    }

    fn is_drawn(&self) -> bool {
        self.parts.iter().any(|part| part.is_drawn())
    }
}

impl PictureFiles for Concat<dyn PictureFiles> {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn path(&self, index: usize) -> PathBuf {
        self.find(index).map(|(part, index)| part.path(index)).unwrap_or_default()
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (part, index) = self.place(index)?;
        self.parts[part].label(index)
    }

    fn class_names(&self) -> &[String] {
        self.parts.first().map_or(&[], |part| part.class_names())
    }

    fn identity(&self) -> String {
        self.joined(|part| part.identity())
    }

    fn content(&self) -> String {
        self.joined(|part| part.content())
    }

    fn unread(&self) -> Unread {
        self.parts.iter().fold(Unread::default(), |sum, part| sum.with(&part.unread()))
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let (part, index) = self.find(index)?;
        part.read(index, bytes)
    }
}
