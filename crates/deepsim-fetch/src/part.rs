//! Unfinished download: `NAME.part`, and `NAME.part.json` that says where it came from.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::http::Resume;
use crate::record::read_short;
use crate::sums::{Algorithm, Hasher, Sums, hash_on};
use crate::{FetchError, beside};
use deepsim_data::atomic::{sync_folder, write_atomic};

/// Source of the bytes of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) url: String,
    /// Validator that the server gave for this version of the file.
    pub(crate) validator: Option<String>,
    /// Bytes of the whole file, according to the server.
    pub(crate) total: Option<u64>,
}

/// Part of a file on the disk, with its hashes so far.
pub(crate) struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    origin: Option<Origin>,
    algorithms: Vec<Algorithm>,
    hasher: Hasher,
    len: u64,
    /// True if an earlier run wrote the beginning.
    pub(crate) inherited: bool,
}

impl Part {
    /// Opens and hashes the part of `target` that an earlier run left, or begins a new one.
    pub(crate) fn open(
        target: &Path,
        algorithms: Vec<Algorithm>,
        stop: &AtomicBool,
    ) -> Result<Self, FetchError> {
        let path = beside(target, "part");
        // An unreadable note counts as none: the download starts over.
        let origin = read_short(&beside(target, "part.json")).ok().flatten();
        let origin: Option<Origin> = origin.and_then(|text| serde_json::from_str(&text).ok());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(origin.is_none())
            .open(&path)
            .map_err(FetchError::io("opening", &path))?;
        let len = file.metadata().map_err(FetchError::io("reading the size of", &path))?.len();
        let mut hasher = Hasher::new(&algorithms);
        if len > 0 {
            hash_on(&mut file, &path, &mut hasher, len, stop)?;
        }
        let target = target.to_path_buf();
        Ok(Self { target, path, file, origin, algorithms, hasher, len, inherited: len > 0 })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the address that the bytes so far came from.
    pub(crate) fn url(&self) -> Option<&str> {
        self.origin.as_ref().filter(|_| self.len > 0).map(|origin| origin.url.as_str())
    }

    /// Returns the size of the whole file in bytes, according to the server.
    pub(crate) fn total(&self) -> Option<u64> {
        self.origin.as_ref().and_then(|origin| origin.total)
    }

    /// Returns the request for the rest of `url`; `None` if the part is of another file or has no
    /// validator.
    pub(crate) fn resume(&self, url: &str) -> Option<Resume<'_>> {
        let origin = self.origin.as_ref().filter(|origin| self.len > 0 && origin.url == url)?;
        Some(Resume { from: self.len, validator: origin.validator.as_deref()? })
    }

    /// Returns true if all of `url`'s file is here already.
    pub(crate) fn is_whole(&self, url: &str) -> bool {
        self.len > 0 && self.url() == Some(url) && self.total() == Some(self.len)
    }

    /// Empties the part and begins a file from `origin`.
    pub(crate) fn restart(&mut self, origin: Option<Origin>) -> Result<(), FetchError> {
        let writing = || FetchError::io("emptying", &self.path);
        // Emptied before the note is written, because the note must never describe bytes of another
        // file.
        if self.len > 0 {
            self.file.set_len(0).map_err(writing())?;
            self.file.rewind().map_err(writing())?;
        }
        (self.len, self.inherited) = (0, false);
        self.hasher = Hasher::new(&self.algorithms);
        self.origin = origin;
        if let Some(origin) = &self.origin {
            let note = beside(&self.target, "part.json");
            let text = serde_json::to_vec(origin)
                .map_err(|error| FetchError::io("writing", &note)(error.into()))?;
            write_atomic(&note, &text)?;
        }
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(FetchError::io("writing", &self.path))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Returns the sums of the bytes so far.
    pub(crate) fn sums(&self) -> Sums {
        self.hasher.clone().finish()
    }

    /// Renames the part to the file's name. The bytes are synced to the disk before, the name
    /// after.
    pub(crate) fn finish(self) -> Result<(), FetchError> {
        self.file.sync_all().map_err(FetchError::io("writing to the disk", &self.path))?;
        drop(self.file);
        std::fs::rename(&self.path, &self.target)
            .map_err(FetchError::io("naming", &self.target))?;
        sync_folder(self.target.parent().unwrap_or(Path::new(".")));
        remove(&beside(&self.target, "part.json"))
    }

    /// Removes the part.
    pub(crate) fn discard(self) -> Result<(), FetchError> {
        drop(self.file);
        remove(&beside(&self.target, "part.json"))?;
        remove(&self.path)
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FetchError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}
