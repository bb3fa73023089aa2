//! Prepared samples on disk, so that each picture is decoded once.

mod pictures;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use pictures::KeptPictures;

use crate::atomic::{persist, temporary};
use crate::memory::{rgb_bytes, rgb_zeros};
use crate::positioned::{read_exact_at, write_all_at};
use crate::source::Rectangle;
use crate::{DataError, Source, Unread};

/// First bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 16] = b"deepsim cache 1\n";
/// Bytes of one entry of the table: checksum of the image, and a mark that there is one.
const ENTRY: u64 = 8;
/// The mark: an entry that was never written is all zeros.
const PRESENT: [u8; 4] = *b"here";

/// A source whose images are kept in a file as bytes once they were read: `len * (8 + 3 * height *
/// width)` bytes, as needed where the file system has sparse files.
///
/// Images are checked when they are read back; one that is damaged or was not written to the end is
/// made again. When the disk is full, the source continues without keeping more.
///
/// ```
/// use std::sync::Arc;
/// use deepsim_data::{Scenes, Source, cache::Cached, scenes};
/// let folder = tempfile::tempdir()?;
/// let source = Arc::new(Scenes::new(0, scenes::TRAIN, 10));
/// let cached = Cached::open(source, &folder.path().join("train.cache"))?;
/// let mut pixels = vec![0; 3 * 96 * 96];
/// cached.read(3, &mut pixels)?; // computed and written
/// cached.read(3, &mut pixels)?; // read
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cached {
    source: Arc<dyn Source>,
    file: File,
    path: PathBuf,
    /// Offset of the table in the file.
    table: u64,
    hits: AtomicU64,
    unwritten: AtomicU64,
}

impl Cached {
    /// Opens a cache, or begins one.
    ///
    /// # Errors
    /// If the file cannot be opened, or holds the images of another source, or their bytes cannot be
    /// counted, or the images are drawn anew for each sample: put the cache below the transforms.
    pub fn open(source: Arc<dyn Source>, path: &Path) -> Result<Self, DataError> {
        if source.is_drawn() {
            return Err(DataError::Argument {
                operation: "opening a cache",
                wanted: "images that are the same in every epoch; apply random transforms to the cached images".into(),
                got: source.identity(),
            });
        }
        let identity = source.identity();
        let mut header = MAGIC.to_vec();
        for number in [source.len(), source.height(), source.width(), identity.len()] {
            header.extend((number as u64).to_le_bytes());
        }
        header.extend(identity.as_bytes());
        let table = header.len() as u64;
        let image = rgb_bytes(1, source.height(), source.width()).map(|bytes| bytes as u64);
        let images = image
            .and_then(|bytes| bytes.checked_add(ENTRY))
            .and_then(|bytes| bytes.checked_mul(source.len() as u64));
        let size = images.and_then(|images| images.checked_add(table));
        let size = size.ok_or_else(|| DataError::Argument {
            operation: "opening a cache",
            wanted: "images whose bytes can be counted".into(),
            got: format!("{} of {}x{}", source.len(), source.height(), source.width()),
        })?;
        if std::fs::metadata(path).map_or(true, |metadata| metadata.len() == 0) {
            begin(path, &header, size)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(DataError::io("opening", path))?;
        let length = file.metadata().map_err(DataError::io("reading the size of", path))?.len();
        let mut found = vec![0; header.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        read_exact_at(&file, &mut found, 0).map_err(DataError::io("reading", path))?;
        if found != header || length != size {
            return Err(DataError::Content {
                path: path.into(),
                wanted: format!("{size} bytes, a cache of {identity}"),
                got: format!(
                    "{length} bytes that begin otherwise; delete the file or name another"
                ),
            });
        }
        let (hits, unwritten) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { source, file, path: path.into(), table, hits, unwritten })
    }

    /// Images that were read from the file.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Images that could not be kept, e.g. because the disk was full.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    fn entry(&self, index: usize) -> u64 {
        self.table + index as u64 * ENTRY
    }

    fn image(&self, index: usize) -> u64 {
        self.entry(self.source.len()) + index as u64 * image_bytes(&*self.source)
    }

    /// Reads an image from the file; false if it is not there or damaged.
    fn load(&self, index: usize, image: &mut [u8]) -> Result<bool, DataError> {
        let read = |bytes: &mut [u8], offset| {
            let io = DataError::io("reading", &self.path);
            read_exact_at(&self.file, bytes, offset).map_err(io)
        };
        let mut entry = [0; ENTRY as usize];
        read(&mut entry, self.entry(index))?;
        if entry[4..] != PRESENT {
            return Ok(false);
        }
        read(image, self.image(index))?;
        Ok(crc32c::crc32c(image).to_le_bytes() == entry[..4])
    }

    /// Writes the image first, so that an entry always stands for a whole one, and the checksum
    /// finds what the disk lost.
    fn store(&self, index: usize, image: &[u8]) -> std::io::Result<()> {
        write_all_at(&self.file, image, self.image(index))?;
        let mut entry = [0; ENTRY as usize];
        entry[..4].copy_from_slice(&crc32c::crc32c(image).to_le_bytes());
        entry[4..].copy_from_slice(&PRESENT);
        write_all_at(&self.file, &entry, self.entry(index))
    }
}

/// Puts a cache without images at `path`; the file is there with all of its header, or not at all.
fn begin(path: &Path, header: &[u8], size: u64) -> Result<(), DataError> {
    let io = || DataError::io("writing", path);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = temporary(folder).map_err(io())?;
    write_all_at(file.as_file(), header, 0).map_err(io())?;
    file.as_file().set_len(size).map_err(io())?;
    persist(file, path)
}

fn image_bytes(source: &dyn Source) -> u64 {
    3 * source.height() as u64 * source.width() as u64
}

impl Source for Cached {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn height(&self) -> usize {
        self.source.height()
    }

    fn width(&self) -> usize {
        self.source.width()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn identity(&self) -> String {
        self.source.identity()
    }

    fn content(&self) -> String {
        self.source.content()
    }

    fn origin(&self, index: usize) -> usize {
        self.source.origin(index)
    }

    fn unread(&self) -> Unread {
        self.source.unread()
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let mut image = rgb_zeros(1, self.height(), self.width())?;
        if self.load(index, &mut image)? {
            self.hits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.source.read(index, &mut image)?;
            if self.store(index, &image).is_err() {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
            }
        }
        part.copy(&image, self.width(), pixels);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scenes, scenes};

    #[test]
    fn when_nothing_can_be_written_images_are_made_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache");
        let source = Arc::new(Scenes::new(0, scenes::TRAIN, 3));
        let mut cached = Cached::open(source.clone(), &path).expect("a new cache");
        // Every write fails, as on a full disk.
        cached.file = File::open(&path).expect("a file that can only be read");
        let (mut wanted, mut got) = (vec![0; 3 * 96 * 96], vec![0; 3 * 96 * 96]);
        source.read(1, &mut wanted).expect("an image");
        for _ in 0..2 {
            cached.read(1, &mut got).expect("the same image");
            assert!(got == wanted);
        }
        assert_eq!((cached.hits(), cached.unwritten()), (0, 2));
    }
}
