//! Pictures of any size on disk, after the first resize of a pipeline.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::begin;
use crate::decode::{decode_into, raw};
use crate::files::same_files;
use crate::picture::Picture;
use crate::pipeline::{Canvas, Pipeline, Step};
use crate::positioned::{read_exact_at, write_all_at};
use crate::{DataError, PictureFiles};

/// First bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 19] = b"deepsim pictures 1\n";
/// Bytes of an entry of the table: offset, height, width, checksum of the picture, mark that there is one.
const ENTRY: usize = 24;
/// The mark: an entry that was never written is all zeros.
const PRESENT: [u8; 4] = *b"here";

/// Picture files whose pictures, once they were decoded and resized, are kept in a file of pixels. Later reads are
/// of the resized picture: what a pipeline that begins with the same [`Step`] makes of both is the same, byte for
/// byte, and so is the [content](PictureFiles::content).
///
/// Pictures are checked when they are read back; one that is damaged is made again. When the disk is full, or
/// another process is writing the same file, the rest is decoded each time.
///
/// ```
/// # use deepsim_data::picture::Picture;
/// use std::sync::Arc;
/// use deepsim_data::cache::KeptPictures;
/// use deepsim_data::{Augmented, Pipeline, folder::ImageFolder};
/// # let root = tempfile::tempdir()?;
/// # Picture::new(300, 600, [9; 3]).write_png(&root.path().join("1.png"))?;
/// # let root = root.path();
/// let folder = Arc::new(ImageFolder::open(root)?);
/// let pipeline = Pipeline::resize_and_crop(96, 64);
/// let kept = KeptPictures::open(folder, pipeline.steps()[0], &root.join("kept.pictures"))?;
/// let train = Augmented::of_files(Arc::new(kept), pipeline)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeptPictures {
    files: Arc<dyn PictureFiles>,
    first: Pipeline,
    file: File,
    path: PathBuf,
    /// Offset of the table in the file.
    table: u64,
    /// Offset at which the next picture is written; `None` if another process writes.
    end: Option<AtomicU64>,
    hits: AtomicU64,
}

impl KeptPictures {
    /// Opens the file of kept pictures, or begins one.
    ///
    /// # Errors
    /// If `first` is no resize, or the file cannot be opened, or holds others.
    pub fn open(files: Arc<dyn PictureFiles>, first: Step, path: &Path) -> Result<Self, DataError> {
        if !matches!(first, Step::Resize { .. } | Step::Stretch { .. }) {
            return Err(DataError::Argument {
                operation: "keeping pictures",
                wanted: "transforms that begin with resize or stretch, whose results are kept"
                    .into(),
                got: first.to_string(),
            });
        }
        let identity = format!("{}, {first}", files.identity());
        let mut header = MAGIC.to_vec();
        for number in [files.len(), identity.len()] {
            header.extend((number as u64).to_le_bytes());
        }
        header.extend(identity.as_bytes());
        let table = header.len() as u64;
        let data = table + (files.len() * ENTRY) as u64;
        if std::fs::metadata(path).map_or(true, |metadata| metadata.len() == 0) {
            begin(path, &header, data)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(DataError::io("opening", path))?;
        let length = file.metadata().map_err(DataError::io("reading the size of", path))?.len();
        let mut found = vec![0; header.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        read_exact_at(&file, &mut found, 0).map_err(DataError::io("reading", path))?;
        if found != header || length < data {
            return Err(DataError::Content {
                path: path.into(),
                wanted: format!("pictures of {identity}"),
                got: "others; delete the file or name another".into(),
            });
        }
        let end = file.try_lock().is_ok().then(|| AtomicU64::new(length));
        let first = Pipeline::new(vec![first])?;
        let hits = AtomicU64::new(0);
        Ok(Self { files, first, file, path: path.into(), table, end, hits })
    }

    /// Returns the number of pictures that were read from the file.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Reads a kept picture; false if it is not there or damaged.
    fn load(&self, index: usize, bytes: &mut Vec<u8>) -> Result<bool, DataError> {
        let io = || DataError::io("reading", &self.path);
        let mut entry = [0; ENTRY];
        read_exact_at(&self.file, &mut entry, self.entry(index)).map_err(io())?;
        if entry[20..] != PRESENT {
            return Ok(false);
        }
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i]));
        let offset = u64::from(number(0)) | u64::from(number(4)) << 32;
        let (height, width) = (number(8) as usize, number(12) as usize);
        let Some(pixels) = raw::begin(bytes, height, width) else { return Ok(false) };
        // A file that was cut off is damaged, too.
        if read_exact_at(&self.file, pixels, offset).is_err() {
            return Ok(false);
        }
        Ok(crc32c::crc32c(pixels) == number(16))
    }

    fn entry(&self, index: usize) -> u64 {
        self.table + (index * ENTRY) as u64
    }

    /// Writes the picture first, so that an entry always stands for a whole one.
    fn store(&self, index: usize, picture: &Picture) -> std::io::Result<()> {
        let Some(end) = &self.end else { return Ok(()) };
        let offset = end.fetch_add(picture.rgb.len() as u64, Ordering::Relaxed);
        write_all_at(&self.file, &picture.rgb, offset)?;
        let mut entry = offset.to_le_bytes().to_vec();
        for number in [picture.height as u32, picture.width as u32, crc32c::crc32c(&picture.rgb)] {
            entry.extend(number.to_le_bytes());
        }
        entry.extend(PRESENT);
        write_all_at(&self.file, &entry, self.entry(index))
    }
}

impl PictureFiles for KeptPictures {
    same_files!();

    fn identity(&self) -> String {
        self.files.identity()
    }

    fn content(&self) -> String {
        self.files.content()
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        if index < self.len() && self.load(index, bytes)? {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.files.read(index, bytes)?;
        let (path, mut canvas) = (self.path(index), Canvas::default());
        decode_into(bytes, &path, canvas.picture_mut())?;
        self.first.run(&mut canvas, None, &path)?;
        let picture = canvas.picture_mut();
        if let Some(pixels) = raw::begin(bytes, picture.height, picture.width) {
            pixels.copy_from_slice(&picture.rgb);
        }
        // A full disk costs time, and nothing else.
        let _ = self.store(index, picture);
        Ok(())
    }
}
