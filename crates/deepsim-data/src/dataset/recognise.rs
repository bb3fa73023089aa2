//! Recognition of data sets by the names of their files.

use std::path::Path;

use crate::check::count;
use crate::folder::{Entry, sorted};
use crate::kinds::Kind;
use crate::shards::paths;
use crate::{DataError, photos, stl10};

/// Folders in one another in which files are looked for, to recognise data.
const DEPTH: usize = 3;
/// Name of the data that are procedural scenes.
pub const SCENES: &str = "scenes";

/// Kind of the data at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Procedural scenes.
    Scenes,
    /// STL-10 in its binary format.
    Stl10,
    /// ILSVRC-2012 as it is distributed or unpacked.
    Ilsvrc,
    /// Photographs with a catalogue.
    Photos,
    /// Tar shards.
    Shards,
    /// Parquet files.
    Parquet,
    /// Picture files in a folder.
    Pictures,
}

pub(super) fn text(path: &Path) -> Result<String, DataError> {
    path.to_str().map(str::to_owned).ok_or_else(|| DataError::Content {
        path: path.into(),
        wanted: "a path in UTF-8".into(),
        got: "other bytes".into(),
    })
}

/// Recognises data by names of files.
pub(super) fn recognise(path: &Path) -> Result<Format, DataError> {
    if path == Path::new(SCENES) {
        return Ok(Format::Scenes);
    }
    if !path.is_dir() {
        // A pattern, or a file. A name with neither ending nor pattern is a folder that is not there.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(['*', '?', '{']) || path.exists() || name.contains(".t") {
            return match paths(&text(path)?)?.iter().find(|path| !is_tar(path)) {
                None => Ok(Format::Shards),
                Some(other) => Err(DataError::Content {
                    path: other.clone(),
                    wanted: format!("{KNOWN}, or shards, whose names end in .tar"),
                    got: "a file".into(),
                }),
            };
        }
        std::fs::metadata(path).map_err(DataError::io("opening", path))?;
    }
    let root = stl10::root(path);
    let missing: Vec<&str> =
        stl10::FILES.into_iter().filter(|name| !root.join(name).exists()).collect();
    if missing.is_empty() {
        return Ok(Format::Stl10);
    }
    // Other data have names of classes too.
    if stl10::FILES.iter().any(|name| name.ends_with(".bin") && !missing.contains(name)) {
        let got = format!("a folder without {}", missing.join(", "));
        let wanted =
            format!("a folder with STL-10 in its binary format ({})", stl10::FILES.join(", "));
        return Err(DataError::Content { path: path.into(), wanted, got });
    }
    if path.join(photos::CATALOGUE).exists() {
        return Ok(Format::Photos);
    }
    if is_ilsvrc(path)? {
        return Ok(Format::Ilsvrc);
    }
    let entries = sorted(path)?;
    if entries.iter().any(|entry| !entry.folder && entry.name.ends_with(".tar")) {
        return Ok(Format::Shards);
    }
    let inside = |entry: &Entry| {
        matches!(Kind::of(entry.name.as_bytes()), Kind::Picture | Kind::Unread(_))
            || entry.name.ends_with(".tar")
    };
    if holds(path, &inside) {
        return Ok(Format::Pictures);
    }
    if holds(path, &|entry| entry.name.ends_with(".parquet")) {
        return Ok(Format::Parquet);
    }
    // Refuses compressed shards by name.
    paths(&text(path)?)?;
    let folders = entries.iter().filter(|entry| entry.folder).count();
    Err(DataError::Content {
        path: path.into(),
        wanted: KNOWN.into(),
        got: format!(
            "{}, {}, none of these and no pictures",
            count(folders, "folder"),
            count(entries.len() - folders, "file")
        ),
    })
}

const KNOWN: &str = "a folder with STL-10 in its binary format, with ILSVRC-2012, with photos.toml, with \
                     pictures (.jpg, .png), also by classes or in `train` and `val`, or with shards (.tar)";

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// Returns true if a folder, or one in it, has a file that passes the filter.
fn holds(folder: &Path, wanted: &dyn Fn(&Entry) -> bool) -> bool {
    fn look(folder: &Path, wanted: &dyn Fn(&Entry) -> bool, depth: usize) -> bool {
        let entries = sorted(folder).unwrap_or_default();
        let mut folders = entries.iter().filter(|entry| entry.folder);
        entries.iter().any(|entry| !entry.folder && wanted(entry))
            || depth < DEPTH && folders.any(|e| look(&folder.join(&e.name), wanted, depth + 1))
    }
    look(folder, wanted, 0)
}

/// True for ILSVRC-2012 as it is distributed, or unpacked: with its own names of files or of classes.
fn is_ilsvrc(folder: &Path) -> Result<bool, DataError> {
    const ARCHIVES: [&str; 4] = [
        "ILSVRC2012_img_train.tar",
        "ILSVRC2012_img_val.tar",
        "ILSVRC2012_devkit_t12.tar.gz",
        "ILSVRC2012_img_val",
    ];
    if ARCHIVES.iter().any(|name| folder.join(name).exists()) {
        return Ok(true);
    }
    let wnid = |name: &str| {
        let name = name.strip_suffix(".tar").unwrap_or(name);
        name.strip_prefix('n').is_some_and(|digits| {
            digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    for name in ["train", "val"] {
        let inner = folder.join(name);
        if inner.is_dir() {
            let first = sorted(&inner)?.into_iter().next();
            if first.is_some_and(|e| wnid(&e.name) || e.name.starts_with("ILSVRC2012_")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
