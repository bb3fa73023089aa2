//! Kind of a file by its name: one rule for folders, shards and archives.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Endings of pictures that are read, in any case.
pub(crate) const READ: &[&str] = if cfg!(feature = "formats") {
    &["jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp"]
} else {
    &["jpg", "jpeg", "png"]
};
/// Endings of pictures; those that are not read are counted.
const KNOWN: [&str; 16] = [
    "avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jpe", "jxl", "pbm", "pgm", "pnm", "ppm",
    "tif", "tiff", "webp",
];
/// Files and folders that file managers and archivers leave behind, in any case.
const JUNK: [&str; 3] = ["__MACOSX", "Thumbs.db", "desktop.ini"];

/// Kind of a file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Left by a file manager or an archiver, or hidden: passed over everywhere.
    Junk,
    /// A picture.
    Picture,
    /// A picture in a format that is not read; its ending.
    Unread(&'static str),
    /// Notes, labels and the like.
    Other,
}

impl Kind {
    /// Kind of the file at a path, of which `/` separates the parts.
    pub(crate) fn of(path: &[u8]) -> Self {
        if is_junk(path) { Self::Junk } else { Self::of_ending(ending(path)) }
    }

    /// Kind of a file with this ending.
    pub(crate) fn of_ending(ending: &[u8]) -> Self {
        let is = |known: &&&str| ending.eq_ignore_ascii_case(known.as_bytes());
        if READ.iter().any(|known| is(&known)) {
            return Self::Picture;
        }
        KNOWN.iter().find(is).map_or(Self::Other, |known| Self::Unread(known))
    }
}

/// True if a path leads to, or through, something that starts with a dot or that file managers and
/// archivers leave behind: `._a.jpg`, `.DS_Store`, `__MACOSX/a.jpg`, `Thumbs.db`.
pub(crate) fn is_junk(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| {
        let hidden = part.starts_with(b".") && !matches!(part, b"." | b"..");
        hidden || JUNK.iter().any(|junk| part.eq_ignore_ascii_case(junk.as_bytes()))
    })
}

/// The part of a path after its last dot; empty without one.
fn ending(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if dot > 0 => &name[dot + 1..],
        _ => &[],
    }
}

/// Picture files that were found and are not read: they are neither JPEG nor PNG by their endings, or
/// fields of samples in [shards](crate::shards). Opening a set warns of them.
///
/// ```
/// use deepsim_data::{PictureFiles, folder::ImageFolder, picture::Picture};
/// let root = tempfile::tempdir()?;
/// Picture::new(8, 8, [9; 3]).write_png(&root.path().join("1.png"))?;
/// std::fs::write(root.path().join("2.heic"), b"RIFF")?;
/// let unread = ImageFolder::open(root.path())?.unread();
/// assert_eq!(unread.to_string(), "1 picture is not read (1 .heic): convert it to JPEG or PNG");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    endings: BTreeMap<&'static str, usize>,
    fields: BTreeMap<String, usize>,
}

impl Unread {
    /// Number of files in other formats.
    pub fn total(&self) -> usize {
        self.endings.values().sum()
    }

    /// True if all pictures are read.
    pub fn is_empty(&self) -> bool {
        self.endings.is_empty() && self.fields.is_empty()
    }

    /// Each ending in lower case, without its dot, and the number of files with it.
    pub fn endings(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.endings.iter().map(|(ending, count)| (*ending, *count))
    }

    /// Each further picture that all samples of [shards](crate::shards) have, as `seg.png`, and the
    /// number of those samples.
    pub fn fields(&self) -> impl Iterator<Item = (&str, usize)> {
        self.fields.iter().map(|(field, count)| (field.as_str(), *count))
    }

    pub(crate) fn count(&mut self, ending: &'static str) {
        *self.endings.entry(ending).or_default() += 1;
    }

    /// These and others together.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        for (ending, count) in &others.endings {
            *self.endings.entry(ending).or_default() += count;
        }
        for (field, count) in &others.fields {
            self.count_field(field.clone(), *count);
        }
        self
    }

    /// Warns of the files that are not read in `place`.
    pub(crate) fn warn(&self, place: &Path) {
        if !self.is_empty() {
            tracing::warn!("{}: {self}", place.display());
        }
    }

    pub(crate) fn count_field(&mut self, field: String, samples: usize) {
        *self.fields.entry(field).or_default() += samples;
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let (are, it) = if total == 1 { ("picture is", "it") } else { ("pictures are", "them") };
        let each: Vec<String> =
            self.endings().map(|(ending, count)| format!("{count} .{ending}")).collect();
        if total > 0 {
            let each = each.join(", ");
            write!(f, "{total} {are} not read ({each}): convert {it} to JPEG or PNG")?;
        }
        for (at, (field, count)) in self.fields().enumerate() {
            let and = if at > 0 || total > 0 { "; " } else { "" };
            write!(
                f,
                "{and}`KEY.{field}` of {count} samples is not read: only `KEY.jpg` or the like is"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        for junk in [
            "._a.jpg",
            "x/.DS_Store",
            "__MACOSX/x/a.jpg",
            "x/__MACOSX/._a.jpg",
            "THUMBS.DB",
            "x/Desktop.ini",
            ".cache/a.jpg",
            "./._a.jpg",
        ] {
            assert_eq!(Kind::of(junk.as_bytes()), Kind::Junk, "{junk}");
        }
        for picture in ["a.jpg", "./a.JPEG", "../x.d/a.b.Png", "_a.jpg", "Thumbs.db.png"] {
            assert_eq!(Kind::of(picture.as_bytes()), Kind::Picture, "{picture}");
        }
        let read = |ending| match cfg!(feature = "formats") {
            true => Kind::Picture,
            false => Kind::Unread(ending),
        };
        assert_eq!(Kind::of(b"x/\xe9.WebP"), read("webp"));
        assert_eq!(Kind::of(b"a.tiff"), read("tiff"));
        assert_eq!(Kind::of(b"a.heic"), Kind::Unread("heic"));
        for other in ["jpg", "x.jpg/notes", "a.jpg.txt", "a.", ""] {
            assert_eq!(Kind::of(other.as_bytes()), Kind::Other, "{other}");
        }
    }
}
