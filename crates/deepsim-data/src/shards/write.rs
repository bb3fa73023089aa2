//! Writer of shards: each file appears whole, and an interrupted copy continues.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::CLASS_NAMES;
use crate::atomic::{persist, temporary, write_atomic};
use crate::panics::guarded;
use crate::{DataError, PictureFiles};

/// Size of a full shard; the limit reached first counts. Every shard has at least one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Number of samples.
    pub samples: u64,
    /// Bytes of the tar.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 10_000, bytes: 1 << 30 }
    }
}

/// A shard that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// File name.
    pub name: String,
    /// Samples in it.
    pub samples: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// Writes samples into shards. The same samples give the same bytes.
///
/// ```
/// use deepsim_data::{PictureFiles, picture::Picture, shards::{Limits, ShardWriter, Shards}};
/// let folder = tempfile::tempdir()?;
/// let mut writer = ShardWriter::new(folder.path(), "train", Limits { samples: 2, bytes: 1 << 20 });
/// for class in 0..3 {
///     let png = Picture::new(4, 4, [7; 3]).to_png()?;
///     writer.add(&format!("{class:06}"), "png", &png, Some(class))?;
/// }
/// assert_eq!(writer.finish()?.len(), 2);
/// let shards = Shards::open(&folder.path().join("train-{000000..000001}.tar").to_string_lossy())?;
/// assert_eq!((shards.len(), shards.label(2)), (3, Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShardWriter {
    folder: PathBuf,
    name: String,
    limits: Limits,
    written: Vec<Written>,
    open: Option<Open>,
}

/// A shard that is being written, under a temporary name.
struct Open {
    tar: tar::Builder<BufWriter<NamedTempFile>>,
    samples: u64,
    bytes: u64,
}

/// Bytes of a tar's header, and of the two empty blocks at its end.
const BLOCK: u64 = 512;
const END: u64 = 2 * BLOCK;

impl ShardWriter {
    /// Creates a writer of shards `NAME-000000.tar`, ... in a folder.
    pub fn new(folder: &Path, name: &str, limits: Limits) -> Self {
        Self::after(folder, name, limits, Vec::new())
    }

    fn after(folder: &Path, name: &str, limits: Limits, written: Vec<Written>) -> Self {
        Self { folder: folder.into(), name: name.into(), limits, written, open: None }
    }

    /// Adds a sample. True if it was the first of a new shard, so that those before are complete.
    ///
    /// # Errors
    /// If the key or the ending has a dot, a slash or nothing in it, or the disk is full.
    pub fn add(
        &mut self,
        key: &str,
        ending: &str,
        picture: &[u8],
        label: Option<u32>,
    ) -> Result<bool, DataError> {
        if [key, ending].iter().any(|word| word.is_empty() || word.contains(['.', '/', '\\'])) {
            return Err(DataError::Argument {
                operation: "adding a sample to a shard",
                wanted: "a key and an ending without dots and slashes".into(),
                got: format!("`{key}` and `{ending}`"),
            });
        }
        let label = label.map(|label| label.to_string());
        let padded = |length: usize| BLOCK + (length as u64).next_multiple_of(BLOCK);
        let bytes = padded(picture.len()) + label.as_ref().map_or(0, |label| padded(label.len()));
        let full = self.open.as_ref().is_some_and(|open| {
            open.samples >= self.limits.samples || open.bytes + bytes + END > self.limits.bytes
        });
        if full {
            self.close()?;
        }
        let path = self.path();
        let io = || DataError::io("writing", &path);
        let begun = self.open.is_none();
        if begun {
            let file = temporary(&self.folder).map_err(io())?;
            let tar = tar::Builder::new(BufWriter::new(file));
            self.open = Some(Open { tar, samples: 0, bytes: 0 });
        }
        if let Some(open) = &mut self.open {
            let mut append = |ending: &str, bytes: &[u8]| {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(0);
                open.tar.append_data(&mut header, format!("{key}.{ending}"), bytes)
            };
            append(ending, picture).map_err(io())?;
            if let Some(label) = label {
                append("cls", label.as_bytes()).map_err(io())?;
            }
            open.samples += 1;
            open.bytes += bytes;
        }
        Ok(begun)
    }

    /// Completes the last shard, and lists all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<Vec<Written>, DataError> {
        self.close()?;
        Ok(self.written)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}-{:06}.tar", self.name, self.written.len()))
    }

    fn close(&mut self) -> Result<(), DataError> {
        let path = self.path();
        let io = || DataError::io("writing", &path);
        let Some(open) = self.open.take() else { return Ok(()) };
        let file = open.tar.into_inner().map_err(io())?;
        let mut file = file.into_inner().map_err(|e| io()(e.into_error()))?;
        file.flush().map_err(io())?;
        let bytes = file.as_file().metadata().map_err(io())?.len();
        persist(file, &path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.written.push(Written { name, samples: open.samples, bytes });
        Ok(())
    }
}

/// File beside the shards by which an interrupted copy continues, and a copy of another source is refused.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Identity of the copied files.
    source: String,
    limits: Limits,
    shards: Vec<Written>,
    complete: bool,
}

/// Ending of a picture file by its first bytes.
fn ending(picture: &[u8]) -> &'static str {
    match picture {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "tiff",
        [b'B', b'M', ..] => "bmp",
        _ => "jpg",
    }
}

/// Pictures that all threads together read in one go.
const AT_ONCE: usize = 64;

/// Copies pictures as they are into shards `NAME-000000.tar`, ..., lists them in `NAME.json`, and writes the names
/// of their classes to [`CLASS_NAMES`].
///
/// An interrupted copy continues after its last complete shard. The span `writing shards` counts samples, those of
/// an earlier copy included.
///
/// # Errors
/// If a picture cannot be read or a shard cannot be written, or if the folder holds shards of another
/// source, of other limits, or shards that have changed.
pub fn copy(
    files: &dyn PictureFiles,
    folder: &Path,
    name: &str,
    limits: Limits,
) -> Result<Vec<Written>, DataError> {
    std::fs::create_dir_all(folder).map_err(DataError::io("creating folder", folder))?;
    let path = folder.join(format!("{name}.json"));
    let source = files.identity();
    let all = files.len() as u64;
    let mut manifest = Manifest { source, limits, shards: Vec::new(), complete: false };
    write_names(&folder.join(CLASS_NAMES), files.class_names())?;
    if path.exists() {
        manifest.shards = earlier(&path, folder, &manifest, all)?;
    }
    let start: u64 = manifest.shards.iter().map(|shard| shard.samples).sum();
    let span = tracing::info_span!("writing shards", total = all, done = start).entered();
    let mut writer = ShardWriter::after(folder, name, limits, manifest.shards.clone());
    for first in (start..all).step_by(AT_ONCE) {
        let read = |index: u64| {
            let (index, mut bytes) = (index as usize, Vec::new());
            let file = || Some(files.path(index));
            guarded(index, file, || files.read(index, &mut bytes)).map(|()| bytes)
        };
        let end = all.min(first + AT_ONCE as u64);
        let pictures: Vec<Result<Vec<u8>, DataError>> =
            (first..end).into_par_iter().map(read).collect();
        for (index, picture) in (first..).zip(pictures) {
            let picture = picture?;
            let ending = ending(&picture);
            let label = files.label(index as usize);
            if writer.add(&format!("{index:09}"), ending, &picture, label)? {
                manifest.shards.clone_from(&writer.written);
                write_json(&path, &manifest)?;
            }
            span.record("done", index + 1);
        }
    }
    manifest.shards = writer.finish()?;
    manifest.complete = true;
    write_json(&path, &manifest)?;
    Ok(manifest.shards)
}

/// Writes the names of the classes, if there are any; several sets of shards in a folder share them.
fn write_names(path: &Path, names: &[String]) -> Result<(), DataError> {
    if names.is_empty() {
        return Ok(());
    }
    let text: String = names.iter().map(|name| name.replace(['\n', '\r'], " ") + "\n").collect();
    match std::fs::read_to_string(path) {
        Ok(found) if found == text => Ok(()),
        Ok(found) => Err(DataError::Content {
            path: path.into(),
            wanted: format!("the names of {} classes as in the source", names.len()),
            got: format!("{} others; choose another folder", found.lines().count()),
        }),
        Err(_) => write_atomic(path, text.as_bytes()),
    }
}

fn write_json(path: &Path, manifest: &Manifest) -> Result<(), DataError> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| DataError::Argument {
        operation: "listing shards",
        wanted: "a list that can be written as JSON".into(),
        got: error.to_string(),
    })?;
    write_atomic(path, (text + "\n").as_bytes())
}

/// The shards that an earlier copy of the same has completed.
fn earlier(
    path: &Path,
    folder: &Path,
    wanted: &Manifest,
    all: u64,
) -> Result<Vec<Written>, DataError> {
    let refuse =
        |wanted: String, got: String| Err(DataError::Content { path: path.into(), wanted, got });
    let text = std::fs::read_to_string(path).map_err(DataError::io("reading", path))?;
    let found: Manifest = match serde_json::from_str(&text) {
        Ok(found) => found,
        Err(error) => return refuse("a list of shards".into(), error.to_string()),
    };
    if (&found.source, found.limits) != (&wanted.source, wanted.limits) {
        // Nothing is lost of a copy that ended in its first shard, as at a broken picture that was moved away since.
        if found.shards.is_empty() {
            return Ok(Vec::new());
        }
        let say = |m: &Manifest| format!("shards of {} with {:?}", m.source, m.limits);
        let got = format!("{}; remove these or choose another folder", say(&found));
        return refuse(say(wanted), got);
    }
    let samples = found.shards.iter().try_fold(0u64, |sum, shard| sum.checked_add(shard.samples));
    if samples.is_none_or(|samples| samples > all) {
        let got = samples.map_or_else(|| "more than there are numbers".into(), |n| n.to_string());
        return refuse(format!("shards of at most {all} samples"), got);
    }
    for shard in &found.shards {
        let bytes = std::fs::metadata(folder.join(&shard.name)).map(|metadata| metadata.len());
        if bytes.as_ref().ok() != Some(&shard.bytes) {
            let wanted = format!("{} of {} bytes", shard.name, shard.bytes);
            return refuse(wanted, bytes.map_or_else(|e| e.to_string(), |b| b.to_string()));
        }
    }
    Ok(found.shards)
}
